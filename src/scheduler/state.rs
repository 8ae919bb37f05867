//! What one device has to do: its instances, their queues, shares and turns. Says which batch runs next and
//! starts nothing; the time is an argument.

use super::blame::Blame;
use super::device::Policy;
use super::item::{Dropped, Item};
use super::lanes::{Lanes, OnTheWay, Patience, RunId, Starting, Stuck};
use super::queue::{Queue, Ready, Terms};
use super::run::Ended;
use super::runner::StagedBatch;
use super::running::RunningBatch;
use super::share::{AccountId, Rank, Shares};
use super::ticket::Rejected;
use super::usage::Window;
use super::{Counters, Runner, StopFlag};
use crate::plan::BatchPolicy;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct State {
    /// The batches on the way.
    lanes: Lanes,
    /// Batches whose inputs may be brought to the device before it is their turn.
    stages: usize,
    /// Batches that are being staged now.
    staging: usize,
    /// The batches that are staged and wait for their turn.
    staged: Vec<Formed>,
    shares: Shares,
    accounts: HashMap<Arc<str>, Holding>,
    /// Taken by all together.
    window: Window,
    /// What [`Window`]s count from: the first time that is known.
    epoch: Option<Instant>,
    instances: HashMap<u64, Entry>,
    next_id: u64,
    /// The instances that have something waiting.
    backlogged: Vec<u64>,
    /// Instances whose batches wait for more.
    patient: usize,
}

/// What one model has of the device.
struct Holding {
    account: AccountId,
    share: f64,
    /// Instances that draw on it.
    instances: usize,
    window: Window,
    /// Bytes that they may take together.
    memory: Option<u64>,
    /// Bytes of their weights.
    weights: u64,
    /// Bytes that their batches on the way take, by experience.
    batches: u64,
}

/// What a batch holds of its model's memory, given back by [`State::finish`].
#[derive(Debug)]
#[must_use = "what is held is given back when the batch ends"]
pub struct Hold {
    model: Arc<str>,
    account: AccountId,
    bytes: u64,
}

/// Who had how much of a device's time of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The part that ran of what its lanes could have run, in the last 10 and 60 seconds: in [0, 1].
    pub busy: [f64; 2],
    /// The use of each model, by name.
    pub models: Vec<ModelUsage>,
}

/// What one model asked for and got of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelUsage {
    pub model: Arc<str>,
    /// The share asked for; 0 is best effort.
    pub share: f64,
    /// The part that it got of the time given to anyone, in the last 10 and 60 seconds: in [0, 1].
    pub got: [f64; 2],
}

/// The spans of [`Usage`], in seconds.
pub const SPANS: [f64; 2] = [10.0, 60.0];

/// An instance, on its device's side.
pub struct Entry {
    model: Arc<str>,
    account: AccountId,
    runner: Arc<dyn Runner>,
    policy: Policy,
    queue: Queue<Item>,
    weights: u64,
    /// The number of its batches on the way.
    running: usize,
    counters: Arc<Counters>,
    pace: Pace,
    blame: Blame,
}

/// A batch that was taken from its queue.
pub struct Formed {
    instance: u64,
    pub model: Arc<str>,
    pub runner: Arc<dyn Runner>,
    pub counters: Arc<Counters>,
    hold: Hold,
    pub batch: BatchPolicy,
    max_run: Duration,
    pub items: Vec<Item>,
    /// Its inputs, where they are on the device already.
    pub staged: Option<Box<dyn StagedBatch>>,
    /// The flag that its inputs were staged with.
    pub stop: StopFlag,
}

/// A batch whose turn it is.
pub struct Turn {
    /// What [`State::finish`] is told.
    pub id: RunId,
    pub instance: u64,
    pub model: Arc<str>,
    pub runner: Arc<dyn Runner>,
    pub counters: Arc<Counters>,
    pub batch: BatchPolicy,
    pub items: Vec<Item>,
    pub staged: Option<Box<dyn StagedBatch>>,
    pub stop: StopFlag,
    /// Where its rows are while they run.
    pub running: Arc<RunningBatch>,
    /// It runs beside the lanes, all of which have been taken for long.
    pub in_relief: bool,
}

