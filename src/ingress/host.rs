//! What the ingress asks of the rest of rserve.

use super::documents::{Reloaded, Status, Stored};
use crate::flow::{self, Answer, Request};
use crate::plan::Pipeline;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The future of a method of a trait that is used as an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs the items of one pipeline. A route has one, so that whoever came by an old route ends on it.
pub trait Handler: Send + Sync + 'static {
    fn pipeline(&self) -> &Arc<Pipeline>;

    /// Whether every model of the pipeline is ready. Asked before a body is read, so it must be cheap.
    fn is_ready(&self) -> bool;

    /// Models whose traffic is split, each with the header whose value decides (in lower case).
    fn sticky(&self) -> &[(String, String)];

    /// Whether the request would be taken in now. Asked before its body is read, so that it has no payloads, and so
    /// it must be cheap.
    fn room(&self, _versions: &Versions, _request: &Request<'_>) -> Result<(), flow::Error> {
        Ok(())
    }

    /// The models that serve the offline entry now: "road-mask@2, surface@2".
    fn models(&self) -> Option<Arc<str>>;

    /// Runs one request. Dropping the future gives it up.
    fn run<'a>(
        &'a self,
        versions: &'a Versions,
        request: Request<'a>,
    ) -> BoxFuture<'a, Result<Answer, flow::Error>>;
}

/// The parts of a request that decide which versions of the models answer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The models of which the request asks for a version.
    pub pins: Vec<(String, u64)>,
    /// The model and the value that decides its version, for each of [`Handler::sticky`].
    pub keys: Vec<(String, Vec<u8>)>,
}

/// Says how things stand, and does what the admin listener is asked. Implemented over `lifecycle`, or by a
/// test.
pub trait Host: Send + Sync + 'static {
    /// The models that are not ready to serve, each with its state; empty once all are.
    fn not_ready(&self) -> Vec<(String, String)>;

    /// How everything stands, for `GET /status`.
    fn status(&self) -> Status;

    /// What the store holds, for `GET /models`.
    fn models(&self) -> BoxFuture<'_, Result<Stored, String>>;

    /// Numbers that are counted elsewhere, for `GET /metrics`.
    fn samples(&self) -> Vec<Sample>;

    /// Does what is ordered and waits until it is done.
    fn order(&self, order: AdminCommand) -> BoxFuture<'_, CommandOutcome>;
}

/// An order to the process, as the admin listener takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// Look at the pipeline files and at every model.
    Reload,
    /// Look at one model's versions.
    ReloadModel(String),
    /// Serve a version beside what the files ask for.
    Load(String, u64),
    /// Serve a version no more.
    Unload(String, u64),
}

/// The outcome of an order.
#[derive(Debug)]
pub enum CommandOutcome {
    Fine(Reloaded),
    /// Something could not be done; what served serves on.
    Refused(Reloaded),
    /// Another one takes long, and they are carried out one at a time.
    Busy,
    /// It was not done in time. What was being waited for may come yet.
    Overdue(Reloaded),
    UnknownModel {
        known: Vec<String>,
    },
    Failed(String),
}

/// A number counted elsewhere: its name, labels and value.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The name without the `rserve_` prefix.
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
