//! The memory that all bodies together may take that are being read or answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of each body that are not counted, so that small requests are served whatever large ones take. The
/// number of connections is limited too, and with it what these bytes come to.
pub const UNCOUNTED: usize = 64 << 10;

/// The budget of all bodies. A clone shares it.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    taken: Arc<AtomicUsize>,
    limit: Arc<AtomicUsize>,
}

/// What one body has of the budget. It is given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: BodyBudget,
    bytes: usize,
}

impl BodyBudget {
    pub fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit: Arc::new(AtomicUsize::new(limit)) }
    }

    /// Raises the limit, where it is lower.
    pub fn grow(&self, limit: usize) {
        self.limit.fetch_max(limit, Ordering::Relaxed);
    }

    /// A reservation of nothing yet.
    pub fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }
}

impl Reservation {
    /// Enlarges the reservation to a body of `length` bytes; false where the budget does not hold that.
    #[must_use]
    pub fn hold(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(UNCOUNTED).saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let BodyBudget { taken, limit } = &self.budget;
        let limit = limit.load(Ordering::Relaxed);
        let grown = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= limit);
        let held = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if held {
            self.bytes += more;
        }
        held
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_counts_until_it_is_dropped() {
        let budget = BodyBudget::new(1000);
        let (mut one, mut two) = (budget.reserve(), budget.reserve());
        assert!(two.hold(UNCOUNTED), "small bodies take none");
        assert!(one.hold(UNCOUNTED + 600));
        assert!(one.hold(UNCOUNTED + 700));
        assert!(!two.hold(UNCOUNTED + 301));
        assert!(two.hold(UNCOUNTED + 300));
        assert!(!one.hold(usize::MAX));
        drop(one);
        assert!(two.hold(UNCOUNTED + 1000));
        drop(two);
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }
}
