//! How a batch that runs is told that it need not go on.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Why a batch was ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Nobody waits for any of its rows any more: their clients have left, or their deadlines have passed.
    #[error("nobody waits for it any more")]
    Abandoned,
    /// It ran for longer than a batch of its model may.
    #[error("it ran for longer than a batch of its model may")]
    TooLong,
}

/// Tells a running batch to end. A clone is the same flag.
///
/// The scheduler sets it; an engine looks at it between two nodes, in every round of a loop and between the pieces of a
/// long kernel. A look is one load, on any thread.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicU8>);

impl StopFlag {
    /// Ends the run. The first reason stays.
    pub fn stop(&self, why: Stopped) {
        let code = match why {
            Stopped::Abandoned => 1,
            Stopped::TooLong => 2,
        };
        let _ = self.0.compare_exchange(0, code, Relaxed, Relaxed);
    }

    /// Why the run is to end, if it is.
    pub fn reason(&self) -> Option<Stopped> {
        match self.0.load(Relaxed) {
            0 => None,
            1 => Some(Stopped::Abandoned),
            _ => Some(Stopped::TooLong),
        }
    }

    /// Whether the run is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed) != 0
    }
}

thread_local! {
    /// The flag of the work that this thread carries out.
    static CURRENT: RefCell<Option<StopFlag>> = const { RefCell::new(None) };
}

/// Work with a flag that this thread carries out, as long as this lives.
///
/// Once the flag is set, what is half done is never used: whoever carries out the work looks at the flag at its end, and
/// a flag that is set stays so. Work that begins within another on the same thread has the thread until it ends.
#[must_use = "the thread has the flag as long as this lives"]
pub struct Stopping(Option<StopFlag>);

impl Stopping {
    pub fn begin(flag: &StopFlag) -> Self {
        Self(CURRENT.with(|current| current.replace(Some(flag.clone()))))
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

/// Whether the work that this thread carries out is to end. To be asked within pieces that take long.
pub fn is_stopped() -> bool {
    CURRENT.with(|current| current.borrow().as_ref().is_some_and(StopFlag::is_set))
}

/// The flag of the work that this thread carries out, if it has one.
pub fn current() -> Option<StopFlag> {
    CURRENT.with(|current| current.borrow().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let flag = StopFlag::default();
        let other = flag.clone();
        assert_eq!((flag.reason(), flag.is_set()), (None, false));
        other.stop(Stopped::TooLong);
        other.stop(Stopped::Abandoned);
        assert_eq!((flag.reason(), flag.is_set()), (Some(Stopped::TooLong), true));
    }

    #[test]
    fn work_within_work_has_the_thread_until_it_ends() {
        let (outer, inner) = (StopFlag::default(), StopFlag::default());
        outer.stop(Stopped::TooLong);
        let _outer = Stopping::begin(&outer);
        {
            let _inner = Stopping::begin(&inner);
            assert!(!is_stopped());
        }
        assert!(is_stopped());
    }
}
