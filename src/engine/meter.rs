//! What the batches of a model take of memory, and how much each may.
//!
//! Counted is what the graph's values hold between operators, with an operator's inputs and outputs at the same time,
//! and what operators say that they need within themselves. What a backend keeps for later is not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Counts the memory of one model over all its batches.
#[derive(Debug)]
pub struct Meter {
    /// The most that one batch took at once.
    peak: AtomicU64,
    limit: AtomicU64,
    /// Whether a batch has come to its end.
    ran: AtomicBool,
}

impl Default for Meter {
    fn default() -> Self {
        Self { peak: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX), ran: AtomicBool::new(false) }
    }
}

impl Meter {
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Relaxed);
    }

    /// A batch has ended, or failed, that took so much.
    pub fn took(&self, bytes: u64) {
        self.peak.fetch_max(bytes, Relaxed);
    }

    /// A batch has come to its end.
    pub fn succeeded(&self) {
        self.ran.store(true, Relaxed);
    }

    /// A batch was not given what it wanted. It counts as long as none has run: a model whose first batch does not fit
    /// is told what it needs, and what a later request asks for in vain is not what the model takes.
    pub fn refused(&self, bytes: u64) {
        if !self.ran.load(Relaxed) {
            self.took(bytes);
        }
    }
}
