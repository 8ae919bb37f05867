//! The memory of the process: one budget, from which whatever grows with a request or a file is reserved before it is
//! taken.
//!
//! A [`Budget`] is shared by all rooms; a [`Reservation`] is one taker's part of it, given back when it is dropped.
//! What does not fit is a [`Full`], which its room turns into an answer for that request or into a refusal of that
//! model. Nothing waits here.

mod limit;

pub use limit::process_limit;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What memory is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// The weights of loaded models, with the copies of them that kernels have packed.
    Weights,
    /// Files that are read for a load, and what loading makes of them.
    Loads,
    /// The tensors of batches that run, with what operators need within themselves.
    Running,
    /// The bodies of requests, and what their texts become.
    Bodies,
    /// Pictures and tensors that are being decoded, or that wait in queues.
    Decoded,
    /// Answers that are made and not yet taken by their clients.
    Answers,
}

impl Use {
    pub const ALL: [Self; 6] =
        [Self::Weights, Self::Loads, Self::Running, Self::Bodies, Self::Decoded, Self::Answers];

    /// The use's name in the status, in metrics and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Loads => "loads",
            Self::Running => "running",
            Self::Bodies => "bodies",
            Self::Decoded => "decoded",
            Self::Answers => "answers",
        }
    }

    /// The part of the whole budget, in eighths, that this use may take at most. What clients can fill leaves room for
    /// the models, so that a flood of one kind is turned away while everything else goes on.
    fn eighths(self) -> u64 {
        match self {
            Self::Weights | Self::Loads | Self::Running => 8,
            Self::Decoded => 4,
            Self::Bodies | Self::Answers => 2,
        }
    }
}

/// The memory that the process may take. A clone shares it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: AtomicU64,
    total: AtomicU64,
    uses: [AtomicU64; Use::ALL.len()],
    /// Bytes that the process holds beside what was reserved, as it was measured.
    other: AtomicU64,
}

/// What is reserved of a budget at one moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub limit: u64,
    pub other: u64,
    uses: [u64; Use::ALL.len()],
}

impl Usage {
    /// Each use with the bytes that are reserved for it.
    pub fn by_use(&self) -> impl Iterator<Item = (Use, u64)> + '_ {
        Use::ALL.into_iter().zip(self.uses)
    }

    /// All that is reserved, without [`other`](Self::other).
    pub fn reserved(&self) -> u64 {
        self.uses.iter().sum()
    }
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Counts {
            limit: AtomicU64::new(limit),
            total: AtomicU64::new(0),
            uses: Default::default(),
            other: AtomicU64::new(0),
        }))
    }

    /// A budget that is never full: for tools that handle one thing at a time, and for tests.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Sets the bytes that may be reserved. What is reserved already stays so.
    pub fn set_limit(&self, bytes: u64) {
        self.0.limit.store(bytes, Relaxed);
    }

    pub fn limit(&self) -> u64 {
        self.0.limit.load(Relaxed)
    }

    /// Says how many bytes the process holds beside what was reserved. They are taken off the limit.
    pub fn set_other(&self, bytes: u64) {
        self.0.other.store(bytes, Relaxed);
    }

    pub fn usage(&self) -> Usage {
        Usage {
            limit: self.limit(),
            other: self.0.other.load(Relaxed),
            uses: std::array::from_fn(|index| self.0.uses[index].load(Relaxed)),
        }
    }

    /// The bytes that a use may ever take.
    pub fn most(&self, purpose: Use) -> u64 {
        let limit = self.limit();
        match purpose.eighths() {
            8 => limit,
            eighths => limit / 8 * eighths,
        }
    }

    /// Reserves `bytes` for `purpose` until the reservation is dropped.
    pub fn reserve(&self, purpose: Use, bytes: u64) -> Result<Reservation, Full> {
        self.take(purpose, bytes, 0)?;
        Ok(Reservation { budget: self.clone(), purpose, bytes })
    }

    /// A reservation of nothing yet, which may grow.
    pub fn nothing(&self, purpose: Use) -> Reservation {
        Reservation { budget: self.clone(), purpose, bytes: 0 }
    }

    /// Takes `bytes` where `spare` bytes are left then.
    fn take(&self, purpose: Use, bytes: u64, spare: u64) -> Result<(), Full> {
        let (limit, other) = (self.limit(), self.0.other.load(Relaxed));
        let most = self.most(purpose).saturating_sub(spare);
        let add = |count: &AtomicU64, most: u64| {
            let grown = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= most || bytes == 0);
            count.fetch_update(Relaxed, Relaxed, grown).map(drop).map_err(|taken| Full {
                purpose,
                wanted: bytes,
                free: most.saturating_sub(taken),
                most,
            })
        };
        let own = &self.0.uses[purpose as usize];
        add(own, most)?;
        add(&self.0.total, limit.saturating_sub(other).saturating_sub(spare)).inspect_err(|_| {
            own.fetch_sub(bytes, Relaxed);
        })
    }

    fn give(&self, purpose: Use, bytes: u64) {
        self.0.uses[purpose as usize].fetch_sub(bytes, Relaxed);
        self.0.total.fetch_sub(bytes, Relaxed);
    }
}

