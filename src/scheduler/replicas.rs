//! The instances of one generation of a model, one a device: an item goes to the least loaded.

use super::ticket::{Rejected, Ticket};
use super::{Instance, Terms, Value, Want};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::futures::Notified;

/// See [`Replicas::room_made`].
pub struct RoomMade<'r>(Vec<Pin<Box<Notified<'r>>>>);

impl RoomMade<'_> {
    /// Whatever leaves a queue from here on counts.
    pub fn begin(&mut self) {
        for left in &mut self.0 {
            left.as_mut().enable();
        }
    }
}

impl Future for RoomMade<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        for left in &mut self.0 {
            ready |= left.as_mut().poll(context).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// At least one instance, each on a device of its own.
pub struct Replicas(Vec<Instance>);

impl Replicas {
    pub fn new(instances: Vec<Instance>) -> Self {
        Self(instances)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.0.iter()
    }

    /// Submits as [`Instance::submit`] does, to the instance where the fewest items wait and run.
    pub fn submit(&self, inputs: Vec<Value>, wants: Arc<[Want]>, terms: Terms) -> Result<Ticket, Rejected> {
        self.least_loaded().ok_or(Rejected::Closed)?.submit(inputs, wants, terms)
    }

    /// Whether an item on these terms would be taken in now.
    pub fn room(&self, terms: Terms) -> Result<(), Rejected> {
        self.least_loaded().ok_or(Rejected::Closed)?.room(terms)
    }

    /// Whether some queue is not full, as far as is known without a look at it.
    pub fn is_roomy(&self) -> bool {
        self.0.iter().any(Instance::is_roomy)
    }

    /// Ends once an item has left one of the queues after this was called, so that there may be room again.
    pub fn room_made(&self) -> RoomMade<'_> {
        RoomMade(self.0.iter().map(|instance| Box::pin(instance.left())).collect())
    }

    fn least_loaded(&self) -> Option<&Instance> {
        match self.0.as_slice() {
            [one] => Some(one),
            several => several.iter().min_by_key(|instance| instance.load()),
        }
    }
}
