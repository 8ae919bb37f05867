//! One run of a model: what it may take of memory, how many rounds its loops take, and whether it is to go on.
//!
//! All graphs within graphs of one batch share their run. What is taken is counted before it is taken: the values
//! between operators in the slots of a graph, and what an operator makes or needs within itself until its step ends.

use super::error::OpError;
use super::meter::Meter;
use crate::memory::{Budget, Reservation, Use};
use crate::scheduler::{StopFlag, Stopped};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The rounds that all loops of one run may take together: one that does not end by itself is ended.
const MAX_ROUNDS: u64 = 1 << 20;

/// The budget is asked for so many bytes at once, so that small tensors cost no look at it.
const GRAIN: u64 = 1 << 20;
/// A reservation that is larger than what is taken by more than this and by half is made smaller.
const SLACK: u64 = 64 << 20;

/// A batch on its way through a model.
#[derive(Debug)]
pub struct Run {
    stop: StopFlag,
    rounds: AtomicU64,
    /// Graphs within graphs that are being run.
    depth: AtomicUsize,
    progress: Arc<Progress>,
    meter: Arc<Meter>,
    taken: Mutex<Taken>,
}

/// The step that a run is at, for others that ask.
#[derive(Debug, Default)]
pub struct Progress {
    /// The step of the outermost graph.
    pub step: AtomicUsize,
    /// The rounds of loops that were begun.
    pub rounds: AtomicU64,
}

#[derive(Debug)]
struct Taken {
    /// Bytes of the values in slots.
    held: u64,
    /// Bytes that the operators at work have asked for.
    transient: u64,
    /// Of these, what was taken for a result that the operator at work has not asked for yet.
    implied: u64,
    peak: u64,
    /// The memory that is held for it; `None` where the values lie on a device that has memory of its own.
    reserved: Option<Reservation>,
}

impl Taken {
    fn total(&self) -> u64 {
        self.held.saturating_add(self.transient)
    }

    /// Holds as much of the budget as is taken.
    fn reserve(&mut self) -> Result<(), OpError> {
        let total = self.total();
        let Some(reserved) = &mut self.reserved else { return Ok(()) };
        if total <= reserved.bytes() {
            if reserved.bytes() - total > SLACK.max(total) {
                // What is made smaller always fits.
                let _ = reserved.resize(total);
            }
            return Ok(());
        }
        let rounded = total.div_ceil(GRAIN).saturating_mul(GRAIN);
        reserved
            .resize(rounded)
            .or_else(|_| reserved.resize(total))
            .map_err(|full| OpError::memory(full.to_string(), total > full.most))
    }
}

impl Run {
    /// A run that takes memory of a model's share and of the process's budget.
    ///
    /// `on_host` says whether the values of the run lie in the memory of the process.
    pub fn begin(meter: Arc<Meter>, budget: &Budget, on_host: bool, stop: StopFlag) -> Self {
        // Nothing always fits.
        let reserved = budget.reserve(Use::Running, 0).ok().filter(|_| on_host);
        let taken = Taken { held: 0, transient: 0, implied: 0, peak: 0, reserved };
        let (rounds, depth, progress) = Default::default();
        Self { stop, rounds, depth, progress, meter, taken: Mutex::new(taken) }
    }

    /// A run that nothing limits and nobody stops.
    pub fn alone() -> Self {
        Self::begin(Arc::default(), &Budget::unlimited(), false, StopFlag::default())
    }

    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    pub fn stop(&self) -> &StopFlag {
        &self.stop
    }

    /// An error where the run is to end. To be asked between pieces of whatever takes long.
    pub fn go_on(&self) -> Result<(), OpError> {
        self.stop.reason().map_or(Ok(()), |why| Err(why.into()))
    }

