//! One row of a batch that is to be, and whoever waits for it.

use super::queue::{DropReason, Terms, Waiting};
use super::ticket::{ItemError, Outcome};
use super::{Value, Want};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// An item that waits in the queue of an instance.
pub struct Item {
    /// The inputs in the order of the model's signature.
    pub inputs: Vec<Value>,
    /// What becomes of each output of the model.
    pub wants: Arc<[Want]>,
    pub terms: Terms,
    pub queued: Instant,
    /// It shares no batch: others of the same sender made batches fail.
    pub(super) alone: bool,
    /// The span of the request, for what is logged while the item runs.
    pub(super) span: tracing::Span,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// Items that came out of the queues without a run, to be answered and dropped once nothing is locked.
pub type Dropped = Vec<(Item, DropReason)>;

impl Item {
    pub(super) fn answer(self, outcome: Outcome) {
        // Whoever waited may be gone, which is theirs to choose.
        let _ = self.reply.send(outcome);
    }
}

impl Waiting for Item {
    fn terms(&self) -> Terms {
        self.terms
    }

    fn queued(&self) -> Instant {
        self.queued
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Items of one batch agree in the dtype and shape of every input.
    fn joins(&self, other: &Self) -> bool {
        let alike = |(a, b): (&Value, &Value)| a.dtype() == b.dtype() && a.shape() == b.shape();
        !(self.alone || other.alone)
            && self.inputs.len() == other.inputs.len()
            && self.inputs.iter().zip(&other.inputs).all(alike)
    }
}

impl From<DropReason> for ItemError {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Gone => Self::Closed,
            DropReason::Deadline => Self::Deadline,
        }
    }
}

/// Answers items that were dropped.
pub(super) fn answer_dropped(dropped: Dropped) {
    for (item, why) in dropped {
        item.answer(Err(why.into()));
    }
}
