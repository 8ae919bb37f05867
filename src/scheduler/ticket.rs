//! What a caller gets for an item: a ticket at once, and later its outputs or why there are none.

use super::{RunError, Value};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// An item was not taken into the queue. Nothing was run for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// As many items wait as the queue holds.
    #[error("the queue is full")]
    Full {
        /// When there should be room again, going by the queue's present speed.
        retry_after: Duration,
    },
    /// The instance has been taken out of service.
    #[error("the model has been taken out of service")]
    Closed,
}

/// An item was taken, and has no outputs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ItemError {
    /// Its deadline passed while it waited. It cost no device time.
    #[error("its deadline passed while it waited in the queue")]
    Deadline,
    /// The instance was taken out of service while it waited.
    #[error("the model was taken out of service")]
    Closed,
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The time that an item spent waiting and running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// The time from its arrival in the queue to the start of its batch.
    pub queued: Duration,
    /// The time that its batch ran.
    pub device: Duration,
    /// Rows in its batch.
    pub batch: usize,
}

/// An item's outputs.
#[derive(Clone)]
pub struct Done {
    /// A value for each output of the model; `None` where nobody wanted it.
    pub outputs: Vec<Option<Value>>,
    pub timing: Timing,
}

pub(super) type Outcome = Result<Done, ItemError>;

/// A place in a queue. Dropping it gives the place up: the item then costs no device time, unless its
/// batch is already on its way.
#[derive(Debug)]
pub struct Ticket(pub(super) oneshot::Receiver<Outcome>);

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(ItemError::Closed)))
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").field("outputs", &self.outputs.len()).field("timing", &self.timing).finish()
    }
}