    /// Counts a round of a body. To be asked before it is run once more.
    pub fn count_round(&self) -> Result<(), OpError> {
        self.go_on()?;
        let rounds = self.rounds.fetch_add(1, Relaxed);
        self.progress.rounds.store(rounds + 1, Relaxed);
        if rounds < MAX_ROUNDS {
            Ok(())
        } else {
            Err(format!("it has not ended after {MAX_ROUNDS} rounds").into())
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes memory until the step that is being run ends, or the [`Scope`] around the call.
    pub fn take(&self, bytes: u64) -> Result<(), OpError> {
        let mut taken = self.taken();
        let known = taken.implied.min(bytes);
        taken.implied -= known;
        drop(taken);
        self.add(bytes - known, |taken| &mut taken.transient)
    }

    /// Takes memory for a result of so many bytes, of which the operator that comes to be run may say nothing. What it asks
    /// for first is a part of that. Lasts as long as the [`Scope`] around the call.
    pub fn imply(&self, bytes: u64) -> Result<(), OpError> {
        self.add(bytes, |taken| &mut taken.transient)?;
        self.taken().implied = bytes;
        Ok(())
    }

    fn add(&self, bytes: u64, to: fn(&mut Taken) -> &mut u64) -> Result<(), OpError> {
        let mut taken = self.taken();
        let before = *to(&mut taken);
        *to(&mut taken) = before.saturating_add(bytes);
        let (needed, allowed) = (taken.total(), self.meter.limit());
        let fits = if needed > allowed {
            self.meter.refused(needed);
            let reason = format!(
                "out of memory: the batch takes {needed} bytes at this point, and the model's share leaves it {allowed}"
            );
            Err(OpError::memory(reason, true))
        } else {
            taken.reserve()
        };
        if fits.is_err() {
            *to(&mut taken) = before;
        } else {
            taken.peak = taken.peak.max(needed);
        }
        fits
    }

    /// Begins a scope: memory that is taken from here on is given back when it is dropped.
    pub fn scope(&self) -> Scope<'_> {
        let taken = self.taken();
        Scope { run: self, before: (taken.transient, taken.implied) }
    }

    /// A graph begins, whose values have so many slots.
    pub fn enter(&self, slots: usize) -> Frame<'_> {
        let depth = self.depth.fetch_add(1, Relaxed);
        Frame { run: self, depth, slots: vec![0; slots], live: 0 }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.meter.took(self.taken().peak);
    }
}

/// Gives back what is taken while it lives.
#[must_use = "what is taken is given back when this is dropped"]
pub struct Scope<'a> {
    run: &'a Run,
    before: (u64, u64),
}

impl Scope<'_> {
    /// Gives back what was taken since it began.
    pub fn reset(&self) {
        let mut taken = self.run.taken();
        (taken.transient, taken.implied) = self.before;
        let _ = taken.reserve();
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        self.reset();
    }
}

/// The values of one graph that is being run. What they take is given back when this is dropped.
///
/// What the graph is given is counted by whoever gives it; see [`Frame::put`].
pub struct Frame<'a> {
    run: &'a Run,
    depth: usize,
    /// The bytes of the value in each slot.
    slots: Vec<u64>,
    live: u64,
}

impl Frame<'_> {
    /// The number of graphs around this one.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// A value has come to be in a slot. What was in the slot was read for the last time.
    pub fn put(&mut self, slot: usize, bytes: u64) -> Result<(), OpError> {
        self.run.add(bytes, |taken| &mut taken.held)?;
        self.live = self.live.saturating_add(bytes);
        let before = self.slots.get_mut(slot).map_or(0, |held| std::mem::replace(held, bytes));
        self.give_back(before);
        Ok(())
    }

    /// The value in a slot was read for the last time.
    pub fn free(&mut self, slot: usize) {
        let bytes = self.slots.get_mut(slot).map_or(0, std::mem::take);
        self.give_back(bytes);
    }

    fn give_back(&mut self, bytes: u64) {
        if bytes > 0 {
            self.live = self.live.saturating_sub(bytes);
            let mut taken = self.run.taken();
            taken.held = taken.held.saturating_sub(bytes);
        }
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        self.give_back(self.live);
        self.run.depth.fetch_sub(1, Relaxed);
    }
}

