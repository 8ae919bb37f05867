//! The states of a generation, with their times, as they are shown.

use super::model::lock;
use super::shadow::Comparison;
use crate::plan::DeviceId;
use crate::scheduler::Snapshot;
use crate::store::Digest;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a generation stands. It goes through them in this order and may fail before it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Seen in the store.
    New,
    /// Its place on the device is taken.
    Reserved,
    Loading,
    Warming,
    /// It serves.
    Ready,
    /// No new request takes it; those that hold it go on.
    Draining,
    Unloaded,
    Failed(String),
}

/// Why a version does not come to serve: what a metric can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
            Self::Overtaken => "overtaken",
        }
    }
}

/// What has been counted of a model's loads since rserve began.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Loads {
    /// That came to be ready.
    pub ready: u64,
    pub failed: BTreeMap<Cause, u64>,
    /// Swaps: times that what serves became something else.
    pub swaps: u64,
    /// Of those that came to be ready, all together.
    pub load_seconds: f64,
    pub warm_up_seconds: f64,
}

impl State {
    fn is_over(&self) -> bool {
        matches!(self, Self::Unloaded | Self::Failed(_))
    }
}

/// One generation, for the status.
#[derive(Clone, Debug, Serialize)]
pub struct GenerationStatus {
    pub version: u64,
    /// `None` where its files could not be read.
    pub digest: Option<Digest>,
    pub state: State,
    /// Where it failed.
    pub cause: Option<Cause>,
    /// When it came into that state, in seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub since: SystemTime,
    /// Reading, checking and placing it, in seconds.
    #[serde(serialize_with = "seconds")]
    pub load: Duration,
    /// Its first batches, in seconds.
    #[serde(serialize_with = "seconds")]
    pub warm_up: Duration,
}

/// One model, for the status.
#[derive(Clone, Debug, Serialize)]
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
    /// By version, its weight among those that answer.
    pub traffic: BTreeMap<u64, f64>,
    /// How a version that is sent a copy of the traffic compares.
    pub shadow: Option<Comparison>,
    /// Oldest first: all that live, and the latest of those that are over.
    pub generations: Vec<GenerationStatus>,
    /// What somebody should look at, such as a version that is served but no longer in the store.
    pub warning: Option<String>,
    pub loads: Loads,
    /// For each version that serves and each of its devices, what was counted.
    pub instances: Vec<InstanceStatus>,
}

/// One device of a model, and what the model had of it.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceStatus {
    #[serde(serialize_with = "display")]
    pub device: DeviceId,
    pub replicas: usize,
    /// What the replicas here ask for together.
    pub share: f64,
    /// Bytes of the device's memory that their share allows, where it is known.
    pub memory_allowed: Option<u64>,
    /// Of the device's time that was given to anyone in the last ten seconds, in [0, 1].
    pub share_got_10s: f64,
    /// The same of the last minute.
    pub share_got_60s: f64,
}

/// One device, for the status.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceStatus {
    #[serde(serialize_with = "display")]
    pub id: DeviceId,
    /// Batches that may be on the way at once.
    pub lanes: usize,
    /// Of what the lanes could have run in the last ten seconds, in [0, 1].
    pub busy_10s: f64,
    /// The same of the last minute.
    pub busy_60s: f64,
}

/// One version on one device.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceStatus {
    pub version: u64,
    #[serde(serialize_with = "display")]
    pub device: DeviceId,
    /// Bytes of its weights.
    pub memory_weights: u64,
    /// Bytes that the values of its largest batch so far took at once.
    pub memory_batch: u64,
    pub counters: Snapshot,
}

/// The generations of one model, shared by whoever moves one on.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    generations: Vec<(u64, GenerationStatus)>,
    next: u64,
    loads: Loads,
}

/// How many that are over are still shown.
const HISTORY: usize = 8;

/// Moves one generation's record from state to state.
#[derive(Debug)]
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
        };
        recorded.generations.push((id, status));
        drop(recorded);
        Track { records: self.clone(), id }
    }

    pub(super) fn all(&self) -> Vec<GenerationStatus> {
        self.lock().generations.iter().map(|(_, status)| status.clone()).collect()
    }

    /// Which generations there are and where each stands.
    pub(super) fn standing(&self) -> Vec<(u64, State)> {
        self.lock().generations.iter().map(|(id, status)| (*id, status.state.clone())).collect()
    }

    pub(super) fn loads(&self) -> Loads {
        self.lock().loads.clone()
    }

    pub(super) fn swapped(&self) {
        self.lock().loads.swaps += 1;
    }

    /// A version whose files cannot be read. Recorded once for as long as the reason stays the same; whether
    /// it is new.
    pub(super) fn unreadable(&self, version: u64, reason: &str) -> bool {
        let last = self.all().into_iter().rfind(|status| status.version == version);
        let is_new = last.is_none_or(|last| last.state != State::Failed(reason.to_owned()));
        if is_new {
            self.track(version, None).failed(Cause::Unreadable, reason);
        }
        is_new
    }
}

impl Track {
    pub(super) fn to(&self, state: State) {
        self.change(|status| {
            status.state = state;
            status.since = SystemTime::now();
        });
    }

    pub(super) fn state(&self) -> Option<State> {
        let records = self.records.lock();
        let mine = records.generations.iter().find(|(id, _)| *id == self.id);
        mine.map(|(_, status)| status.state.clone())
    }

    pub(super) fn failed(&self, cause: Cause, reason: &str) {
        *self.records.lock().loads.failed.entry(cause).or_default() += 1;
        self.change(|status| status.cause = Some(cause));
        self.to(State::Failed(reason.to_owned()));
    }

    /// It is loaded and warm, and may serve.
    pub(super) fn took(&self, load: Duration, warm_up: Duration) {
        {
            let loads = &mut self.records.lock().loads;
            loads.ready += 1;
            loads.load_seconds += load.as_secs_f64();
            loads.warm_up_seconds += warm_up.as_secs_f64();
        }
        self.change(|status| (status.load, status.warm_up) = (load, warm_up));
    }

    fn change(&self, f: impl FnOnce(&mut GenerationStatus)) {
        let records = &mut self.records.lock().generations;
        if let Some((_, status)) = records.iter_mut().find(|(id, _)| *id == self.id) {
            f(status);
        }
        let over = records.iter().filter(|(_, status)| status.state.is_over()).count();
        let mut surplus = over.saturating_sub(HISTORY);
        records.retain(|(_, status)| {
            let drop = surplus > 0 && status.state.is_over();
            surplus -= usize::from(drop);
            !drop
        });
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn unix_seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_f64((since.as_secs_f64() * 1e3).round() / 1e3)
}

fn display<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_live_are_shown_and_the_latest_of_those_that_are_over() {
        let records = Records::default();
        let live = records.track(1, None);
        live.to(State::Ready);
        for version in 2..20 {
            records.track(version, None).to(State::Unloaded);
        }
        let shown: Vec<u64> = records.all().iter().map(|status| status.version).collect();
        assert_eq!(shown, [1, 12, 13, 14, 15, 16, 17, 18, 19]);
        let json = serde_json::to_value(&records.all()[0]).unwrap();
        assert_eq!(json["state"], "ready");
        assert!(json["since"].as_f64().unwrap() > 1.7e9);
    }

    #[test]
    fn a_version_that_stays_unreadable_is_said_once() {
        let records = Records::default();
        assert!(records.unreadable(3, "no"));
        assert!(!records.unreadable(3, "no"));
        assert!(records.unreadable(3, "still no"));
        assert_eq!(records.all().len(), 2);
    }
}
