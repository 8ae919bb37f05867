//! What the ingress asks of the rest of rserve.

use crate::plan::{DecodeError, Payload, Pipeline, Priority};
use bytes::Bytes;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs items, and says how things stand. Implemented over `flow` and `lifecycle`, or by a test.
pub trait Host: Send + Sync + 'static {
    /// Runs one item through the online entry of `pipeline`. Dropping the future gives the item up.
    fn run<'a>(
        &'a self,
        pipeline: &'a Arc<Pipeline>,
        item: Item,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

    /// What serves a pipeline now: "road-mask@2, surface@2".
    fn models(&self, pipeline: &Pipeline) -> Option<Arc<str>>;

    /// The models that are not ready to serve, each with its state; empty once all are.
    fn not_ready(&self) -> Vec<(String, String)>;

    /// Whether every model of this pipeline is ready. Asked before a body is read, so it must be cheap.
    fn pipeline_ready(&self, pipeline: &Pipeline) -> bool;

    /// How everything stands, for `GET /status`.
    fn status(&self) -> serde_json::Value;

    /// Numbers that are counted elsewhere, for `GET /metrics`.
    fn samples(&self) -> Vec<Sample>;

    /// Looks at the store again, for one model or (`None`) for all.
    fn reload(&self, model: Option<&str>) -> Reload;
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
    /// At what: "step `mask`".
    Deadline { at: String },
    /// Our own fault: for the log, never for the client.
    Failed(String),
}

/// What became of a call to reload.
#[derive(Debug)]
pub enum Reload {
    /// It is being looked at; these models are concerned.
    Begun(Vec<String>),
    UnknownModel {
        known: Vec<String>,
    },
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
