//! One device: its instances, their queues, and the batches on their way.
//!
//! There is no thread that hands out work. Whoever puts an item into a queue starts a batch if a lane is
//! free; whoever ends a batch starts the next. One short lock a device guards the queues and shares, and
//! nothing is run, dropped or answered under it. Only instances whose batches wait for more (`wait`) have
//! a thread for the clock.

use super::queue::{Dead, Item, Queue, Ready};
use super::share::{AccountId, Charge, Rank, Shares};
use super::ticket::{Rejected, Ticket};
use super::{Counters, Executor, OwnThread, Runner, SharedPool, Snapshot, Value, Want};
use crate::plan::{BatchPolicy, Batching, DeviceId};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How an instance is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Of the device's time, in (0, 1]; 0 is best effort: what the others leave idle.
    pub share: f64,
    pub batch: BatchPolicy,
    /// Items that may wait.
    pub queue: usize,
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
    lanes: usize,
    state: Mutex<State>,
    /// Wakes the clock's thread.
    clock: Condvar,
}

#[derive(Default)]
struct State {
    shares: Shares,
    /// By model: its account, and how many instances draw on it.
    accounts: HashMap<String, (AccountId, usize)>,
    instances: HashMap<u64, Entry>,
    next_id: u64,
    /// The instances that have something waiting.
    backlogged: Vec<u64>,
    /// Batches on the way.
    busy: usize,
    /// Instances whose batches wait for more.
    waiting_instances: usize,
    /// When the clock's thread wakes by itself.
    alarm: Option<Instant>,
    clock_runs: bool,
}

struct Entry {
    model: Arc<str>,
    account: AccountId,
    runner: Arc<dyn Runner>,
    policy: Policy,
    queue: Queue,
    counters: Arc<Counters>,
    pace: Pace,
}

/// How fast an instance's queue empties.
#[derive(Default)]
struct Pace {
    last: Option<Instant>,
    seconds_per_row: f64,
}

/// A batch on its way.
struct Formed {
    instance: u64,
    model: Arc<str>,
    runner: Arc<dyn Runner>,
    counters: Arc<Counters>,
    charge: Charge,
    items: Vec<Item>,
}

type Graveyard = Vec<(Item, Dead)>;

// === impl Device ===

impl Device {
    /// With the threads that a device of this kind has.
    pub fn open(id: DeviceId) -> std::io::Result<Self> {
        Ok(match id {
            DeviceId::Cpu => Self::new(id, SharedPool),
            DeviceId::Cuda(_) => Self::new(id, OwnThread::start(id)?),
        })
    }

    pub fn new(id: DeviceId, executor: impl Executor) -> Self {
        let lanes = executor.lanes().max(1);
        Self(Arc::new(Inner {
            id,
            executor: Box::new(executor),
            lanes,
            state: Mutex::default(),
            clock: Condvar::new(),
        }))
    }

    pub fn id(&self) -> DeviceId {
        self.0.id
    }

    /// Gives a loaded model a queue. The instances of one model on one device draw on one share.
    pub fn instance(&self, model: &str, runner: Arc<dyn Runner>, policy: Policy) -> Instance {
        let policy = effective(policy, runner.batching());
        let counters = Arc::new(Counters::default());
        let id = {
            let mut guard = self.0.lock();
            let state = &mut *guard;
            let account = match state.accounts.get_mut(model) {
                Some((account, instances)) => {
                    *instances += 1;
                    state.shares.set_share(*account, policy.share);
                    *account
                }
                None => {
                    let account = state.shares.open(policy.share);
                    state.accounts.insert(model.to_owned(), (account, 1));
                    account
                }
            };
            let id = state.next_id;
            state.next_id += 1;
            let entry = Entry {
                model: model.into(),
                account,
                runner: runner.clone(),
                policy,
                queue: Queue::new(policy.queue, policy.batch),
                counters: counters.clone(),
                pace: Pace::default(),
            };
            state.instances.insert(id, entry);
            state.waiting_instances += usize::from(!policy.batch.wait.is_zero());
            id
        };
        self.0.run_clock();
        Instance { device: self.0.clone(), id, runner, counters }
    }
}

fn effective(mut policy: Policy, batching: Batching) -> Policy {
    if batching == Batching::One {
        policy.batch = BatchPolicy { max: 1, wait: Duration::ZERO };
    }
    policy.batch.max = policy.batch.max.max(1);
    policy
}

// === impl Instance ===

