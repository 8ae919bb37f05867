//! One device: its instances, their queues, and the batches on their way.
//!
//! There is no thread that hands out work. Whoever puts an item into a queue starts a batch if a lane is
//! free; whoever ends a batch starts the next. Where every lane is taken, the rows of the batch that comes next
//! may be sent to the device meanwhile. One short lock a device guards the queues and shares, and nothing is
//! run, dropped or answered under it. Only instances whose batches wait for more (`wait`) have
//! a thread for the clock.

use super::accounts::Usage;
use super::formed::{Formed, Next, Turn, Work};
use super::item::{Dropped, Item, answer_dropped};
use super::lanes::{Patience, RunId, Stuck};
use super::queue::Terms;
use super::run::{Ended, Run};
use super::state::State;
use super::ticket::{Rejected, Ticket};
use super::watch::Watch;
use super::{Counters, Executor, OwnThreads, Policy, Runner, SharedPool, Snapshot, Value, Want};
use crate::plan::DeviceId;
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::futures::Notified;
use tokio::sync::oneshot;

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
    /// Wakes the thread that looks after what runs.
    watch: Arc<Watch>,
    /// Whether that thread looks every now and then. Written with the state locked.
    watches: AtomicBool,
    patience: Patience,
}

struct Guarded {
    state: State,
    clock_runs: bool,
    /// When the clock's thread wakes by itself.
    alarm: Option<Instant>,
    /// Whether there is a thread that looks after what runs.
    has_watcher: bool,
}

// === impl Device ===

impl Device {
    /// Opens a device with the threads that one of this kind has.
    pub fn open(id: DeviceId) -> std::io::Result<Self> {
        Ok(match id {
            DeviceId::Cpu => Self::new(id, SharedPool::default()),
            DeviceId::Cuda(_) => Self::new(id, OwnThreads::start(id)?),
        })
    }

    pub fn new(id: DeviceId, executor: impl Executor) -> Self {
        Self::with_patience(id, executor, Patience::default())
    }

    pub fn with_patience(id: DeviceId, executor: impl Executor, patience: Patience) -> Self {
        let state = State::new(executor.lanes(), executor.stages(), executor.relief());
        let guarded = Guarded { state, clock_runs: false, alarm: None, has_watcher: false };
        Self(Arc::new(Inner {
            id,
            executor: Box::new(executor),
            state: Mutex::new(guarded),
            clock: Condvar::new(),
            watch: Arc::default(),
            watches: AtomicBool::new(false),
            patience,
        }))
    }

    pub fn id(&self) -> DeviceId {
        self.0.id
    }

    /// Batches that may be on the way at once.
    pub fn lanes(&self) -> usize {
        self.0.executor.lanes()
    }

    /// The parts of its time that its models had in the last seconds.
    pub fn usage(&self) -> Usage {
        self.0.lock().state.usage(Instant::now())
    }

    /// The batches that were told to end long ago and still run. While there are any, the device is sick.
    pub fn stuck(&self) -> Vec<Stuck> {
        self.0.lock().state.stuck(self.0.patience, Instant::now())
    }

    /// Gives a loaded model a queue. The instances of one model on one device draw on one share.
    pub fn instance(&self, model: &str, runner: Arc<dyn Runner>, policy: Policy) -> Instance {
        let policy = policy.effective(runner.joins());
        let counters = Arc::new(Counters::default());
        let id = self.0.lock().state.add(model, runner.clone(), policy.clone(), counters.clone());
        counters.limit_is(policy.queue);
        self.0.run_clock();
        Instance { device: self.0.clone(), id, runner, counters }
    }
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
        let item = Item { inputs, wants, terms, queued: now, alone: false, span, reply };
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

