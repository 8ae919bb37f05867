//! Memory that models left behind goes back to the system.
//!
//! The allocator gives back what has been free for a second, but only while more is asked of it; and what a
//! model was loaded with is freed when its thread ends and nobody asks for more. Where models come and go, that
//! would stay for good.

use crate::engine;
use crate::lifecycle::Population;
// Linked, whatever allocates.
use mimalloc as _;

#[expect(unsafe_code, reason = "the crate has no safe way to it")]
// SAFETY: the signature is that of mimalloc.h. It may be called at any time, on any thread.
unsafe extern "C" {
    safe fn mi_collect(force: bool);
}

/// Has memory given back after models have come or gone. Asked every so often.
#[derive(Default)]
pub struct Tidying {
    seen: Population,
    rounds: u32,
}

impl Tidying {
    /// After a change: some of what is freed is free only a while later.
    const ROUNDS: u32 = 2;

    /// Whether now is the time to give back.
    pub fn is_due(&mut self, now: Population) -> bool {
        if now != self.seen {
            self.seen = now;
            self.rounds = Self::ROUNDS;
            return true;
        }
        let due = self.rounds > 0;
        self.rounds = self.rounds.saturating_sub(1);
        due
    }
}

/// Blocks for some milliseconds.
pub fn give_back() {
    engine::forget_kept();
    mi_collect(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_for_a_while_after_a_change_and_then_no_more() {
        let mut tidying = Tidying::default();
        let nothing = Population::default;
        assert!(!tidying.is_due(nothing()), "there was nothing and there is nothing");
        let some = || Population::of([("surface", vec![1, 2])]);
        let due: Vec<bool> = (0..5).map(|_| tidying.is_due(some())).collect();
        assert_eq!(due, [true, true, true, false, false]);
        assert!(tidying.is_due(Population::of([("surface", vec![2])])), "one has gone");
        give_back();
    }
}