impl Instance {
    /// Puts an item into the queue. Never blocks.
    ///
    /// `inputs` are in the order of the model's signature, without a batch axis; `wants` says what becomes
    /// of each output.
    pub fn submit(
        &self,
        inputs: Vec<Value>,
        wants: Arc<[Want]>,
        deadline: Instant,
    ) -> Result<Ticket, Rejected> {
        let now = Instant::now();
        let (reply, receiver) = oneshot::channel();
        let item = Item { inputs, wants, deadline, queued: now, reply };
        self.device.submit(self.id, item, now).map(|()| Ticket(receiver))
    }

    /// Serves by another policy from here on.
    pub fn set_policy(&self, policy: Policy) {
        let policy = effective(policy, self.runner.batching());
        {
            let mut guard = self.device.lock();
            let state = &mut *guard;
            if let Some(entry) = state.instances.get_mut(&self.id) {
                state.shares.set_share(entry.account, policy.share);
                state.waiting_instances -= usize::from(!entry.policy.batch.wait.is_zero());
                state.waiting_instances += usize::from(!policy.batch.wait.is_zero());
                entry.policy = policy;
                entry.queue.set(policy.queue, policy.batch);
            }
        }
        self.device.run_clock();
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
        let entry = {
            let mut guard = self.device.lock();
            let state = &mut *guard;
            let Some(entry) = state.instances.remove(&self.id) else { return };
            if !entry.queue.is_empty() {
                state.backlogged.retain(|id| *id != self.id);
                state.shares.queue_emptied(entry.account);
            }
            if let Some((account, instances)) = state.accounts.get_mut(&*entry.model) {
                *instances -= 1;
                if *instances == 0 {
                    state.shares.close(*account);
                    state.accounts.remove(&*entry.model);
                }
            }
            state.waiting_instances -= usize::from(!entry.policy.batch.wait.is_zero());
            entry
        };
        // Outside the lock: what still waited is answered by the drop of its reply.
        self.counters.queue_is(0);
        drop(entry);
        self.device.clock.notify_all();
    }
}