/// What a device is to do next.
pub enum Work {
    /// It is this batch's turn.
    Run(Turn),
    /// Its inputs are brought to the device while others run there; then [`State::staged`] is told.
    Stage(Formed),
}

/// How fast an instance's queue empties.
#[derive(Default)]
struct Pace {
    /// When its latest batch ended, if something has waited since.
    last: Option<Instant>,
    seconds_per_row: f64,
}

// === impl State ===

impl State {
    /// `relief` batches may run beside the lanes.
    pub fn new(lanes: usize, stages: usize, relief: usize) -> Self {
        Self { lanes: Lanes::new(lanes, relief), stages, ..Self::default() }
    }

    /// Whether any instance's batches wait for more.
    pub fn has_patient(&self) -> bool {
        self.patient > 0
    }

    pub fn add(
        &mut self,
        model: &str,
        runner: Arc<dyn Runner>,
        policy: Policy,
        counters: Arc<Counters>,
    ) -> u64 {
        let model: Arc<str> = model.into();
        let holding = self.accounts.entry(model.clone()).or_insert_with(|| Holding {
            account: self.shares.open(policy.share),
            share: policy.share,
            instances: 0,
            window: Window::default(),
            memory: policy.memory,
            weights: 0,
            batches: 0,
        });
        let weights = runner.memory().weights;
        // A share that others hold already is changed by `set_policy` alone: the new instance may be of a plan that
        // does not serve yet.
        holding.instances += 1;
        holding.weights += weights;
        let account = holding.account;
        self.patient += usize::from(policy.is_patient());
        let queue = Queue::new(policy.queue, policy.batch.clone());
        let (pace, blame) = (Pace::default(), Blame::default());
        let entry =
            Entry { model, account, runner, policy, queue, weights, running: 0, counters, pace, blame };
        let id = self.next_id;
        self.next_id += 1;
        self.instances.insert(id, entry);
        id
    }

