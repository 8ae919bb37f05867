//! Memory that was left behind goes back to the system.
//!
//! The allocator gives back what has been free for a second, but only while more is asked of it; and what a
//! model was loaded with is freed when its thread ends and nobody asks for more. Where models come and go, or many
//! requests came at once, that would stay for good.

use crate::engine;
use crate::lifecycle::Population;
// Linked, whatever allocates.
use mimalloc as _;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

#[expect(unsafe_code, reason = "the crate has no safe way to it")]
// SAFETY: the signature is that of mimalloc.h. It may be called at any time, on any thread.
unsafe extern "C" {
    safe fn mi_collect(force: bool);
}

/// Says when memory is to be given back: after models have come or gone, and after a peak. Asked every second.
#[derive(Default)]
pub struct Tidying {
    seen: Population,
    /// Looks until memory is given back, after a change of the models.
    rounds: u32,
    /// The looks since memory was last given back.
    since: u32,
    /// The times that memory is still to be given back while the process rests, after a peak.
    more: u32,
    /// The looks for which the same was reserved.
    quiet: u32,
    reserved: u64,
    /// The least that was held beside what was reserved since memory was last given back; `None` before a first look.
    floor: Option<u64>,
}

impl Tidying {
    /// The number of rounds after a change, as some of what is freed is free only a while later.
    const ROUNDS: u32 = 5;
    /// The looks between two times at least.
    const APART: u32 = 12;
    /// The times after the first one at which memory is given back after a peak.
    const MORE: u32 = 2;
    /// The looks for which nothing is reserved or given back in a process that rests.
    const QUIET: u32 = 3;
    /// The bytes that are worth it while the process works, and while it rests.
    const MUCH: u64 = 64 << 20;
    const SOME: u64 = 4 << 20;

    /// Whether now is the time to give back. `resident` and `reserved` are the bytes that the process holds, and
    /// those of them that it reserved.
    pub fn is_due(&mut self, now: Population, resident: u64, reserved: u64) -> bool {
        self.since = self.since.saturating_add(1);
        self.quiet = if reserved == self.reserved { self.quiet.saturating_add(1) } else { 0 };
        self.reserved = reserved;
        if now != self.seen {
            self.seen = now;
            self.rounds = Self::ROUNDS;
        }
        let other = resident.saturating_sub(reserved);
        let floor = self.floor.unwrap_or(other).min(other);
        self.floor = Some(floor);
        let left_behind = other - floor;
        let worth_it = left_behind > Self::MUCH || (left_behind > Self::SOME && self.quiet >= Self::QUIET);
        let after_change = self.rounds > 0;
        self.rounds = self.rounds.saturating_sub(1);
        let after_peak = worth_it && self.since >= Self::APART;
        // What threads leave that end for want of work is free only then.
        let once_more = self.more > 0 && self.since >= Self::APART && self.quiet >= Self::QUIET;
        let due = after_change || after_peak || once_more;
        if due {
            self.more = if after_peak { Self::MORE } else { self.more.saturating_sub(1) };
            self.since = 0;
            // What it comes to this time is seen at the next look.
            self.floor = None;
        }
        due
    }
}

/// How often memory was given back. Each thread of the allocator's heaps gives back what is its own.
static TIMES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Up to which time this thread has.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// Gives back what this thread and those that compute have free, and asks the others. Blocks for some milliseconds.
pub fn give_back() {
    engine::forget_kept();
    TIMES.fetch_add(1, Ordering::Relaxed);
    rayon::spawn_broadcast(|_| give_back_own());
    give_back_own();
}

/// Gives back what this thread has free, where that was asked for since it last did. A thread that serves connections
/// calls it before it waits.
pub fn give_back_own() {
    let times = TIMES.load(Ordering::Relaxed);
    if SEEN.replace(times) != times {
        mi_collect(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks, of so many, at which memory is given back.
    fn due(
        tidying: &mut Tidying,
        looks: usize,
        population: &Population,
        resident: u64,
        reserved: u64,
    ) -> Vec<usize> {
        (0..looks).filter(|_| tidying.is_due(population.clone(), resident, reserved)).collect()
    }

    #[test]
    fn memory_is_given_back_for_a_while_after_a_change_and_then_no_more() {
        let mut tidying = Tidying::default();
        assert!(
            due(&mut tidying, 20, &Population::default(), 100 << 20, 0).is_empty(),
            "nothing has changed"
        );
        let some = Population::of([("surface", vec![1, 2])]);
        assert_eq!(due(&mut tidying, 20, &some, 100 << 20, 0), [0, 1, 2, 3, 4]);
        let one_has_gone = Population::of([("surface", vec![2])]);
        assert_eq!(due(&mut tidying, 1, &one_has_gone, 100 << 20, 0), [0]);
        give_back();
    }

    #[test]
    fn memory_is_given_back_after_a_peak_and_once_where_it_does_not_go() {
        let mut tidying = Tidying::default();
        let nothing = Population::default();
        assert!(due(&mut tidying, 20, &nothing, 100 << 20, 0).is_empty());
        // The peak is reserved, and then it is not, and the allocator still has it.
        assert!(due(&mut tidying, 5, &nothing, 1100 << 20, 1000 << 20).is_empty());
        assert_eq!(
            due(&mut tidying, 90, &nothing, 1100 << 20, 0),
            [0, 12, 24],
            "what stays then is held by somebody"
        );
        assert!(due(&mut tidying, 20, &nothing, 105 << 20, 0).is_empty());
        // A little is given back while nothing happens, and left while something does.
        let mut reserved = 0;
        for _ in 0..20 {
            reserved += 1;
            assert!(!tidying.is_due(nothing.clone(), 125 << 20, reserved));
        }
        assert_eq!(due(&mut tidying, 20, &nothing, 125 << 20, reserved), [2, 14]);
    }
}
