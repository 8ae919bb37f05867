//! Work shared with the threads of the pool, without waiting for any of them to wake up.
//!
//! Threads of the pool that have nothing else to do help the thread that shares work: they look for pieces without
//! going to sleep between one operation and the next, and take up whatever else the pool is given. The caller works
//! through the pieces itself; a thread that comes late finds nothing left, so a busy machine costs no more than doing
//! everything alone. The caller never takes up other work of the pool while it waits, so that what it keeps for its
//! thread stays its own.

use super::gate::Gate;
use crate::scheduler::{StopFlag, Stopping, stop};
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a thread looks for a piece to do: about what it takes to wake one up. What lasts longer would take
/// the core from whoever answers requests.
const PATIENCE: Duration = Duration::from_micros(30);

/// The work that one thread shares, and the threads that help it.
struct SharedWork {
    gate: Gate,
    next: AtomicUsize,
    panicked: AtomicBool,
    /// Written by the owner while the task is closed and nobody is inside; read by those inside alone.
    task: UnsafeCell<Task>,
    /// The number of threads that help, or are asked to.
    helping: AtomicUsize,
}

#[derive(Clone)]
struct Task {
    pieces: usize,
    work: *const (dyn Fn(usize) + Sync),
    stop: Option<StopFlag>,
}

// SAFETY: `task` is written only while no other thread is inside, and its `work` points to what may be shared among
// threads (`Sync`) and outlives the task, as the owner waits for those inside before it goes on.
unsafe impl Send for SharedWork {}
// SAFETY: as above; all other fields are atomics.
unsafe impl Sync for SharedWork {}

thread_local! {
    /// The work that this thread shares.
    static OWN: Arc<SharedWork> = Arc::new(SharedWork::new());
    /// Whether this thread is within `share` already.
    static SHARES: Cell<bool> = const { Cell::new(false) };
}

/// Models that run at this moment, on threads of pools that have others.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A model that runs, as long as this lives: where as many run as there are threads, each keeps to its own.
pub struct Running(bool);

impl Running {
    pub fn begin() -> Self {
        let counts = rayon::current_num_threads() > 1;
        if counts {
            RUNNING.fetch_add(1, Ordering::Relaxed);
        }
        Self(counts)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0 {
            RUNNING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Calls `work` once for every piece from 0 on, on this thread and up to `threads - 1` others of the pool, as far as
/// those do not run a model of their own.
pub fn share(pieces: usize, threads: usize, work: &(dyn Fn(usize) + Sync)) {
    let others = RUNNING.load(Ordering::Relaxed).saturating_sub(1);
    let helpers = threads.saturating_sub(others).min(pieces).saturating_sub(1);
    if SHARES.get() {
        // A part of what is a piece already.
        return (0..pieces).for_each(work);
    }
    let stop = stop::current();
    let go_on = || stop.as_ref().is_none_or(|flag| !flag.is_set());
    if helpers == 0 {
        return (0..pieces).take_while(|_| go_on()).for_each(work);
    }
    OWN.with(|shared| shared.run(pieces, helpers, work, stop));
}

/// Shares as [`share`] does, for pieces that each write to a part of a slice: `per` elements, and what is left in the
/// last.
pub fn share_chunks<T: Send>(
    values: &mut [T],
    per: usize,
    threads: usize,
    work: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    let (per, len) = (per.max(1), values.len());
    let start = Target(values.as_mut_ptr());
    share(len.div_ceil(per), threads, &|piece| {
        let at = piece * per;
        // SAFETY: within the slice, which is borrowed for as long; no two pieces have an element in common.
        let part = unsafe { std::slice::from_raw_parts_mut(start.get().add(at), per.min(len - at)) };
        work(piece, part);
    });
}

/// A place that several threads write to, each its own part of it.
#[derive(Clone, Copy)]
pub struct Target<T = f32>(pub *mut T);

// SAFETY: each thread writes to elements that no other reads or writes, as every user of it argues, and they may go to
// it.
unsafe impl<T: Send> Send for Target<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Target<T> {}

impl<T> Target<T> {
    pub fn get(&self) -> *mut T {
        self.0
    }
}

/// Threads for so much work: one where it is less than what is done in some microseconds.
pub fn threads_for(work: usize, least: usize) -> usize {
    if work < least { 1 } else { rayon::current_num_threads() }
}

/// Closes a gate when it is dropped.
struct Closing<'a>(&'a Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl SharedWork {
    fn new() -> Self {
        Self {
            gate: Gate::closed(),
            next: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            task: UnsafeCell::new(Task { pieces: 0, work: &|_| (), stop: None }),
            helping: AtomicUsize::new(0),
        }
    }

    fn run(
        self: &Arc<Self>,
        pieces: usize,
        helpers: usize,
        work: &(dyn Fn(usize) + Sync),
        stop: Option<StopFlag>,
    ) {
        // SAFETY: only the lifetime is changed. No thread uses it after `close`, which the guard below calls on every
        // path out of this function, panics included.
        let work: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(work) };
        // SAFETY: this thread alone owns the shared work, as it is the only one whose `OWN` has it, and `SHARES` keeps
        // it from coming here twice; its last task is closed, and `close` saw nobody inside.
        unsafe { *self.task.get() = Task { pieces, work, stop: stop.clone() } };
        self.next.store(0, Ordering::Relaxed);
        let closing = Closing(&self.gate);
        self.gate.open();
        for _ in self.helping.load(Ordering::Relaxed)..helpers {
            self.helping.fetch_add(1, Ordering::Relaxed);
            let shared = self.clone();
            rayon::spawn(move || shared.assist());
        }
        SHARES.set(true);
        let own = catch_unwind(AssertUnwindSafe(|| self.pieces(pieces, work, stop.as_ref())));
        SHARES.set(false);
        drop(closing);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        let panicked = self.panicked.swap(false, Ordering::Relaxed);
        assert!(!panicked, "a part of the operation panicked on another thread");
    }

    fn pieces(&self, pieces: usize, work: &(dyn Fn(usize) + Sync), stop: Option<&StopFlag>) {
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces || stop.is_some_and(StopFlag::is_set) {
                return;
            }
            work(piece);
        }
    }

    /// Helps with every task, on a thread of the pool, until there is none for a while.
    fn assist(&self) {
        // The thread that shares comes by this when all others were busy until it was done.
        let own = OWN.with(|shared| std::ptr::eq(&**shared, self));
        if !own {
            self.look_for_pieces();
        }
        self.helping.fetch_sub(1, Ordering::Relaxed);
    }

    fn look_for_pieces(&self) {
        let mut done = 0;
        let mut idle: Option<Instant> = None;
        let mut spins = 0u32;
        loop {
            if let Some(task) = self.gate.task().filter(|task| *task != done) {
                done = task;
                self.help(task);
                idle = None;
                continue;
            }
            spins = spins.wrapping_add(1);
            if spins.is_multiple_of(32) {
                // Another batch, or a part of an operation that shares its work by rayon itself.
                if rayon::yield_now() == Some(rayon::Yield::Executed) {
                    idle = None;
                } else {
                    // Or whoever else wants this core: what answers requests is on the same ones.
                    std::thread::yield_now();
                }
                if idle.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return;
                }
            }
            std::hint::spin_loop();
        }
    }

