//! One device: its instances, their queues, and the batches on their way.
//!
//! There is no thread that hands out work. Whoever puts an item into a queue starts a batch if a lane is
//! free; whoever ends a batch starts the next. Where every lane is taken, the rows of the batch that comes next
//! may be sent to the device meanwhile. One short lock a device guards the queues and shares, and nothing is
//! run, dropped or answered under it. Only instances whose batches wait for more (`wait`) have
//! a thread for the clock.

use super::item::{Dropped, Item, answer_dropped};
use super::queue::Terms;
use super::share::Charge;
use super::state::{Formed, State, Usage, Work};
use super::ticket::{Rejected, Ticket};
use super::{Counters, Executor, OwnThreads, Runner, SharedPool, Snapshot, Value, Want};
use crate::plan::{BatchPolicy, DeviceId};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How an instance is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Of the device's time, in (0, 1]; 0 is best effort: what the others leave idle.
    pub share: f64,
    pub batch: BatchPolicy,
    /// Items that may wait; for those whose request has begun, twice as many.
    pub queue: usize,
    /// Its batches that may be on the way at once, at most.
    pub lanes: usize,
    /// Bytes of the device's memory that the model may take, all of its instances together: as many of
    /// their batches are on the way at once as fit beside their weights, and never fewer than one.
    pub memory: Option<u64>,
}

/// A device that instances run on.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

/// A place for one loaded model on a device. Dropping it takes the model out of service; batches on the
/// way end first.
pub struct Instance {
    device: Arc<Inner>,
    id: u64,
    runner: Arc<dyn Runner>,
    counters: Arc<Counters>,
}

struct Inner {
    id: DeviceId,
    executor: Box<dyn Executor>,
    state: Mutex<Guarded>,
    /// Wakes the clock's thread.
    clock: Condvar,
}

struct Guarded {
    state: State,
    clock_runs: bool,
    /// When the clock's thread wakes by itself.
    alarm: Option<Instant>,
}

// === impl Device ===

impl Device {
    /// With the threads that a device of this kind has.
    pub fn open(id: DeviceId) -> std::io::Result<Self> {
        Ok(match id {
            DeviceId::Cpu => Self::new(id, SharedPool),
            DeviceId::Cuda(_) => Self::new(id, OwnThreads::start(id)?),
        })
    }

    pub fn new(id: DeviceId, executor: impl Executor) -> Self {
        let state = State::new(executor.lanes(), executor.stages());
        Self(Arc::new(Inner {
            id,
            executor: Box::new(executor),
            state: Mutex::new(Guarded { state, clock_runs: false, alarm: None }),
            clock: Condvar::new(),
        }))
    }

    pub fn id(&self) -> DeviceId {
        self.0.id
    }

    /// Batches that may be on the way at once.
    pub fn lanes(&self) -> usize {
        self.0.executor.lanes()
    }

    /// Who had how much of its time of late.
    pub fn usage(&self) -> Usage {
        self.0.lock().state.usage(Instant::now())
    }

    /// Gives a loaded model a queue. The instances of one model on one device draw on one share.
    pub fn instance(&self, model: &str, runner: Arc<dyn Runner>, policy: Policy) -> Instance {
        let policy = effective(policy, runner.joins());
        let counters = Arc::new(Counters::default());
        let id = self.0.lock().state.add(model, runner.clone(), policy.clone(), counters.clone());
        counters.limit_is(policy.queue);
        self.0.run_clock();
        Instance { device: self.0.clone(), id, runner, counters }
    }
}

impl Policy {
    /// Whether batches wait for more.
    pub(super) fn is_patient(&self) -> bool {
        !self.batch.wait.is_zero()
    }
}

fn effective(mut policy: Policy, joins: bool) -> Policy {
    if !joins {
        policy.batch = BatchPolicy::up_to(1);
    }
    policy.batch.max = policy.batch.max.max(1);
    policy.lanes = policy.lanes.max(1);
    policy
}

// === impl Instance ===

impl Instance {
    /// Puts an item into the queue. Never blocks.
    ///
    /// `inputs` are in the order of the model's signature, without a batch axis; `wants` says what becomes
    /// of each output.
    pub fn submit(&self, inputs: Vec<Value>, wants: Arc<[Want]>, terms: Terms) -> Result<Ticket, Rejected> {
        let now = Instant::now();
        let (reply, receiver) = oneshot::channel();
        let span = tracing::Span::current();
        let item = Item { inputs, wants, terms, queued: now, span, reply };
        self.device.submit(self.id, item, now).map(|()| Ticket(receiver))
    }

    /// Whether an item on these terms would be taken in now. Cheap where the queue is not full.
    pub fn room(&self, terms: Terms) -> Result<(), Rejected> {
        if self.is_roomy() {
            return Ok(());
        }
        let mut dropped = Dropped::new();
        let room = self.device.lock().state.room(self.id, terms, Instant::now(), &mut dropped);
        answer_dropped(dropped);
        room
    }

    /// Whether the queue is not full, as far as is known without a look at it.
    pub fn is_roomy(&self) -> bool {
        self.counters.has_room()
    }

    /// Items that wait or run.
    pub fn load(&self) -> u64 {
        self.counters.load()
    }

    /// Serves by another policy from here on.
    pub fn set_policy(&self, policy: Policy) {
        let policy = effective(policy, self.runner.joins());
        self.counters.limit_is(policy.queue);
        self.device.lock().state.set_policy(self.id, policy);
        self.device.run_clock();
        self.device.start_ready();
        self.device.clock.notify_all();
    }

    /// Lets batches wait no longer than that for more, until another policy is set.
    pub fn wait_at_most(&self, wait: Duration) {
        self.device.lock().state.wait_at_most(self.id, wait);
        self.device.start_ready();
        self.device.clock.notify_all();
    }

