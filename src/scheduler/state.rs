//! What one device has to do: its instances, their queues, shares and turns. Says which batch runs next and
//! starts nothing; the time is an argument.

use super::device::Policy;
use super::queue::{Dead, Item, Queue, Ready};
use super::share::{AccountId, Charge, Rank, Shares};
use super::ticket::Rejected;
use super::{Counters, Runner};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct State {
    /// Batches that may be on the way at once.
    lanes: usize,
    /// Batches on the way.
    busy: usize,
    shares: Shares,
    /// By model: its account, and how many instances draw on it.
    accounts: HashMap<Arc<str>, (AccountId, usize)>,
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
    queue: Queue,
    counters: Arc<Counters>,
    pace: Pace,
}

/// A batch to be run.
pub struct Formed {
    pub instance: u64,
    pub model: Arc<str>,
    pub runner: Arc<dyn Runner>,
    pub counters: Arc<Counters>,
    pub charge: Charge,
    pub items: Vec<Item>,
}

/// What came out of the queues on the way, to be answered and dropped once nothing is locked.
pub type Graveyard = Vec<(Item, Dead)>;

/// How fast an instance's queue empties.
#[derive(Default)]
struct Pace {
    /// When its latest batch ended, if something has waited since.
    last: Option<Instant>,
    seconds_per_row: f64,
}

// === impl State ===

impl State {
    pub fn new(lanes: usize) -> Self {
        Self { lanes: lanes.max(1), ..Self::default() }
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
        let (account, instances) =
            self.accounts.entry(model.clone()).or_insert_with(|| (self.shares.open(policy.share), 0));
        *instances += 1;
        let account = *account;
        self.shares.set_share(account, policy.share);
        let queue = Queue::new(policy.queue, policy.batch);
        let entry = Entry { model, account, runner, policy, queue, counters, pace: Pace::default() };
        self.patient += usize::from(policy.is_patient());
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
        if let Some((account, instances)) = self.accounts.get_mut(&entry.model) {
            *instances -= 1;
            if *instances == 0 {
                self.shares.close(*account);
                self.accounts.remove(&entry.model);
            }
        }
        self.patient -= usize::from(entry.policy.is_patient());
        Some(entry)
    }

    pub fn set_policy(&mut self, id: u64, policy: Policy) {
        if let Some(entry) = self.instances.get_mut(&id) {
            self.shares.set_share(entry.account, policy.share);
            self.patient -= usize::from(entry.policy.is_patient());
            self.patient += usize::from(policy.is_patient());
            entry.policy = policy;
            entry.queue.set(policy.queue, policy.batch);
        }
    }

    /// Puts an item into a queue, or gives it back.
    pub fn push(
        &mut self,
        id: u64,
        item: Item,
        now: Instant,
        dead: &mut Graveyard,
    ) -> Result<(), (Rejected, Item)> {
        let Some(entry) = self.instances.get_mut(&id) else { return Err((Rejected::Closed, item)) };
        let was_empty = entry.queue.is_empty();
        let pushed = entry.queue.push(item, now, dead);
        dead.iter().for_each(|(_, why)| entry.counters.dead(*why));
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

    /// A batch has ended.
    pub fn finish(&mut self, instance: u64, charge: Charge, rows: usize, took: Duration, now: Instant) {
        self.busy = self.busy.saturating_sub(1);
        self.shares.finish(charge, took);
        if let Some(entry) = self.instances.get_mut(&instance) {
            entry.pace.ran(rows, took, now, !entry.queue.is_empty());
        }
    }

    /// Takes a batch of the instance whose turn it is, if a lane is free and any is ready.
    pub fn form_next(&mut self, now: Instant, dead: &mut Graveyard) -> Option<Formed> {
        while self.busy < self.lanes {
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
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.backlogged.iter().filter_map(|id| self.due(*id, now)).min()
    }

    /// When one instance's batch is due, if it waits for more.
    pub fn due(&self, id: u64, now: Instant) -> Option<Instant> {
        match self.instances.get(&id)?.queue.ready(now) {
            Ready::At(due) => Some(due),
            Ready::Never | Ready::Now => None,
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
