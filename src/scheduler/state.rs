//! What one device has to do: its instances, their queues, shares and turns. Says which batch runs next and
//! starts nothing; the time is an argument.

use super::accounts::{Accounts, Usage};
use super::blame::Blame;
use super::formed::{Formed, Next, Turn, Work};
use super::item::{Dropped, Item};
use super::lanes::{Lanes, OnTheWay, Patience, RunId, Starting, Stuck};
use super::pace::Pace;
use super::queue::{Queue, Ready, Terms};
use super::run::Ended;
use super::running::RunningBatch;
use super::share::{AccountId, Rank, Shares};
use super::ticket::Rejected;
use super::{Counters, Policy, Runner, StopFlag};
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
    staged: Vec<Next>,
    shares: Shares,
    accounts: Accounts,
    instances: HashMap<u64, Entry>,
    next_id: u64,
    /// The instances that have something waiting.
    backlogged: Vec<u64>,
    /// Instances whose batches wait for more.
    patient: usize,
}

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
        let weights = runner.memory().weights;
        let account = self.accounts.join(&model, &policy, weights, || self.shares.open(policy.share));
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
        if let Some(account) = self.accounts.leave(&entry.model, entry.weights) {
            self.shares.close(account);
        }
        self.patient -= usize::from(entry.policy.is_patient());
        Some(entry)
    }

    pub fn set_policy(&mut self, id: u64, policy: Policy) {
        if let Some(entry) = self.instances.get_mut(&id) {
            self.shares.set_share(entry.account, policy.share);
            self.accounts.set(&entry.model, &policy);
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
        self.accounts.begin(now);
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
        let running: Vec<_> = self.lanes.iter().map(|one| (one.account(), one.started)).collect();
        self.accounts.usage(&running, self.lanes.len(), now)
    }

    /// A batch has ended. Its runner is to be dropped once nothing is
    /// locked: this may be the last hold on it.
    pub fn finish(&mut self, id: RunId, rows: usize, ended: &Ended, now: Instant) -> Option<Arc<dyn Runner>> {
        let took = ended.took;
        let OnTheWay { batch: Starting { instance, runner, hold, charge, .. }, .. } = self.lanes.end(id)?;
        self.accounts.release(hold);
        self.shares.finish(charge, took);
        let entry = self.instances.get_mut(&instance);
        self.accounts.took(entry.as_deref().map(|entry| &*entry.model), took, now);
        if let Some(entry) = entry {
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
            let told = one.look(now);
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
            self.shares.accrue(&mut one.batch.charge, now.saturating_duration_since(one.started));
        }
    }

    /// The work that is to be done now, if a lane is free and any batch is ready, or the next one can be staged.
    pub fn next(&mut self, now: Instant, dropped: &mut Dropped) -> Option<Work> {
        while self.lanes.has_free() {
            let next = match (self.next_instance(now, |_| true), self.next_staged()) {
                (Some((rank, id)), Some((staged, _))) if rank.before(staged) => self.take(id, now, dropped),
                (_, Some((_, place))) => Some(self.staged.swap_remove(place)),
                (Some((_, id)), None) => self.take(id, now, dropped),
                (None, None) => break,
            };
            if let Some(next) = next {
                return Some(Work::Run(self.start(next, false, now)));
            }
        }
        while let Some(id) = self.next_in_relief(now) {
            if let Some(next) = self.take(id, now, dropped) {
                return Some(Work::Run(self.start(next, true, now)));
            }
        }
        while self.staging + self.staged.len() < self.stages && self.lanes.any() {
            // A batch that is not full yet gains more by what may still come.
            let whole = |entry: &Entry| entry.runner.stages() && entry.queue.holds_whole_batch();
            let (_, id) = self.next_instance(now, whole)?;
            if let Some(next) = self.take(id, now, dropped) {
                self.staging += 1;
                return Some(Work::Stage(next));
            }
        }
        None
    }

    fn start(&mut self, next: Next, in_relief: bool, now: Instant) -> Turn {
        let Next { formed, hold, max_run } = next;
        let charge = self.shares.start(hold.account());
        self.shares.queue_emptied(hold.account());
        let running = Arc::<RunningBatch>::default();
        let starting = Starting {
            instance: formed.instance,
            model: formed.model.clone(),
            runner: formed.runner.clone(),
            hold,
            charge,
            running: running.clone(),
            max_run,
        };
        let id = self.lanes.begin(starting, in_relief, now);
        Turn { id, formed, running, in_relief }
    }

    /// The instance whose batch runs beside the lanes: every lane has been taken for long, its model has no batch on
    /// the way, and has got less of what it may have than any model that has one.
    fn next_in_relief(&mut self, now: Instant) -> Option<u64> {
        if self.backlogged.is_empty() || !self.lanes.may_relieve(now) {
            return None;
        }
        self.accrue(now);
        let (rank, id) = self.next_instance(now, |entry| !self.lanes.has(entry.account))?;
        let holders = self.lanes.iter().map(|one| self.shares.rank(one.account()));
        holders.into_iter().all(|holder| rank.before(holder)).then_some(id)
    }

    /// A batch of [`Work::Stage`] waits for its turn.
    pub fn staged(&mut self, next: Next) {
        self.staging = self.staging.saturating_sub(1);
        self.staged.push(next);
    }

    /// Takes a batch off an instance's queue, if any of what waits there is alive. Until it starts it counts as
    /// waiting.
    fn take(&mut self, id: u64, now: Instant, dropped: &mut Dropped) -> Option<Next> {
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
        let hold = self.accounts.hold(&entry.model, entry.account, entry.runner.memory().batch);
        let formed = Formed {
            instance: id,
            model: entry.model.clone(),
            runner: entry.runner.clone(),
            counters: entry.counters.clone(),
            policy: entry.policy.batch.clone(),
            items: taken.rows,
            staged: None,
            stop: StopFlag::default(),
        };
        Some(Next { formed, hold, max_run: entry.policy.max_run })
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
        least(places.map(|(place, next)| (self.shares.rank(next.hold.account()), place)))
    }

    /// Whether one more batch of the instance may be on the way.
    fn has_room(&self, entry: &Entry) -> bool {
        entry.running < entry.policy.lanes && self.accounts.fits(&entry.model, entry.runner.memory().batch)
    }

    /// The time at which the first batch that waits for more is due.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.backlogged.iter().filter_map(|id| self.due(*id, now)).min()
    }

    /// The time at which one instance's batch is due, if it waits for more.
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