    /// Ends once an item has left the queue.
    pub(super) fn left(&self) -> Notified<'_> {
        self.counters.left()
    }

    /// Items that wait or run.
    pub fn load(&self) -> u64 {
        self.counters.load()
    }

    /// Serves by another policy from here on.
    pub fn set_policy(&self, policy: Policy) {
        let policy = policy.effective(self.runner.joins());
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
        match work {
            Work::Run(turn) if turn.in_relief => {
                self.watch_over();
                let ran = Arc::new(Mutex::new(None));
                let (inside, after) = (ran.clone(), self.clone());
                let run = move || *lock(&inside) = Some(inner.carry_out(turn));
                // What it starts next is for the lanes, and so not to be started from within.
                let then = move || {
                    if let Some(ran) = lock(&ran).take() {
                        after.ended(ran);
                    }
                };
                self.executor.spawn_in_relief(Box::new(run), Box::new(then));
            }
            Work::Run(turn) => {
                self.watch_over();
                self.executor.spawn(Box::new(move || {
                    let ran = inner.carry_out(turn);
                    inner.ended(ran);
                }));
            }
            Work::Stage(next) => self.executor.spawn(Box::new(move || inner.stage(next))),
        }
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

    /// Runs a batch and answers its items, on a thread of the device.
    fn carry_out(&self, turn: Turn) -> Ran {
        let Turn { id, formed, running, .. } = turn;
        let Formed { model, runner, counters, policy, items, staged, stop, .. } = formed;
        let rows = items.len();
        let (model, runner, policy) = (&*model, &*runner, &policy);
        let run = Run { model, runner, policy, counters: &counters, running: &running };
        Ran { id, rows, ended: run.run(items, staged, stop) }
    }

    /// A batch has ended: starts the next.
    fn ended(self: &Arc<Self>, ran: Ran) {
        // The last hold on a model that was taken out of service frees it here, outside the lock.
        drop(self.go_on(|state, now| state.finish(ran.id, ran.rows, &ran.ended, now)));
    }

    /// Sends the rows of a batch to the device, on one of its threads, to be run when it is its turn.
    fn stage(self: Arc<Self>, mut next: Next) {
        let Formed { model, runner, policy, items, stop, .. } = &next.formed;
        next.formed.staged = super::run::stage(model, runner, policy, items, stop);
        self.go_on(|state, _| state.staged(next));
    }

    /// Tells what has been done, and starts what is to be done now.
    fn go_on<T>(self: &Arc<Self>, tell: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let mut dropped = Dropped::new();
        let (told, works, wake_clock) = {
            let mut guard = self.lock();
            let told = tell(&mut guard.state, now);
            // One to be run, and with that on its way one to be staged.
            let works = [(); 2].map(|()| guard.state.next(now, &mut dropped));
            // A queue that was full a moment ago, or had no room to run, may wait for more by now.
            let due = guard.next_due(now);
            (told, works, guard.advance_alarm(due))
        };
        for work in works.into_iter().flatten() {
            self.spawn(work);
        }
        if wake_clock {
            self.clock.notify_all();
        }
        answer_dropped(dropped);
        told
    }

    /// Sees to it that a thread looks after the batch that is to run.
    fn watch_over(self: &Arc<Self>) {
        // The batch was counted with the state locked, so that whoever put the thread to sleep since has seen it.
        if self.watches.load(Ordering::Relaxed) || !self.executor.is_watched() {
            return;
        }
        let mut guard = self.lock();
        if guard.has_watcher {
            self.watches.store(true, Ordering::Relaxed);
            drop(guard);
            self.watch.wake();
            return;
        }
        let (inner, watch) = (Arc::downgrade(self), self.watch.clone());
        let look = move || inner.upgrade().map(|inner| inner.look());
        let name = format!("rserve-{}-watch", self.id);
        match std::thread::Builder::new().name(name).spawn(move || watch.keep(look)) {
            Ok(_) => {
                guard.has_watcher = true;
                self.watches.store(true, Ordering::Relaxed);
            }
            // It is tried again with the next batch.
            Err(error) => tracing::error!(%error, "no thread to look after batches that run"),
        }
    }

    /// Looks after the batches that run, and starts what may run beside them. Says whether there is anything to look
    /// after; where there is nothing, the next batch wakes the thread.
    fn look(self: &Arc<Self>) -> bool {
        let now = Instant::now();
        let mut dropped = Dropped::new();
        let (stuck, awake, work) = {
            let mut guard = self.lock();
            let (stuck, any) = guard.state.look(self.patience, now);
            self.watches.store(any, Ordering::Relaxed);
            let work = any.then(|| guard.state.next(now, &mut dropped)).flatten();
            (stuck, any, work)
        };
        if let Some(work) = work {
            self.spawn(work);
        }
        answer_dropped(dropped);
        for Stuck { model, node, ran, .. } in stuck {
            let (device, seconds) = (self.id.to_string(), ran.as_secs_f64());
            let node = node.as_deref().unwrap_or("not known");
            tracing::error!(%model, device, node, seconds, "a batch was told to end and does not come back");
        }
        awake
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

impl Drop for Inner {
    fn drop(&mut self) {
        self.watch.end();
    }
}

/// A batch that has run.
struct Ran {
    id: RunId,
    rows: usize,
    ended: Ended,
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
