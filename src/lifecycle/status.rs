//! What the status shows of models, generations and devices.

use super::fault::Cause;
use super::state::State;
use super::units::{seconds, unix_seconds};
use super::warm::Joining;
use crate::plan::DeviceId;
use crate::scheduler::{Snapshot, Stuck};
use crate::store::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

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

/// The comparison of a shadow with what answered, so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub version: u64,
    /// Answers that were compared.
    pub compared: u64,
    /// The number of these in which every number is equal, but for rounding.
    pub equal: u64,
    /// `equal / compared`.
    pub equal_share: Option<f64>,
    /// The greatest difference of two numbers in any answer.
    pub largest_difference: f64,
    /// Copies that were not sent, as the shadow was behind.
    pub dropped: u64,
    /// Copies that the shadow could not answer, or answered in another shape.
    pub failed: u64,
    /// Why the last of them.
    pub last_failure: Option<String>,
    /// The seconds that the shadow's batches took, all together.
    pub seconds: f64,
}
