//! What the ingress asks of the rest of rserve.

use crate::plan::{DecodeError, Payload, Pipeline, Priority};
use bytes::Bytes;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs the items of one pipeline. A route has one, so that whoever came by an old route ends on it.
pub trait Handler: Send + Sync + 'static {
    fn pipeline(&self) -> &Arc<Pipeline>;

    /// Whether every model of the pipeline is ready. Asked before a body is read, so it must be cheap.
    fn is_ready(&self) -> bool;

    /// Models whose traffic is split, each with the header whose value decides (in lower case).
    fn sticky(&self) -> &[(String, String)];

    /// Whether an item on these terms would be taken in now. Asked before a body is read, so it must be cheap.
    fn room(&self, _asked: &Asked<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// What serves it now: "road-mask@2, surface@2".
    fn models(&self) -> Option<Arc<str>>;

    /// Runs one item. Dropping the future gives the item up.
    fn run(&self, item: Item) -> Soon<'_, Result<Answer, Failure>>;
}

/// Says how things stand, and does what the admin listener is asked. Implemented over `lifecycle`, or by a
/// test.
pub trait Host: Send + Sync + 'static {
    /// The models that are not ready to serve, each with its state; empty once all are.
    fn not_ready(&self) -> Vec<(String, String)>;

    /// How everything stands, for `GET /status`.
    fn status(&self) -> serde_json::Value;

    /// What the store holds, for `GET /models`.
    fn models(&self) -> Soon<'_, serde_json::Value>;

    /// Numbers that are counted elsewhere, for `GET /metrics`.
    fn samples(&self) -> Vec<Sample>;

    /// Does what is ordered and waits until it is done.
    fn order(&self, order: Order) -> Soon<'_, Done>;
}

/// What the admin listener is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Look at the pipeline files and at every model.
    Reload,
    /// Look at one model's versions.
    ReloadModel(String),
    /// Serve a version beside what the files ask for.
    Load(String, u64),
    /// Serve a version no more.
    Unload(String, u64),
}

/// What became of an order.
#[derive(Debug)]
pub enum Done {
    Fine(serde_json::Value),
    /// Something could not be done; what served serves on.
    Refused(serde_json::Value),
    UnknownModel {
        known: Vec<String>,
    },
    Failed(String),
}

/// One request's item.
pub struct Item {
    /// In the order of the entry's decodes.
    pub payloads: Vec<Payload>,
    /// Index into the entry's encodes.
    pub encode: usize,
    /// Where given, the item is run under this name through the offline entry, and all encodes are made.
    pub offline: Option<String>,
    pub priority: Priority,
    /// When the answer is no longer wanted.
    pub deadline: Instant,
    /// Models of which the request asks for a version.
    pub pins: Vec<(String, u64)>,
    /// For each of [`Handler::sticky`] its model and what decides its version.
    pub keys: Vec<(String, Vec<u8>)>,
}

/// What a request's head says of its item.
pub struct Asked<'a> {
    pub encode: usize,
    pub offline: bool,
    pub priority: Priority,
    pub deadline: Instant,
    pub pins: &'a [(String, u64)],
    pub keys: &'a [(String, Vec<u8>)],
}

#[derive(Debug)]
pub struct Answer {
    pub body: Bytes,
    /// "road-mask@2, surface@2"
    pub models: Arc<str>,
    /// What took how long, by the name of the decode, step or encode.
    pub timings: Vec<(Cow<'static, str>, Duration)>,
}

/// Why an item has no answer. `problem` turns each into a status.
#[derive(Debug)]
pub enum Failure {
    /// What was sent cannot be decoded.
    Decode { decode: String, error: DecodeError },
    /// It was decoded, but a model cannot take it.
    Input { step: String, reason: String },
    /// As many items wait for a model as its queue holds; there should be room again after `retry_after`.
    QueueFull { model: String, retry_after: Duration },
    /// A model has no generation that serves.
    NotReady { model: String },
    /// The request asks for a model or a version that there is not; what there is.
    Version { detail: String, model: String, known: serde_json::Value },
    /// At what: "step `mask`".
    Deadline { at: String },
    /// Our own fault: for the log, never for the client.
    Failed(String),
}

/// A number counted elsewhere: its name, labels and value.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Without the `rserve_` prefix.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: SampleKind,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    Counter,
    Gauge,
    /// A part of a histogram: "_bucket" (cumulative, with the label `le`), "_sum" or "_count".
    Histogram(&'static str),
}
