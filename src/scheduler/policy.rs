//! How an instance is served. Pure.

use crate::plan::BatchPolicy;
use std::time::Duration;

/// The terms on which an instance is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The part of the device's time that is held, in (0, 1]; 0 is best effort: what the others leave idle.
    pub share: f64,
    pub batch: BatchPolicy,
    /// Items that may wait; for those whose request has begun, twice as many.
    pub queue: usize,
    /// The number of its batches that may be on the way at once.
    pub lanes: usize,
    /// Bytes of the device's memory that the model may take, all of its instances together: as many of
    /// their batches are on the way at once as fit beside their weights, and never fewer than one.
    pub memory: Option<u64>,
    /// A batch that runs for longer is ended.
    pub max_run: Duration,
}

impl Policy {
    /// Whether batches wait for more.
    pub(super) fn is_patient(&self) -> bool {
        !self.batch.wait.is_zero()
    }

    /// The policy as it can be held to, for a model that joins rows or does not.
    pub(super) fn effective(mut self, joins: bool) -> Self {
        if !joins {
            self.batch = BatchPolicy::up_to(1);
        }
        self.batch.max = self.batch.max.max(1);
        self.lanes = self.lanes.max(1);
        self
    }
}
