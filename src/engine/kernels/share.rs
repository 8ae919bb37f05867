//! Work shared with the threads of the pool, without waiting for any of them to wake up.
//!
//! The caller works through the pieces itself; threads that are free take pieces too. A thread that comes
//! late finds nothing left, so a busy machine costs no more than doing everything alone. The caller never
//! takes up other work of the pool while it waits, so that what it keeps for its thread stays its own.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Set in [`Shared::inside`] when nobody may begin any more.
const CLOSED: usize = 1 << (usize::BITS - 1);

struct Shared {
    next: AtomicUsize,
    pieces: usize,
    /// Threads other than the caller's that are at work.
    inside: AtomicUsize,
    panicked: AtomicBool,
    /// Valid while `inside` is not closed, or counts somebody.
    work: *const (dyn Fn(usize) + Sync),
}

// SAFETY: `work` points to what may be shared among threads (`Sync`), and is used by another thread only
// between entering `inside` and leaving it, for which the caller of `share` waits.
unsafe impl Send for Shared {}
// SAFETY: as above; all other fields are atomics.
unsafe impl Sync for Shared {}

impl Shared {
    fn take(&self) -> Option<usize> {
        let piece = self.next.fetch_add(1, Ordering::Relaxed);
        (piece < self.pieces).then_some(piece)
    }

    fn help(&self) {
        let enter = |inside: usize| (inside & CLOSED == 0).then_some(inside + 1);
        if self.inside.fetch_update(Ordering::Acquire, Ordering::Relaxed, enter).is_err() {
            return;
        }
        // SAFETY: entered, so the caller is still waiting within `share` and what it lent is alive.
        let work = unsafe { &*self.work };
        let done = catch_unwind(AssertUnwindSafe(|| {
            while let Some(piece) = self.take() {
                work(piece);
            }
        }));
        if done.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.inside.fetch_sub(1, Ordering::Release);
    }

    /// Lets nobody in any more, and waits for those inside.
    fn close(&self) {
        self.inside.fetch_or(CLOSED, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.inside.load(Ordering::Acquire) != CLOSED {
            spins += 1;
            if spins.is_multiple_of(64) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

/// Calls `work` once for every piece from 0 on, on this thread and up to `threads - 1` others of the pool.
pub fn share(pieces: usize, threads: usize, work: &(dyn Fn(usize) + Sync)) {
    let helpers = threads.min(pieces).saturating_sub(1);
    if helpers == 0 {
        return (0..pieces).for_each(work);
    }
    // SAFETY: only the lifetime is changed. No thread uses it after `close`, which comes before the end of
    // this function on every path.
    let work: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(work) };
    let shared = Arc::new(Shared {
        next: AtomicUsize::new(0),
        pieces,
        inside: AtomicUsize::new(0),
        panicked: AtomicBool::new(false),
        work,
    });
    for _ in 0..helpers {
        let shared = shared.clone();
        rayon::spawn(move || shared.help());
    }
    let own = catch_unwind(AssertUnwindSafe(|| {
        while let Some(piece) = shared.take() {
            work(piece);
        }
    }));
    shared.close();
    if let Err(panic) = own {
        resume_unwind(panic);
    }
    assert!(!shared.panicked.load(Ordering::Relaxed), "a part of the operation panicked on another thread");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_by_any_number_of_threads() {
        for (pieces, threads) in [(0, 4), (1, 4), (100, 1), (1000, 2), (1000, 7)] {
            let done: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            share(pieces, threads, &|piece| {
                done[piece].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_panic_of_any_thread_is_a_panic_of_the_caller() {
        for _ in 0..50 {
            let shared = catch_unwind(|| share(64, 3, &|piece| assert_ne!(piece, 40)));
            assert!(shared.is_err());
        }
    }
}
