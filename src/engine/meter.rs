//! What the values of a running batch take of memory, and how much they may.
//!
//! Counted is what the graph's values hold between operators, with an operator's inputs and outputs at the
//! same time. What an operator needs within itself, and what a backend keeps for later, is not.

use super::error::OpError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts the memory of one program over all its batches.
#[derive(Debug)]
pub struct Meter {
    /// The most that one batch took at once.
    peak: AtomicU64,
    limit: AtomicU64,
}

/// Counts the memory of one batch.
pub struct Running<'a> {
    meter: &'a Meter,
    /// The bytes of the value in each slot.
    held: Vec<u64>,
    live: u64,
    peak: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self { peak: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX) }
    }
}

impl Meter {
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Relaxed);
    }

    pub fn begin(&self, slots: usize) -> Running<'_> {
        Running { meter: self, held: vec![0; slots], live: 0, peak: 0 }
    }
}

impl Running<'_> {
    /// A value has come to be.
    pub fn put(&mut self, slot: usize, bytes: u64) -> Result<(), OpError> {
        self.add(bytes);
        if let Some(held) = self.held.get_mut(slot) {
            // What was in the slot was read for the last time by the operator that filled it again.
            self.live = self.live.saturating_sub(std::mem::replace(held, bytes));
        }
        let limit = self.meter.limit.load(Relaxed);
        if self.peak > limit {
            let (needed, allowed) = (self.peak, limit);
            return Err(OpError::memory(format!(
                "out of memory: the batch takes {needed} bytes at this point, and the model's share leaves it \
                 {allowed}"
            )));
        }
        Ok(())
    }

    /// The value in a slot was read for the last time.
    pub fn free(&mut self, slot: usize) {
        if let Some(held) = self.held.get_mut(slot) {
            self.live = self.live.saturating_sub(std::mem::take(held));
        }
    }

    fn add(&mut self, bytes: u64) {
        self.live = self.live.saturating_add(bytes);
        self.peak = self.peak.max(self.live);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.meter.peak.fetch_max(self.peak, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_holds_what_an_operator_reads_and_writes() {
        let meter = Meter::default();
        {
            let mut running = meter.begin(2);
            running.put(0, 100).unwrap();
            running.put(1, 50).unwrap();
            running.free(0);
            running.put(0, 20).unwrap();
        }
        assert_eq!(meter.peak(), 150);
        {
            let mut running = meter.begin(2);
            running.put(0, 100).unwrap();
            // The operator that reads slot 0 for the last time writes into it.
            running.put(0, 80).unwrap();
            running.put(1, 10).unwrap();
        }
        assert_eq!(meter.peak(), 180);
    }

    #[test]
    fn over_the_limit_is_an_error_with_both_numbers() {
        let meter = Meter::default();
        meter.set_limit(120);
        let mut running = meter.begin(2);
        running.put(0, 100).unwrap();
        let error = running.put(1, 50).unwrap_err();
        assert_eq!(error.kind, crate::engine::error::OpErrorKind::Memory);
        assert!(error.reason.contains("150 bytes") && error.reason.contains("120"), "{error}");
    }
}