impl From<Stopped> for OpError {
    fn from(why: Stopped) -> Self {
        Self::stopped(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::OpErrorKind;

    fn limited(limit: u64) -> Run {
        let meter = Arc::new(Meter::default());
        meter.set_limit(limit);
        Run::begin(meter, &Budget::unlimited(), true, StopFlag::default())
    }

    #[test]
    fn the_peak_holds_what_an_operator_reads_and_writes() {
        let run = limited(u64::MAX);
        let meter = run.meter.clone();
        let mut frame = run.enter(2);
        frame.put(0, 100).unwrap();
        frame.put(1, 50).unwrap();
        frame.free(0);
        frame.put(0, 20).unwrap();
        drop(frame);
        drop(run);
        assert_eq!(meter.peak(), 150);
        let run = Run::begin(meter.clone(), &Budget::unlimited(), true, StopFlag::default());
        let mut frame = run.enter(2);
        frame.put(0, 100).unwrap();
        // The operator that reads slot 0 for the last time writes into it.
        frame.put(0, 80).unwrap();
        frame.put(1, 10).unwrap();
        drop(frame);
        drop(run);
        assert_eq!(meter.peak(), 180);
    }

    #[test]
    fn over_the_limit_is_an_error_with_both_numbers() {
        let run = limited(120);
        let mut frame = run.enter(2);
        frame.put(0, 100).unwrap();
        let error = frame.put(1, 50).unwrap_err();
        assert!(matches!(error.kind, OpErrorKind::Memory { .. }));
        assert!(error.reason.contains("150 bytes") && error.reason.contains("120"), "{error}");
        run.take(20).unwrap();
        assert!(run.take(1).is_err(), "what an operator needs within itself counts");
    }

    #[test]
    fn a_graph_within_takes_of_the_same_share_and_gives_it_back() {
        let run = limited(100);
        let mut outer = run.enter(1);
        outer.put(0, 60).unwrap();
        for _ in 0..3 {
            let mut inner = run.enter(1);
            assert!(inner.put(0, 50).is_err());
            inner.put(0, 40).unwrap();
            assert_eq!(inner.depth(), 1);
        }
        outer.free(0);
        run.take(100).unwrap();
    }

    #[test]
    fn what_is_taken_is_reserved_of_the_budget_until_the_run_ends() {
        let budget = Budget::new(8 * GRAIN);
        let run = Run::begin(Arc::default(), &budget, true, StopFlag::default());
        let other = budget.reserve(Use::Weights, 3 * GRAIN).unwrap();
        {
            let scope = run.scope();
            run.take(5 * GRAIN).unwrap();
            let error = run.take(1).unwrap_err();
            assert!(matches!(error.kind, OpErrorKind::Memory { .. }));
            scope.reset();
            run.take(GRAIN / 2).unwrap();
        }
        assert!(run.take(5 * GRAIN).is_ok());
        drop(run);
        assert_eq!(budget.usage().reserved(), other.bytes());
    }

    #[test]
    fn what_is_implied_is_a_part_of_what_is_asked_for() {
        let run = limited(100);
        let scope = run.scope();
        run.imply(60).unwrap();
        assert!(run.imply(60).is_err());
        {
            let _inner = run.scope();
            run.take(70).unwrap();
        }
        run.take(50).unwrap();
        run.take(50).unwrap();
        assert!(run.take(1).is_err());
        drop(scope);
        run.take(100).unwrap();
    }

    #[test]
    fn rounds_end_at_their_number_and_at_the_flag() {
        let run = Run::alone();
        run.count_round().unwrap();
        run.rounds.store(MAX_ROUNDS, Relaxed);
        assert!(run.count_round().unwrap_err().reason.contains("rounds"));
        run.stop.stop(Stopped::TooLong);
        assert_eq!(run.count_round().unwrap_err().kind, OpErrorKind::Stopped(Stopped::TooLong));
    }
}
