//! The batches that are on the way on one device: in its lanes, and beside them in relief of models that wait while
//! others keep every lane for long. Pure: the time is an argument.

use super::Runner;
use super::accounts::Hold;
use super::running::RunningBatch;
use super::share::{AccountId, Charge};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time for which every lane must have been taken, none coming free, before a model that has none of them runs beside them.
pub const RELIEF_AFTER: Duration = Duration::from_millis(50);

/// The times after which a batch that was told to end, and does not, is taken for stuck and for lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The time from which on the device is sick: the models on it are said not to be ready.
    pub stuck: Duration,
    /// The time from which on nothing helps but to start the process again.
    pub lost: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stuck: Duration::from_secs(10), lost: Duration::from_secs(70) }
    }
}

/// A batch that was told to end long ago and still runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    pub model: Arc<str>,
    /// The node of the model that runs, where the model says so.
    pub node: Option<String>,
    /// The time for which the batch has run.
    pub ran: Duration,
    /// Whether it is taken for lost.
    pub lost: bool,
}

/// The batches on the way.
#[derive(Default)]
pub struct Lanes {
    /// Batches that may be on the way at once.
    lanes: usize,
    /// Batches that may be on the way beside them.
    relief: usize,
    on_the_way: Vec<OnTheWay>,
    next_id: u64,
}

/// The number of a batch that is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(u64);

/// A batch that begins to run.
pub struct Starting {
    pub instance: u64,
    pub model: Arc<str>,
    pub runner: Arc<dyn Runner>,
    pub hold: Hold,
    pub charge: Charge,
    pub running: Arc<RunningBatch>,
    pub max_run: Duration,
}

/// A batch that is on the way.
pub struct OnTheWay {
    id: RunId,
    pub batch: Starting,
    pub started: Instant,
    pub in_relief: bool,
    /// Whether it was said to be stuck.
    pub said: bool,
}

impl Lanes {
    pub fn new(lanes: usize, relief: usize) -> Self {
        Self { lanes: lanes.max(1), relief, ..Self::default() }
    }

    /// The number of batches that may be in lanes at once.
    pub fn len(&self) -> usize {
        self.lanes
    }

    /// Whether any batch is on the way.
    pub fn any(&self) -> bool {
        !self.on_the_way.is_empty()
    }

    pub fn has_free(&self) -> bool {
        self.in_lanes().count() < self.lanes
    }

    fn in_lanes(&self) -> impl Iterator<Item = &OnTheWay> {
        self.on_the_way.iter().filter(|one| !one.in_relief)
    }

    pub fn iter(&self) -> impl Iterator<Item = &OnTheWay> {
        self.on_the_way.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut OnTheWay> {
        self.on_the_way.iter_mut()
    }

    pub fn begin(&mut self, batch: Starting, in_relief: bool, now: Instant) -> RunId {
        let id = RunId(self.next_id);
        self.next_id += 1;
        self.on_the_way.push(OnTheWay { id, batch, started: now, in_relief, said: false });
        id
    }

    pub fn end(&mut self, id: RunId) -> Option<OnTheWay> {
        let at = self.on_the_way.iter().position(|one| one.id == id)?;
        Some(self.on_the_way.swap_remove(at))
    }

    /// Whether a batch may run in relief: every lane has been taken for long, and there is a place beside them.
    pub fn may_relieve(&self, now: Instant) -> bool {
        let latest = self.in_lanes().map(|one| one.started).max();
        let all_for_long = latest.is_some_and(|latest| now.saturating_duration_since(latest) >= RELIEF_AFTER);
        self.relief > 0
            && all_for_long
            && !self.has_free()
            && self.on_the_way.iter().filter(|one| one.in_relief).count() < self.relief
    }

    /// Whether an account has a batch on the way.
    pub fn has(&self, account: AccountId) -> bool {
        self.on_the_way.iter().any(|one| one.account() == account)
    }
}

impl OnTheWay {
    /// The account that the batch is charged to.
    pub fn account(&self) -> AccountId {
        self.batch.hold.account()
    }

    /// The time since the batch was told to end, where it was; tells it to end where it has run for too long.
    pub fn look(&self, now: Instant) -> Option<Duration> {
        self.batch.running.look(self.batch.max_run, now)
    }

    /// A report of the batch, if it was told to end and does not come back.
    pub fn as_stuck(&self, patience: Patience, now: Instant) -> Option<Stuck> {
        let told = self.look(now).filter(|told| *told >= patience.stuck)?;
        Some(Stuck {
            model: self.batch.model.clone(),
            node: self.batch.runner.running(),
            ran: now.saturating_duration_since(self.started),
            lost: told >= patience.lost,
        })
    }
}
