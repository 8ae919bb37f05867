//! The states of a generation, with their times, as they are shown.

use super::load::Fault;
use super::shadow::Comparison;
use super::units::{seconds, unix_seconds};
use super::warm::Joining;
use crate::plan::DeviceId;
use crate::scheduler::{Snapshot, Stuck};
use crate::store::Digest;
use crate::sync::{Mutex, MutexGuard, lock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Where a generation stands.
///
/// ```text
/// new -> reserved -> loading -> warming -> ready -> draining -> unloaded
/// ```
///
/// It may fail from each of the first four. One that drains becomes ready again where a plan that was staged
/// meanwhile serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Seen in the store.
    New,
    /// There is memory for it on its devices.
    Reserved,
    /// It is being put on its devices.
    Loading,
    /// Its first batches run.
    Warming,
    /// It serves.
    Ready,
    /// No new request takes it; those that hold it go on.
    Draining,
    Unloaded,
    Failed(String),
}

/// Why a version does not come to serve, as a metric counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its files cannot be read.
    Unreadable,
    /// It is not a model, or not one that can be run.
    Invalid,
    /// A pipeline that uses the model could not work with it.
    Misfit,
    /// It takes more of its device's memory than its share allows.
    Memory,
    /// It could not be placed on its device.
    Load,
    /// Its first batches failed.
    WarmUp,
    /// It took longer than `load_timeout`.
    Timeout,
    /// An earlier load of it took the process down, or did not come back.
    Fatal,
    /// A newer one, or other content under its number, came before it was ready.
    Overtaken,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Invalid => "invalid",
            Self::Misfit => "misfit",
            Self::Memory => "memory",
            Self::Load => "load",
            Self::WarmUp => "warm-up",
            Self::Timeout => "timeout",
            Self::Fatal => "fatal",
            Self::Overtaken => "overtaken",
        }
    }
}

/// The counts of a model's loads since rserve began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loads {
    /// Loads that came to be ready.
    pub ready: u64,
    pub failed: BTreeMap<Cause, u64>,
    /// The number of times that what serves became something else.
    pub swaps: u64,
    /// The seconds of all loads that came to be ready, without their warm-up.
    pub load_seconds: f64,
    pub warm_up_seconds: f64,
}

impl State {
    pub fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reserved => "reserved",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unloaded => "unloaded",
            Self::Failed(_) => "failed",
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Unloaded | Self::Failed(_))
    }

    /// Whether a generation in this state may go over into that one.
    fn may_become(&self, next: &Self) -> bool {
        use State::{Draining, Failed, Loading, New, Ready, Reserved, Unloaded, Warming};
        matches!(
            (self, next),
            (New, Reserved)
                | (Reserved, Loading)
                | (Loading, Warming)
                | (Warming, Ready)
                | (Ready, Draining)
                | (Draining, Ready | Unloaded)
                | (New | Reserved | Loading | Warming, Failed(_))
        )
    }
}

/// One generation, for the status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GenerationStatus {
    pub version: u64,
    /// `None` where its files could not be read.
    pub digest: Option<Digest>,
    pub state: State,
    /// Where it failed.
    pub cause: Option<Cause>,
    /// When it came into that state, in seconds since 1970.
    #[serde(with = "unix_seconds")]
    pub since: SystemTime,
    /// Reading, checking and placing it, in seconds.
    #[serde(rename = "load_seconds", with = "seconds")]
    pub load: Duration,
    /// The time that its first batches took, in seconds.
    #[serde(rename = "warm_up_seconds", with = "seconds")]
    pub warm_up: Duration,
    /// Whether its items share batches, once that is known.
    pub batching: Option<Joining>,
}

/// One model, for the status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelStatus {
    pub name: String,
    /// What each replica holds of its device.
    pub share: f64,
    /// Where they are.
    pub places: Vec<PlaceStatus>,
    /// What the plan asks for, and what was asked for by hand: "latest", "2, 3", "latest, 1 by hand".
    pub wanted: String,
    /// The versions that answer, ascending; the last is the default.
    pub serving: Vec<u64>,
    /// The weight of each version among those that answer.
    pub traffic: BTreeMap<u64, f64>,
    /// How a version that is sent a copy of the traffic compares.
    pub shadow: Option<Comparison>,
    /// Oldest first: all that live, and the latest of those that are over.
    pub generations: Vec<GenerationStatus>,
    /// What somebody should look at, such as a version that is served but no longer in the store.
    pub warning: Option<String>,
    pub loads: Loads,
    /// What was counted for each version that serves and each of its devices.
    pub instances: Vec<InstanceStatus>,
}

/// One device of a model, and what the model had of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlaceStatus {
    pub device: DeviceId,
    pub replicas: usize,
    /// What the replicas here ask for together.
    pub share: f64,
    /// Bytes of the device's memory that their share allows, where it is known.
    #[serde(rename = "memory_allowed_bytes")]
    pub memory_allowed: Option<u64>,
    /// The part of the device's time given to anyone in the last ten seconds that the model got, in [0, 1].
    pub share_got_10s: f64,
    /// The same part in the last minute.
    pub share_got_60s: f64,
}

