//! The documents of the admin listener: written by it, and read again by the command line. One type for both ends.

use crate::lifecycle::units::unix_seconds;
use crate::lifecycle::{Cause, ModelStatus};
use crate::plan::{DeviceId, Priority};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// The state of everything: `GET /status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The version of rserve.
    pub version: String,
    pub uptime_seconds: u64,
    /// Whether every model of the plan serves something.
    pub ready: bool,
    pub plan: PlanStatus,
    pub pipelines: Vec<PipelineStatus>,
    pub models: Vec<ModelStatus>,
    pub devices: Vec<DeviceUse>,
    pub memory: MemoryUse,
}

/// The memory of the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MemoryUse {
    /// What it may take; `None` where nothing limits it.
    pub limit_bytes: Option<u64>,
    /// What is reserved, by what it is for.
    pub reserved_bytes: BTreeMap<String, u64>,
    /// What it holds beside what is reserved, the smallest of the last ten seconds.
    pub other_bytes: u64,
    /// What it holds now, without files that are mapped.
    pub resident_bytes: Option<u64>,
}

/// The plan that is served.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanStatus {
    /// The number of plans that there have been, this one included.
    pub generation: u64,
    #[serde(with = "unix_seconds")]
    pub since: SystemTime,
    pub files: Vec<String>,
    /// The latest state of the files, where it could not be applied.
    pub refused: Option<PlanRefusal>,
}

/// Pipeline files that could not be applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanRefusal {
    #[serde(with = "unix_seconds")]
    pub at: SystemTime,
    pub diagnostics: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineStatus {
    pub name: String,
    pub route: String,
    pub timeout_seconds: f64,
    pub priority: Priority,
    pub models: Vec<String>,
    /// What became of the steps that may run several times for a request, or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepCounts>,
}

/// What became of a step, for all requests since the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepCounts {
    pub name: String,
    /// The elements that it ran for; where it runs once, the requests.
    pub elements: u64,
    /// The elements for which it was skipped, or made nothing.
    pub skipped: u64,
    /// The elements for which it took longer than `within`, and was given up.
    pub late: u64,
}

/// A device of the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceUse {
    pub id: DeviceId,
    /// "AMD EPYC, 2 threads", where it is known.
    pub name: Option<String>,
    pub memory_bytes: Option<u64>,
    /// The share of the device that the replicas of each model hold together; 0 where they hold none.
    pub held: BTreeMap<String, f64>,
    /// The number of batches that may run at once; `None` until the device is opened.
    pub lanes: Option<usize>,
    /// The part of the time that its lanes ran batches, in [0, 1].
    pub busy_10s: Option<f64>,
    pub busy_60s: Option<f64>,
    /// Batches that were told to end and do not come back. While there are any, none of its models is ready.
    pub stuck: Vec<StuckBatch>,
}

/// A batch that does not come back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StuckBatch {
    pub model: String,
    /// The node of the model that runs, where it is known.
    pub node: Option<String>,
    /// How long the batch has run.
    pub seconds: f64,
}

/// The models and versions in the stores: `GET /models`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    pub models: Vec<StoredModel>,
    pub ignored: Vec<Ignored>,
}

/// A model of the plan, in its store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredModel {
    pub name: String,
    pub wanted: String,
    pub serving: Vec<u64>,
    pub in_store: Vec<u64>,
    /// Why the store could not be read.
    pub error: Option<String>,
    pub warning: Option<String>,
}

/// Something in a store that is no version of any model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ignored {
    pub path: String,
    pub reason: String,
}

/// The outcome of an order to look at files and models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Where the pipeline files were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanReloaded>,
    pub models: Vec<ModelReloaded>,
    /// Why the order was refused as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanReloaded {
    /// The generation of the plan that is served now.
    pub generation: u64,
    /// Why the files could not be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelReloaded {
    pub name: String,
    pub serving: Vec<u64>,
    pub loaded: Vec<u64>,
    pub dropped: Vec<u64>,
    pub failures: Vec<FailureReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A version that was wanted and does not serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureReport {
    /// `None` where no version was found at all.
    pub version: Option<u64>,
    pub cause: Cause,
    /// The reasons, one a line.
    pub reason: String,
}