    pub fn counters(&self) -> Snapshot {
        self.counters.snapshot()
    }

    pub fn device(&self) -> DeviceId {
        self.device.id
    }

    pub fn runner(&self) -> &Arc<dyn Runner> {
        &self.runner
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let entry = self.device.lock().state.remove(self.id);
        // Outside the lock: what still waited is answered by the drop of its reply.
        self.counters.queue_is(0);
        drop(entry);
        // Others of the model may have waited for its memory.
        self.device.start_ready();
        self.device.clock.notify_all();
    }
}

// === impl Inner ===

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Guarded> {
        lock(&self.state)
    }

    fn submit(self: &Arc<Self>, id: u64, item: Item, now: Instant) -> Result<(), Rejected> {
        let mut dropped = Dropped::new();
        let (pushed, work, wake_clock) = {
            let mut guard = self.lock();
            let pushed = guard.state.push(id, item, now, &mut dropped);
            let work = if pushed.is_ok() { guard.state.next(now, &mut dropped) } else { None };
            // What was taken may be another's, and leave a rest that waits for more.
            let due = if work.is_some() { guard.next_due(now) } else { guard.state.due(id, now) };
            (pushed, work, guard.advance_alarm(due))
        };
        if let Some(work) = work {
            self.spawn(work);
        }
        if wake_clock {
            self.clock.notify_all();
        }
        answer_dropped(dropped);
        pushed.map_err(|(rejected, _)| rejected)
    }

    fn spawn(self: &Arc<Self>, work: Work) {
        let inner = self.clone();
        self.executor.spawn(match work {
            Work::Run(formed, charge) => Box::new(move || inner.run(formed, charge)),
            Work::Stage(formed) => Box::new(move || inner.stage(formed)),
        });
    }

    /// Starts all that is ready and has a lane.
    fn start_ready(self: &Arc<Self>) {
        loop {
            let mut dropped = Dropped::new();
            let work = self.lock().state.next(Instant::now(), &mut dropped);
            answer_dropped(dropped);
            match work {
                Some(work) => self.spawn(work),
                None => return,
            }
        }
    }

    /// On a thread of the device: runs a batch, then starts the next.
    fn run(self: Arc<Self>, formed: Formed, charge: Charge) {
        let Formed { instance, model, runner, counters, hold, batch, items, staged } = formed;
        let rows = items.len();
        let took = super::run::run(&model, &*runner, &batch, items, staged, &counters);
        // The last hold on a model that was taken out of service frees it here, outside the lock.
        drop(runner);
        self.go_on(|state, now| state.finish(instance, hold, charge, rows, took, now));
    }

    /// On a thread of the device: sends the rows of a batch there, to be run when it is its turn.
    fn stage(self: Arc<Self>, mut formed: Formed) {
        formed.staged = super::run::stage(&formed.model, &formed.runner, &formed.batch, &formed.items);
        self.go_on(|state, _| state.staged(formed));
    }

    /// Tells what has been done, and starts what is to be done now.
    fn go_on(self: &Arc<Self>, tell: impl FnOnce(&mut State, Instant)) {
        let now = Instant::now();
        let mut dropped = Dropped::new();
        let (works, wake_clock) = {
            let mut guard = self.lock();
            tell(&mut guard.state, now);
            // One to be run, and with that on its way one to be staged.
            let works = [(); 2].map(|()| guard.state.next(now, &mut dropped));
            // A queue that was full a moment ago, or had no room to run, may wait for more by now.
            let due = guard.next_due(now);
            (works, guard.advance_alarm(due))
        };
        for work in works.into_iter().flatten() {
            self.spawn(work);
        }
        if wake_clock {
            self.clock.notify_all();
        }
        answer_dropped(dropped);
    }

    /// Starts the clock's thread where instances need one and it does not run.
    fn run_clock(self: &Arc<Self>) {
        let mut guard = self.lock();
        if guard.clock_runs || !guard.state.has_patient() {
            return;
        }
        let inner = self.clone();
        let name = format!("rserve-{}-wait", self.id);
        match std::thread::Builder::new().name(name).spawn(move || inner.keep_clock()) {
            Ok(_) => guard.clock_runs = true,
            // Batches then form when a lane is next free, or full.
            Err(error) => tracing::error!(%error, "no thread for `batch.wait`"),
        }
    }

    /// Starts batches whose oldest item has waited long enough, until no instance waits for more.
    fn keep_clock(self: Arc<Self>) {
        let mut guard = self.lock();
        while guard.state.has_patient() {
            let now = Instant::now();
            let mut dropped = Dropped::new();
            let work = guard.state.next(now, &mut dropped);
            if work.is_some() || !dropped.is_empty() {
                drop(guard);
                if let Some(work) = work {
                    self.spawn(work);
                }
                answer_dropped(dropped);
                guard = self.lock();
                continue;
            }
            guard.alarm = guard.state.next_due(now);
            guard = match guard.alarm {
                Some(due) => {
                    let pause = due.saturating_duration_since(now);
                    self.clock.wait_timeout(guard, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.clock.wait(guard).unwrap_or_else(PoisonError::into_inner),
            };
        }
        guard.clock_runs = false;
        guard.alarm = None;
    }
}

impl Guarded {
    /// When the first batch that waits for more is due.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.state.has_patient() { self.state.next_due(now) } else { None }
    }

    /// Whether the clock's thread must be woken, as a batch is due before it would wake.
    fn advance_alarm(&mut self, due: Option<Instant>) -> bool {
        match due {
            Some(due) if self.alarm.is_none_or(|alarm| due < alarm) => {
                self.alarm = Some(due);
                true
            }
            _ => false,
        }
    }
}