/// A part of a budget. It is given back when this is dropped.
#[derive(Debug)]
#[must_use = "what is not kept is given back at once"]
pub struct Reservation {
    budget: Budget,
    purpose: Use,
    bytes: u64,
}

impl Reservation {
    /// The bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds `bytes` in all from now on. Where that is more than the budget has, it stays as it was.
    pub fn resize(&mut self, bytes: u64) -> Result<(), Full> {
        self.resize_leaving(bytes, 0)
    }

    /// Resizes as [`resize`](Self::resize) does, and grows only where `spare` bytes are left for takers that want less.
    pub fn resize_leaving(&mut self, bytes: u64, spare: u64) -> Result<(), Full> {
        if bytes > self.bytes {
            self.budget.take(self.purpose, bytes - self.bytes, spare)?;
        } else {
            self.budget.give(self.purpose, self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Holds `more` bytes beside those that it has.
    pub fn grow(&mut self, more: u64) -> Result<(), Full> {
        self.resize(self.bytes.saturating_add(more))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give(self.purpose, self.bytes);
    }
}

/// A budget does not hold what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub purpose: Use,
    /// The bytes that were wanted.
    pub wanted: u64,
    /// The bytes that were free for that use.
    pub free: u64,
    /// The bytes that the use may ever take.
    pub most: u64,
}

impl Full {
    /// Whether it cannot fit either while nothing else is reserved.
    pub fn is_for_good(&self) -> bool {
        self.wanted > self.most
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { purpose, wanted, free, most } = self;
        write!(
            f,
            "out of memory: {wanted} bytes are wanted, {free} are free of the {most} that {} may take",
            purpose.name()
        )
    }
}

impl std::error::Error for Full {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_counts_until_it_is_dropped() {
        let budget = Budget::new(8000);
        let mut one = budget.reserve(Use::Running, 5000).unwrap();
        let full = budget.reserve(Use::Weights, 3001).unwrap_err();
        assert_eq!((full.wanted, full.free, full.most, full.is_for_good()), (3001, 3000, 8000, false));
        let two = budget.reserve(Use::Weights, 3000).unwrap();
        assert_eq!(budget.usage().reserved(), 8000);
        assert!(one.grow(1).is_err());
        assert_eq!(one.bytes(), 5000, "what could not grow is as it was");
        one.resize(100).unwrap();
        drop(two);
        assert_eq!(budget.usage().by_use().find(|(_, bytes)| *bytes > 0), Some((Use::Running, 100)));
        drop(one);
        assert_eq!(budget.usage().reserved(), 0);
    }

    #[test]
    fn what_clients_fill_leaves_room_for_the_models() {
        let budget = Budget::new(8000);
        let bodies = budget.reserve(Use::Bodies, 2000).unwrap();
        assert!(budget.reserve(Use::Bodies, 1).is_err());
        assert!(budget.reserve(Use::Bodies, 2001).unwrap_err().is_for_good());
        let running = budget.reserve(Use::Running, 6000).unwrap();
        assert!(budget.reserve(Use::Answers, 1).is_err(), "the whole is held too");
        drop((bodies, running));
        assert_eq!(budget.usage().uses, [0; 6], "a refusal leaves nothing behind");
    }

    #[test]
    fn what_is_held_beside_it_is_taken_off() {
        let budget = Budget::new(8000);
        budget.set_other(7000);
        assert!(budget.reserve(Use::Running, 1001).is_err());
        let held = budget.reserve(Use::Running, 1000).unwrap();
        budget.set_limit(500);
        assert!(budget.reserve(Use::Running, 1).is_err());
        assert!(budget.reserve(Use::Running, 0).is_ok(), "nothing always fits");
        drop(held);
    }

    #[test]
    fn large_takers_leave_something_for_small_ones() {
        let budget = Budget::new(8000);
        assert_eq!((budget.most(Use::Bodies), budget.most(Use::Weights)), (2000, 8000));
        let mut large = budget.reserve(Use::Bodies, 0).unwrap();
        assert!(large.resize_leaving(1801, 200).unwrap_err().is_for_good());
        large.resize_leaving(1800, 200).unwrap();
        let small = budget.reserve(Use::Bodies, 200).unwrap();
        large.resize_leaving(1000, 200).unwrap();
        assert!(!large.resize_leaving(1700, 200).unwrap_err().is_for_good());
        drop((large, small));
        assert_eq!(budget.usage().reserved(), 0);
    }

    #[test]
    fn overflow_is_full() {
        let budget = Budget::unlimited();
        let one = budget.reserve(Use::Running, u64::MAX).unwrap();
        assert!(budget.reserve(Use::Running, 1).is_err());
        drop(one);
    }
}