    fn help(&self, task: u64) {
        if !self.gate.enter(task) {
            return;
        }
        // SAFETY: entered, so the owner has written the task and waits for this thread before it writes another,
        // and what it lent is alive.
        let (Task { pieces, stop, .. }, work) = unsafe { (&*self.task.get(), &*(*self.task.get()).work) };
        let outer = SHARES.replace(true);
        let stopping = stop.as_ref().map(Stopping::begin);
        let helped = catch_unwind(AssertUnwindSafe(|| self.pieces(*pieces, work, stop.as_ref())));
        drop(stopping);
        SHARES.set(outer);
        if helped.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.gate.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_piece_is_done_once(pieces: usize, threads: usize) {
        let done: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
        share(pieces, threads, &|piece| {
            done[piece].fetch_add(1, Ordering::Relaxed);
        });
        assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn every_piece_is_done_once_by_any_number_of_threads() {
        for (pieces, threads) in [(0, 4), (1, 4), (100, 1), (1000, 2), (1000, 7)] {
            every_piece_is_done_once(pieces, threads);
        }
    }

    #[test]
    fn one_thread_shares_its_work_many_times() {
        (0..3000).for_each(|index| every_piece_is_done_once(index % 40, 1 + index % 5));
    }

    #[test]
    fn what_is_shared_within_a_piece_is_done_on_its_thread() {
        let done = AtomicUsize::new(0);
        share(16, 4, &|_| {
            let thread = std::thread::current().id();
            share(8, 4, &|_| {
                assert_eq!(std::thread::current().id(), thread);
                done.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(done.into_inner(), 128);
    }

    #[test]
    fn several_threads_of_the_pool_share_side_by_side() {
        rayon::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|_| (0..200).for_each(|_| every_piece_is_done_once(9, 4)));
            }
        });
    }

    #[test]
    fn models_that_run_side_by_side_keep_to_their_own_threads() {
        let running: Vec<Running> = (0..64).map(|_| Running::begin()).collect();
        let thread = std::thread::current().id();
        if rayon::current_num_threads() > 1 {
            share(8, 4, &|_| assert_eq!(std::thread::current().id(), thread));
        }
        drop(running);
        every_piece_is_done_once(64, 4);
    }

    #[test]
    fn what_is_left_once_the_flag_is_set_is_not_done() {
        for threads in [1, 4] {
            let (flag, done) = (StopFlag::default(), AtomicUsize::new(0));
            let outer = Stopping::begin(&StopFlag::default());
            {
                let _stopping = Stopping::begin(&flag);
                share(10_000, threads, &|piece| {
                    if piece == 5 {
                        flag.stop(crate::scheduler::Stopped::TooLong);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                });
                assert!(done.load(Ordering::Relaxed) < 10_000);
            }
            every_piece_is_done_once(100, threads);
            drop(outer);
        }
    }

    #[test]
    fn a_panic_of_any_thread_is_a_panic_of_the_caller() {
        for _ in 0..50 {
            let shared = catch_unwind(|| share(64, 3, &|piece| assert_ne!(piece, 40)));
            assert!(shared.is_err());
            every_piece_is_done_once(64, 3);
        }
    }
}
