//! Who is within a task: one thread opens a gate for each of its tasks and closes it, and others go in and out.
//!
//! Nobody is inside once the gate is closed, and whoever goes in is inside the task that it came for, so that what the
//! owner lends for a task is alive for as long as anybody uses it.

use crate::sync::{AtomicU64, Ordering, hint};

/// Whether the gate is closed, how many are inside, and a number that grows with each task.
const CLOSED: u64 = 1;
const ONE: u64 = 2;
const TASK: u64 = 1 << 16;
const INSIDE: u64 = TASK - ONE;

/// A gate that its owner alone opens and closes.
pub(super) struct Gate(AtomicU64);

impl Gate {
    pub fn closed() -> Self {
        Self(AtomicU64::new(CLOSED))
    }

    /// Lets others in, for the next task. What was written before is seen by whoever enters.
    ///
    /// REQUIRES that the caller is the owner, and that the gate is closed.
    pub fn open(&self) {
        // Nobody is inside, so that the sum carries over all bits of `INSIDE` to the number of the task, which grows by
        // one, and leaves them zero.
        let opened = (self.0.load(Ordering::Relaxed) | INSIDE | CLOSED) + ONE;
        self.0.store(opened - CLOSED, Ordering::Release);
    }

    /// The task for which the gate is open.
    pub fn task(&self) -> Option<u64> {
        let state = self.0.load(Ordering::Relaxed);
        (state & CLOSED == 0).then_some(state / TASK)
    }

    /// Goes in for a task; `false` where that has ended.
    pub fn enter(&self, task: u64) -> bool {
        let enter = |state: u64| (state & CLOSED == 0 && state / TASK == task).then_some(state + ONE);
        self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, enter).is_ok()
    }

    /// Goes out again.
    ///
    /// REQUIRES that the caller went in.
    pub fn leave(&self) {
        self.0.fetch_sub(ONE, Ordering::Release);
    }

    /// Lets nobody in any more, and waits for those inside.
    pub fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
        let mut spins = 0u32;
        while self.0.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            if spins.is_multiple_of(256) { hint::yield_now() } else { hint::spin_loop() }
        }
    }
}

/// In orders that a machine rarely shows: `cargo test --features shuttle --lib shuttle_`. Every access is in one order
/// there, so that what the orderings say is for the reader to check.
#[cfg(all(test, feature = "shuttle"))]
mod shuttle_tests {
    use super::*;
    use shuttle::sync::atomic::AtomicUsize;
    use shuttle::{check_random, thread};
    use std::sync::Arc;

    const RUNS: usize = 2000;
    const PIECES: usize = 3;
    const TASKS: usize = 3;

    /// What an owner lends for a task, and takes back when it has closed the gate.
    struct Lent {
        gate: Gate,
        /// The number of the task, 0 while nothing is lent.
        task: AtomicUsize,
        next: AtomicUsize,
        done: [AtomicUsize; TASKS],
    }

    impl Lent {
        fn pieces(&self, task: usize) {
            while self.next.fetch_add(1, Ordering::Relaxed) < PIECES {
                assert_eq!(self.task.load(Ordering::Relaxed), task, "it is lent for as long as it is used");
                self.done[task - 1].fetch_add(1, Ordering::Relaxed);
            }
        }

        fn help(&self) {
            for _ in 0..2 * TASKS {
                if let Some(task) = self.gate.task()
                    && self.gate.enter(task)
                {
                    assert_eq!(
                        self.task.load(Ordering::Relaxed) as u64,
                        task,
                        "it is inside what it came for"
                    );
                    self.pieces(task as usize);
                    self.gate.leave();
                }
                thread::yield_now();
            }
        }
    }

    #[test]
    fn shuttle_nobody_is_inside_a_task_that_is_closed() {
        let run = || {
            let zero = || AtomicUsize::new(0);
            let (gate, done) = (Gate::closed(), [zero(), zero(), zero()]);
            let lent = Arc::new(Lent { gate, task: zero(), next: zero(), done });
            let helpers: Vec<_> = (0..2)
                .map(|_| {
                    let lent = lent.clone();
                    thread::spawn(move || lent.help())
                })
                .collect();
            for task in 1..=TASKS {
                lent.task.store(task, Ordering::Relaxed);
                lent.next.store(0, Ordering::Relaxed);
                lent.gate.open();
                lent.pieces(task);
                lent.gate.close();
                assert_eq!(lent.done[task - 1].load(Ordering::Relaxed), PIECES, "every piece is done, once");
                lent.task.store(0, Ordering::Relaxed);
            }
            helpers.into_iter().for_each(|helper| helper.join().unwrap());
        };
        check_random(run, RUNS);
    }
}
