//! The runs of a model at this moment, for others that ask what it does.

use crate::engine::run::Progress;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The runs at this moment, in the order in which they began.
#[derive(Debug, Default)]
pub struct Now(Mutex<Vec<Arc<Progress>>>);

impl Now {
    /// A run is one of them until what this gives is dropped.
    pub fn begin(&self, run: &Arc<Progress>) -> Running<'_> {
        self.runs().push(run.clone());
        Running { now: self, run: run.clone() }
    }

    /// The step of the outermost graph that the oldest run is at, and the rounds of loops that it has begun.
    pub fn oldest(&self) -> Option<(usize, u64)> {
        let runs = self.runs();
        let oldest = runs.first()?;
        Some((oldest.step.load(Relaxed), oldest.rounds.load(Relaxed)))
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Running<'a> {
    now: &'a Now,
    run: Arc<Progress>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.now.runs().retain(|run| !Arc::ptr_eq(run, &self.run));
    }
}