// === impl Inner ===

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(self: &Arc<Self>, id: u64, item: Item, now: Instant) -> Result<(), Rejected> {
        let mut dead = vec![];
        // An item that is not taken is dropped with `_refused`, after the lock.
        let (answer, _refused, formed, wake_clock) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let Some(entry) = state.instances.get_mut(&id) else { return Err(Rejected::Closed) };
            let was_empty = entry.queue.is_empty();
            let pushed = entry.queue.push(item, now, &mut dead);
            for (_, why) in &dead {
                entry.counters.dead(*why);
            }
            match pushed {
                Ok(()) => {
                    entry.counters.submitted();
                    entry.counters.queue_is(entry.queue.len());
                    if was_empty {
                        state.backlogged.push(id);
                        state.shares.queue_filled(entry.account);
                    }
                    let formed = state.form_next(now, self.lanes, &mut dead);
                    (Ok(()), None, formed, state.alarm_is_late(id, now))
                }
                Err(item) => {
                    entry.counters.rejected();
                    let retry_after = entry.pace.drain_time(entry.queue.len());
                    (Err(Rejected::Full { retry_after }), Some(item), None, false)
                }
            }
        };
        if let Some(formed) = formed {
            self.spawn(formed);
        }
        if wake_clock {
            self.clock.notify_all();
        }
        self.bury(dead);
        answer
    }

    fn spawn(self: &Arc<Self>, formed: Formed) {
        let inner = self.clone();
        self.executor.spawn(Box::new(move || inner.run(formed)));
    }

    /// Starts all that is ready and has a lane.
    fn start_ready(self: &Arc<Self>) {
        loop {
            let mut dead = vec![];
            let formed = self.lock().form_next(Instant::now(), self.lanes, &mut dead);
            self.bury(dead);
            match formed {
                Some(formed) => self.spawn(formed),
                None => return,
            }
        }
    }

    /// On a thread of the device: runs a batch, then starts the next.
    fn run(self: Arc<Self>, formed: Formed) {
        let Formed { instance, model, runner, counters, charge, items } = formed;
        let rows = items.len();
        let took = super::run::run(&model, &*runner, items, &counters);
        // The last hold on a model that was taken out of service frees it here, outside the lock.
        drop(runner);
        let now = Instant::now();
        let mut dead = vec![];
        let next = {
            let mut guard = self.lock();
            let state = &mut *guard;
            state.busy -= 1;
            state.shares.finish(charge, took);
            if let Some(entry) = state.instances.get_mut(&instance) {
                entry.pace.ran(rows, took, now, !entry.queue.is_empty());
            }
            state.form_next(now, self.lanes, &mut dead)
        };
        if let Some(next) = next {
            self.spawn(next);
        }
        self.bury(dead);
    }

    /// Answers those that were dropped from a queue.
    fn bury(&self, dead: Graveyard) {
        for (item, why) in dead {
            item.answer(Err(why.error()));
        }
    }

    /// Starts the clock's thread where instances need one and it does not run.
    fn run_clock(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.clock_runs || state.waiting_instances == 0 {
            return;
        }
        let inner = self.clone();
        let name = format!("rserve-{}-wait", self.id);
        match std::thread::Builder::new().name(name).spawn(move || inner.keep_clock()) {
            Ok(_) => state.clock_runs = true,
            // Batches then form when a lane is next free, or full.
            Err(error) => tracing::error!(%error, "no thread for `batch.wait`"),
        }
    }

    /// Starts batches whose oldest item has waited long enough, until no instance waits for more.
    fn keep_clock(self: Arc<Self>) {
        let mut state = self.lock();
        while state.waiting_instances > 0 {
            let now = Instant::now();
            let mut dead = vec![];
            let formed = state.form_next(now, self.lanes, &mut dead);
            if formed.is_some() || !dead.is_empty() {
                drop(state);
                if let Some(formed) = formed {
                    self.spawn(formed);
                }
                self.bury(dead);
                state = self.lock();
                continue;
            }
            state.alarm = state.next_due(now);
            state = match state.alarm {
                Some(due) => {
                    let pause = due.saturating_duration_since(now);
                    self.clock.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.clock.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.clock_runs = false;
        state.alarm = None;
    }
}

// === impl State ===

impl State {
    /// Takes a batch of the instance whose turn it is, if a lane is free and any is ready.
    fn form_next(&mut self, now: Instant, lanes: usize, dead: &mut Graveyard) -> Option<Formed> {
        while self.busy < lanes {
            let id = self.next_instance(now)?;
            let entry = self.instances.get_mut(&id)?;
            let taken = entry.queue.take(now);
            entry.counters.queue_is(entry.queue.len());
            for (_, why) in &taken.dead {
                entry.counters.dead(*why);
            }
            dead.extend(taken.dead);
            let charge = (!taken.rows.is_empty()).then(|| self.shares.start(entry.account));
            if entry.queue.is_empty() {
                self.backlogged.retain(|other| *other != id);
                self.shares.queue_emptied(entry.account);
            }
            if let Some(charge) = charge {
                self.busy += 1;
                return Some(Formed {
                    instance: id,
                    model: entry.model.clone(),
                    runner: entry.runner.clone(),
                    counters: entry.counters.clone(),
                    charge,
                    items: taken.rows,
                });
            }
        }
        None
    }

    fn next_instance(&self, now: Instant) -> Option<u64> {
        let mut best: Option<(Rank, u64)> = None;
        for id in &self.backlogged {
            let Some(entry) = self.instances.get(id) else { continue };
            if entry.queue.ready(now) != Ready::Now {
                continue;
            }
            let rank = self.shares.rank(entry.account);
            if best.is_none_or(|(least, _)| rank.before(least)) {
                best = Some((rank, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// When the first batch that waits for more is due.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = |id| match self.instances.get(id)?.queue.ready(now) {
            Ready::At(due) => Some(due),
            Ready::Never | Ready::Now => None,
        };
        self.backlogged.iter().filter_map(due).min()
    }

    /// Whether the instance's batch is due before the clock's thread would wake.
    fn alarm_is_late(&mut self, id: u64, now: Instant) -> bool {
        if self.waiting_instances == 0 {
            return false;
        }
        match self.instances.get(&id).map(|entry| entry.queue.ready(now)) {
            Some(Ready::At(due)) if self.alarm.is_none_or(|alarm| due < alarm) => {
                self.alarm = Some(due);
                true
            }
            _ => false,
        }
    }
}

// === impl Pace ===

impl Pace {
    const GAIN: f64 = 0.2;

    /// A batch ended. While items wait, the time between two ends is what a batch costs the queue, with
    /// whatever ran for others in between.
    fn ran(&mut self, rows: usize, took: Duration, now: Instant, waiting: bool) {
        let since_last = self.last.map(|last| now.saturating_duration_since(last));
        let seconds = since_last.unwrap_or(took).as_secs_f64() / rows.max(1) as f64;
        self.last = waiting.then_some(now);
        let gain = if self.seconds_per_row == 0.0 { 1.0 } else { Self::GAIN };
        self.seconds_per_row += gain * (seconds - self.seconds_per_row);
    }

    /// How long `len` items take to be run, within reason.
    fn drain_time(&self, len: usize) -> Duration {
        Duration::from_secs_f64((self.seconds_per_row * len as f64).clamp(0.01, 60.0))
    }
}