/// One device, for the status.
#[derive(Clone, Debug)]
pub struct DeviceStatus {
    pub id: DeviceId,
    /// Batches that may be on the way at once.
    pub lanes: usize,
    /// The part that ran of what the lanes could have run in the last ten seconds, in [0, 1].
    pub busy_10s: f64,
    /// The same part in the last minute.
    pub busy_60s: f64,
    /// Batches that were told to end and do not come back.
    pub stuck: Vec<Stuck>,
}

/// One version on one device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub version: u64,
    pub device: DeviceId,
    /// Bytes of its weights.
    #[serde(rename = "memory_weights_bytes")]
    pub memory_weights: u64,
    /// Bytes that the values of its largest batch so far took at once.
    #[serde(rename = "memory_batch_bytes")]
    pub memory_batch: u64,
    pub counters: Snapshot,
}

/// The generations of one model, shared by whoever moves one on.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    generations: Vec<Record>,
    next: u64,
    loads: Loads,
}

#[derive(Debug)]
struct Record {
    id: u64,
    status: GenerationStatus,
    /// The number of cells that serve it: that of the plan, and that of a plan which is staged.
    cells: usize,
}

/// The number of generations that are over and still shown.
const HISTORY: usize = 8;

/// Moves one generation's record from state to state.
#[derive(Clone, Debug)]
pub(super) struct Track {
    records: Records,
    id: u64,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        lock(&self.0)
    }

    pub(super) fn track(&self, version: u64, digest: Option<Digest>) -> Track {
        let mut recorded = self.lock();
        let id = recorded.next;
        recorded.next += 1;
        let status = GenerationStatus {
            version,
            digest,
            state: State::New,
            cause: None,
            since: SystemTime::now(),
            load: Duration::ZERO,
            warm_up: Duration::ZERO,
            batching: None,
        };
        recorded.generations.push(Record { id, status, cells: 0 });
        drop(recorded);
        Track { records: self.clone(), id }
    }

    pub(super) fn all(&self) -> Vec<GenerationStatus> {
        self.lock().generations.iter().map(|record| record.status.clone()).collect()
    }

    /// The generations there are, each with its state.
    pub(super) fn standing(&self) -> Vec<(u64, State)> {
        self.lock().generations.iter().map(|record| (record.id, record.status.state.clone())).collect()
    }

    /// Shows no more the generations that failed of versions that are gone.
    pub(super) fn forget_failures(&self, is_gone: impl Fn(u64) -> bool) {
        let failed = |state: &State| matches!(state, State::Failed(_));
        self.lock()
            .generations
            .retain(|Record { status, .. }| !failed(&status.state) || !is_gone(status.version));
    }

    pub(super) fn loads(&self) -> Loads {
        self.lock().loads.clone()
    }

    pub(super) fn swapped(&self) {
        self.lock().loads.swaps += 1;
    }

    /// A version whose files cannot be read. Recorded once for as long as the reason stays the same; whether
    /// it is new.
    pub(super) fn unreadable(&self, version: u64, fault: &Fault) -> bool {
        let last = self.all().into_iter().rfind(|status| status.version == version);
        let is_new = last.is_none_or(|last| last.state != State::Failed(fault.reason.clone()));
        if is_new {
            self.track(version, None).failed(fault.cause, &fault.reason);
        }
        is_new
    }
}

impl Recorded {
    fn record(&mut self, id: u64) -> Option<&mut Record> {
        self.generations.iter_mut().find(|record| record.id == id)
    }

    /// Drops the oldest of those that are over, but for the latest few.
    fn prune(&mut self) {
        let over = self.generations.iter().filter(|record| record.status.state.is_over()).count();
        let mut surplus = over.saturating_sub(HISTORY);
        self.generations.retain(|record| {
            let drop = surplus > 0 && record.status.state.is_over();
            surplus -= usize::from(drop);
            !drop
        });
    }
}

impl Record {
    /// Whether the generation is in the state now; it is not where it cannot come to it from where it stood.
    fn enter(&mut self, state: State) -> bool {
        let may = self.status.state.may_become(&state);
        if may {
            self.status.state = state;
            self.status.since = SystemTime::now();
        }
        may
    }
}

impl Track {
    /// Moves the generation on; whether it could come to this state from where it stood. A load that goes on after
    /// it was given up moves nothing.
    pub(super) fn to(&self, state: State) -> bool {
        self.records.lock().record(self.id).is_some_and(|record| record.enter(state))
    }

    pub(super) fn state(&self) -> Option<State> {
        self.records.lock().record(self.id).map(|record| record.status.state.clone())
    }

    /// One more cell serves the generation.
    pub(super) fn serves(&self) {
        if let Some(record) = self.records.lock().record(self.id) {
            record.cells += 1;
            record.enter(State::Ready);
        }
    }

    /// A cell serves the generation no more. It drains once none does.
    pub(super) fn serves_no_more(&self) {
        if let Some(record) = self.records.lock().record(self.id) {
            record.cells = record.cells.saturating_sub(1);
            if record.cells == 0 {
                record.enter(State::Draining);
            }
        }
    }

