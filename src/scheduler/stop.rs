//! How a batch that runs is told that it need not go on.

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
}