    /// Forgets an instance and gives it, with what still waits, to be dropped once nothing is locked.
    pub fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.instances.remove(&id)?;
        if !entry.queue.is_empty() {
            self.backlogged.retain(|other| *other != id);
            self.shares.queue_emptied(entry.account);
        }
        if let Some(holding) = self.accounts.get_mut(&entry.model) {
            holding.instances -= 1;
            holding.weights = holding.weights.saturating_sub(entry.weights);
            if holding.instances == 0 {
                self.shares.close(holding.account);
                self.accounts.remove(&entry.model);
            }
        }
        self.patient -= usize::from(entry.policy.is_patient());
        Some(entry)
    }

    pub fn set_policy(&mut self, id: u64, policy: Policy) {
        if let Some(entry) = self.instances.get_mut(&id) {
            self.shares.set_share(entry.account, policy.share);
            if let Some(holding) = self.accounts.get_mut(&entry.model) {
                holding.share = policy.share;
                holding.memory = policy.memory;
            }
            self.patient -= usize::from(entry.policy.is_patient());
            self.patient += usize::from(policy.is_patient());
            entry.queue.set(policy.queue, policy.batch.clone());
            entry.policy = policy;
        }
    }

    /// Lets batches of an instance wait no longer than that for more.
    pub fn wait_at_most(&mut self, id: u64, wait: Duration) {
        let Some(entry) = self.instances.get(&id) else { return };
        let mut policy = entry.policy.clone();
        policy.batch.wait = policy.batch.wait.min(wait);
        self.set_policy(id, policy);
    }

    /// Puts an item into a queue, or gives it back.
    #[expect(
        clippy::result_large_err,
        reason = "the item is moved back; to box it would cost each an allocation"
    )]
    pub fn push(
        &mut self,
        id: u64,
        mut item: Item,
        now: Instant,
        dropped: &mut Dropped,
    ) -> Result<(), (Rejected, Item)> {
        let Some(entry) = self.instances.get_mut(&id) else { return Err((Rejected::Closed, item)) };
        self.epoch.get_or_insert(now);
        let was_empty = entry.queue.is_empty();
        item.alone = entry.blame.is_alone(item.terms.sender, now);
        let pushed = entry.queue.push(item, now, dropped);
        dropped.iter().for_each(|(_, why)| entry.counters.dropped(*why));
        if let Err(item) = pushed {
            entry.counters.rejected();
            return Err((Rejected::Full { retry_after: entry.pace.drain_time(entry.queue.len()) }, item));
        }
        entry.counters.submitted();
        entry.counters.queue_is(entry.queue.len());
        if was_empty {
            self.backlogged.push(id);
            self.shares.queue_filled(entry.account);
        }
        Ok(())
    }

    /// Whether an item on these terms would be taken into the queue, which is counted as a rejection where
    /// it would not.
    pub fn room(
        &mut self,
        id: u64,
        terms: Terms,
        now: Instant,
        dropped: &mut Dropped,
    ) -> Result<(), Rejected> {
        let Some(entry) = self.instances.get_mut(&id) else { return Err(Rejected::Closed) };
        let has_room = entry.queue.has_room(terms, now, dropped);
        dropped.iter().for_each(|(_, why)| entry.counters.dropped(*why));
        entry.counters.queue_is(entry.queue.len());
        if entry.queue.is_empty() && !dropped.is_empty() {
            self.backlogged.retain(|other| *other != id);
            self.shares.queue_emptied(entry.account);
        }
        if has_room {
            return Ok(());
        }
        entry.counters.rejected();
        Err(Rejected::Full { retry_after: entry.pace.drain_time(entry.queue.len()) })
    }

    pub fn usage(&self, now: Instant) -> Usage {
        let since = |one: &OnTheWay| now.saturating_duration_since(one.started).as_secs_f64();
        // What ended, and what is on the way, as far as it lies in the span.
        let taken = |window: &Window, span: f64, own: &dyn Fn(&OnTheWay) -> bool| {
            let running = self.lanes.iter().filter(|one| own(one)).map(|one| since(one).min(span));
            // The sum of nothing is a zero with a sign.
            0.0 + window.sum(self.seconds(now), span) + running.sum::<f64>()
        };
        let all = SPANS.map(|span| taken(&self.window, span, &|_| true));
        let lanes = self.lanes.len() as f64;
        let possible = SPANS.map(|span| span.min(self.seconds(now)).max(f64::MIN_POSITIVE) * lanes);
        let part = |of: f64, all: f64| if all > 0.0 { (of / all).clamp(0.0, 1.0) } else { 0.0 };
        let model = |(model, holding): (&Arc<str>, &Holding)| {
            let own = |one: &OnTheWay| one.hold.account == holding.account;
            let got = [0, 1].map(|i| part(taken(&holding.window, SPANS[i], &own), all[i]));
            ModelUsage { model: model.clone(), share: holding.share, got }
        };
        let mut models: Vec<ModelUsage> = self.accounts.iter().map(model).collect();
        models.sort_by(|a, b| a.model.cmp(&b.model));
        Usage { busy: [0, 1].map(|i| part(all[i], possible[i])), models }
    }

    fn seconds(&self, now: Instant) -> f64 {
        self.epoch.map_or(0.0, |epoch| now.saturating_duration_since(epoch).as_secs_f64())
    }

    /// A batch has ended. Its runner is to be dropped once nothing is
    /// locked: this may be the last hold on it.
    pub fn finish(&mut self, id: RunId, rows: usize, ended: &Ended, now: Instant) -> Option<Arc<dyn Runner>> {
        let took = ended.took;
        let OnTheWay { instance, runner, hold, charge, .. } = self.lanes.end(id)?;
        // Of that name there may be another by now.
        if let Some(holding) = self.accounts.get_mut(&hold.model)
            && holding.account == hold.account
        {
            holding.batches = holding.batches.saturating_sub(hold.bytes);
        }
        self.shares.finish(charge, took);
        let end = self.seconds(now);
        self.window.add(end, took.as_secs_f64());
        if let Some(entry) = self.instances.get_mut(&instance) {
            if let Some(holding) = self.accounts.get_mut(&entry.model) {
                holding.window.add(end, took.as_secs_f64());
            }
            entry.running = entry.running.saturating_sub(1);
            entry.pace.ran(rows, took, now, !entry.queue.is_empty());
            ended.bad.iter().for_each(|sender| entry.blame.failed(*sender, now));
        }
        Some(runner)
    }

    /// Looks after the batches on the way: tells those to end that need not go on, and charges what they have taken so
    /// far. Gives those that do not come back, each once, and whether any is on the way.
    pub fn look(&mut self, patience: Patience, now: Instant) -> (Vec<Stuck>, bool) {
        self.accrue(now);
        let mut said = vec![];
        for one in self.lanes.iter_mut() {
            let told = one.batch.look(one.max_run, now);
            if !one.said && told.is_some_and(|told| told >= patience.stuck) {
                one.said = true;
                said.push(one.as_stuck(patience, now));
            }
        }
        (said.into_iter().flatten().collect(), self.lanes.any())
    }

    /// The batches that were told to end and do not come back.
    pub fn stuck(&self, patience: Patience, now: Instant) -> Vec<Stuck> {
        self.lanes.iter().filter_map(|one| one.as_stuck(patience, now)).collect()
    }

    /// Charges the batches on the way for what they have taken so far.
    fn accrue(&mut self, now: Instant) {
        for one in self.lanes.iter_mut() {
            self.shares.accrue(&mut one.charge, now.saturating_duration_since(one.started));
        }
    }

    /// What is to be done now, if a lane is free and any batch is ready, or the next one can be staged.
    pub fn next(&mut self, now: Instant, dropped: &mut Dropped) -> Option<Work> {
        while self.lanes.has_free() {
            let formed = match (self.next_instance(now, |_| true), self.next_staged()) {
                (Some((rank, id)), Some((staged, _))) if rank.before(staged) => self.take(id, now, dropped),
                (_, Some((_, place))) => Some(self.staged.swap_remove(place)),
                (Some((_, id)), None) => self.take(id, now, dropped),
                (None, None) => break,
            };
            if let Some(formed) = formed {
                return Some(Work::Run(self.start(formed, false, now)));
            }
        }
        while let Some(id) = self.next_in_relief(now) {
            if let Some(formed) = self.take(id, now, dropped) {
                return Some(Work::Run(self.start(formed, true, now)));
            }
        }
        while self.staging + self.staged.len() < self.stages && self.lanes.any() {
            // A batch that is not full yet gains more by what may still come.
            let whole = |entry: &Entry| entry.runner.stages() && entry.queue.holds_whole_batch();
            let (_, id) = self.next_instance(now, whole)?;
            if let Some(formed) = self.take(id, now, dropped) {
                self.staging += 1;
                return Some(Work::Stage(formed));
            }
        }
        None
    }

    fn start(&mut self, formed: Formed, in_relief: bool, now: Instant) -> Turn {
        let Formed { instance, model, runner, counters, hold, batch, max_run, items, staged, stop } = formed;
        let charge = self.shares.start(hold.account);
        self.shares.queue_emptied(hold.account);
        let running = Arc::<RunningBatch>::default();
        let starting = Starting {
            instance,
            model: model.clone(),
            runner: runner.clone(),
            hold,
            charge,
            batch: running.clone(),
            max_run,
        };
        let id = self.lanes.begin(starting, in_relief, now);
        Turn { id, instance, model, runner, counters, batch, items, staged, stop, running, in_relief }
    }

    /// The instance whose batch runs beside the lanes: every lane has been taken for long, its model has no batch on
    /// the way, and has got less of what it may have than any model that has one.
    fn next_in_relief(&mut self, now: Instant) -> Option<u64> {
        if self.backlogged.is_empty() || !self.lanes.may_relieve(now) {
            return None;
        }
        self.accrue(now);
        let (rank, id) = self.next_instance(now, |entry| !self.lanes.has(entry.account))?;
        let holders = self.lanes.iter().map(|one| self.shares.rank(one.hold.account));
        holders.into_iter().all(|holder| rank.before(holder)).then_some(id)
    }

    /// A batch of [`Work::Stage`] waits for its turn.
    pub fn staged(&mut self, formed: Formed) {
        self.staging = self.staging.saturating_sub(1);
        self.staged.push(formed);
    }

    /// Takes a batch off an instance's queue, if any of what waits there is alive. Until it starts it counts as
    /// waiting.
    fn take(&mut self, id: u64, now: Instant, dropped: &mut Dropped) -> Option<Formed> {
        let entry = self.instances.get_mut(&id)?;
        let taken = entry.queue.take(now);
        entry.counters.queue_is(entry.queue.len());
        for (_, why) in &taken.dropped {
            entry.counters.dropped(*why);
        }
        dropped.extend(taken.dropped);
        if !taken.rows.is_empty() {
            self.shares.queue_filled(entry.account);
        }
        if entry.queue.is_empty() {
            self.backlogged.retain(|other| *other != id);
            self.shares.queue_emptied(entry.account);
        }
        if taken.rows.is_empty() {
            return None;
        }
        taken.rows.iter().for_each(|item| entry.blame.runs(item.terms.sender, now));
        entry.running += 1;
        entry.counters.starts(taken.rows.len());
        let bytes = entry.runner.memory().batch;
        if let Some(holding) = self.accounts.get_mut(&entry.model) {
            holding.batches = holding.batches.saturating_add(bytes);
        }
        Some(Formed {
            instance: id,
            model: entry.model.clone(),
            runner: entry.runner.clone(),
            counters: entry.counters.clone(),
            hold: Hold { model: entry.model.clone(), account: entry.account, bytes },
            batch: entry.policy.batch.clone(),
            max_run: entry.policy.max_run,
            items: taken.rows,
            staged: None,
            stop: StopFlag::default(),
        })
    }

    /// The instance whose turn it is, of those for which `may` holds and whose batch is ready.
    fn next_instance(&self, now: Instant, may: impl Fn(&Entry) -> bool) -> Option<(Rank, u64)> {
        least(self.backlogged.iter().filter_map(|id| {
            let entry = self.instances.get(id)?;
            let ready = self.has_room(entry) && entry.queue.ready(now) == Ready::Now && may(entry);
            ready.then(|| (self.shares.rank(entry.account), *id))
        }))
    }

    /// The staged batch whose turn it is, and where it lies.
    fn next_staged(&self) -> Option<(Rank, usize)> {
        let places = self.staged.iter().enumerate();
        least(places.map(|(place, formed)| (self.shares.rank(formed.hold.account), place)))
    }

    /// Whether one more batch of the instance may be on the way.
    fn has_room(&self, entry: &Entry) -> bool {
        let fits = |holding: &Holding| match holding.memory {
            Some(allowed) if holding.batches > 0 => {
                let taken = holding.weights.saturating_add(holding.batches);
                taken.saturating_add(entry.runner.memory().batch) <= allowed
            }
            _ => true,
        };
        entry.running < entry.policy.lanes && self.accounts.get(&entry.model).is_none_or(fits)
    }

    /// When the first batch that waits for more is due.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.backlogged.iter().filter_map(|id| self.due(*id, now)).min()
    }

    /// When one instance's batch is due, if it waits for more.
    pub fn due(&self, id: u64, now: Instant) -> Option<Instant> {
        let entry = self.instances.get(&id)?;
        if !self.has_room(entry) {
            // The end of a batch of its model comes first.
            return None;
        }
        match entry.queue.ready(now) {
            Ready::At(due) => Some(due),
            Ready::Never | Ready::Now => None,
        }
    }
}

/// The one that runs next; among equals the first.
fn least<T>(ranked: impl Iterator<Item = (Rank, T)>) -> Option<(Rank, T)> {
    ranked.reduce(|best, other| if other.0.before(best.0) { other } else { best })
}

// === impl Formed ===

impl Formed {
    pub fn instance(&self) -> u64 {
        self.instance
    }
}

// === impl Hold ===

impl Hold {
    /// Whose the batch is.
    pub fn account(&self) -> AccountId {
        self.account
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