    /// The generation is gone. One that never served was overtaken; one that failed stays so.
    pub(super) fn unloaded(&self) {
        self.failed(Cause::Overtaken, "it was given up before it served");
        let mut recorded = self.records.lock();
        if let Some(record) = recorded.record(self.id) {
            record.enter(State::Draining);
            record.enter(State::Unloaded);
        }
        recorded.prune();
    }

    /// Does nothing where the generation has been ready, or has failed already.
    pub(super) fn failed(&self, cause: Cause, reason: &str) {
        let mut recorded = self.records.lock();
        let Some(record) = recorded.record(self.id) else { return };
        if record.enter(State::Failed(reason.to_owned())) {
            record.status.cause = Some(cause);
            *recorded.loads.failed.entry(cause).or_default() += 1;
            recorded.prune();
        }
    }

    /// It is loaded and warm, and may serve.
    pub(super) fn took(&self, load: Duration, warm_up: Duration, batching: &Joining) {
        let mut recorded = self.records.lock();
        recorded.loads.ready += 1;
        recorded.loads.load_seconds += load.as_secs_f64();
        recorded.loads.warm_up_seconds += warm_up.as_secs_f64();
        if let Some(record) = recorded.record(self.id) {
            (record.status.load, record.status.warm_up) = (load, warm_up);
            record.status.batching = Some(batching.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_live_are_shown_and_the_latest_of_those_that_are_over() {
        let records = Records::default();
        let live = records.track(1, None);
        assert!(live.to(State::Reserved));
        for version in 2..20 {
            records.track(version, None).failed(Cause::Invalid, "no");
        }
        let shown: Vec<u64> = records.all().iter().map(|status| status.version).collect();
        assert_eq!(shown, [1, 12, 13, 14, 15, 16, 17, 18, 19]);
        let json = serde_json::to_value(&records.all()[0]).unwrap();
        assert_eq!(json["state"], "reserved");
        assert!(json["since"].as_f64().unwrap() > 1.7e9);
        records.forget_failures(|version| version != 15);
        let shown: Vec<u64> = records.all().iter().map(|status| status.version).collect();
        assert_eq!(shown, [1, 15], "what lives is shown, whatever the store has");
    }

    /// The table of transitions, in the order of [`State`]'s declaration, a row for where it stands and a column for
    /// where it goes.
    #[test]
    fn every_transition() {
        use State::{Draining, Failed, Loading, New, Ready, Reserved, Unloaded, Warming};
        let states = [New, Reserved, Loading, Warming, Ready, Draining, Unloaded, Failed("no".to_owned())];
        let table = [
            "-+-----+", // new
            "--+----+", // reserved
            "---+---+", // loading
            "----+--+", // warming
            "-----+--", // ready
            "----+-+-", // draining
            "--------", // unloaded
            "--------", // failed
        ];
        for (from, row) in states.iter().zip(table) {
            let found: String = states.iter().map(|to| if from.may_become(to) { '+' } else { '-' }).collect();
            assert_eq!(found, row, "from {from:?}");
        }
    }

    #[test]
    fn a_generation_drains_when_no_cell_serves_it_and_is_ready_again_where_one_does() {
        let records = Records::default();
        let track = records.track(1, None);
        for state in [State::Reserved, State::Loading, State::Warming] {
            assert!(track.to(state));
        }
        track.serves();
        track.serves();
        track.serves_no_more();
        assert_eq!(track.state(), Some(State::Ready), "a staged plan serves it too");
        track.serves_no_more();
        assert_eq!(track.state(), Some(State::Draining));
        track.serves();
        assert_eq!(track.state(), Some(State::Ready));
        track.failed(Cause::Misfit, "too late");
        track.serves_no_more();
        track.unloaded();
        assert_eq!(track.state(), Some(State::Unloaded));
        assert_eq!(records.loads().failed.len(), 0);
    }

    #[test]
    fn what_never_served_is_shown_as_failed_with_its_own_reason() {
        let records = Records::default();
        let (given_up, refused) = (records.track(1, None), records.track(2, None));
        refused.failed(Cause::Misfit, "it does not fit");
        assert!(!refused.to(State::Reserved), "a load that goes on after it failed changes nothing");
        given_up.unloaded();
        refused.unloaded();
        let reasons: Vec<State> = records.all().into_iter().map(|status| status.state).collect();
        assert_eq!(
            reasons,
            [
                State::Failed("it was given up before it served".to_owned()),
                State::Failed("it does not fit".to_owned())
            ]
        );
    }

    #[test]
    fn a_version_that_stays_unreadable_is_said_once() {
        let records = Records::default();
        let fault = |reason: &str| Fault::new(Cause::Unreadable, reason);
        assert!(records.unreadable(3, &fault("no")));
        assert!(!records.unreadable(3, &fault("no")));
        assert!(records.unreadable(3, &fault("still no")));
        assert_eq!(records.all().len(), 2);
    }
}
