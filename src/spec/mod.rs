//! The pipeline language as written: TOML text to a typed [`Spec`], every value with its place.
//!
//! Nothing here looks outside the text. Whether a name exists or a shape fits is for `plan` to say;
//! the options of a decode or an encode stay a [`Table`], which the codec of that format reads itself.

mod address;
pub mod document;
mod network;
pub mod read;
mod reader;
mod setting;
mod syntax;
pub mod unit;

use crate::diagnostic::{At, SourceText, Span};
use document::Table;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use address::{Address, NotAnAddress};
pub use network::{Network, NotANetwork};
pub use read::read;

/// What one file says.
#[derive(Clone, Debug)]
pub struct Spec {
    pub source: Arc<SourceText>,
    pub server: Option<Server>,
    pub store: Option<Store>,
    pub device: Option<Device>,
    /// A syntax error hid a part of the text, so that a name that is not here may be there.
    pub broken: bool,
    pub models: Vec<Model>,
    pub pipelines: Vec<Pipeline>,
}

/// `[server]`. What is left out is `None`; `plan` knows the defaults.
#[derive(Clone, Debug)]
pub struct Server {
    pub place: Span,
    pub listen: Option<At<Address>>,
    /// `None` within where it is "off".
    pub admin: Option<At<Option<Address>>>,
    pub max_body: Option<At<u64>>,
    pub timeout: Option<At<Duration>>,
    pub drain: Option<At<Duration>>,
    pub grace: Option<At<Duration>>,
    pub keep_alive: Option<At<Duration>>,
    /// The file whose content the admin listener asks for, as written: relative to the pipeline file's folder.
    pub token_file: Option<At<PathBuf>>,
    /// The bytes of memory that the process may take.
    pub memory: Option<At<u64>>,
    /// Where health is answered by itself.
    pub health: Option<At<Address>>,
    /// What one client may take; `None` within where it is "off".
    pub per_client: Option<At<Option<PerClient>>>,
    /// The proxies whose word is taken on which client a request is from.
    pub proxies: Option<At<Vec<Network>>>,
    /// The names under which the admin listener may be reached, beside addresses.
    pub admin_hosts: Option<At<Vec<String>>>,
    /// Whether an admin listener that others can reach needs no token.
    pub insecure: Option<At<bool>>,
}

/// `per_client` of the server: what the clients at one address may take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClient {
    pub connections: Option<usize>,
    /// The bytes of bodies that are being read or answered, and of answers that are being sent.
    pub memory: Option<u64>,
}

/// `[store]`.
#[derive(Clone, Debug)]
pub struct Store {
    pub place: Span,
    /// The folder of the store, as written: relative to the file's folder.
    pub path: Option<At<PathBuf>>,
    pub watch: Option<At<bool>>,
    pub settle: Option<At<Duration>>,
    pub links: Option<At<Links>>,
}

/// The links in a store that are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Links {
    /// Links that lead to a place within the store are followed.
    #[default]
    Within,
    /// All links are followed, wherever they lead.
    Anywhere,
}

/// `[device]`.
#[derive(Clone, Debug)]
pub struct Device {
    pub place: Span,
    pub uses: Option<At<DeviceUse>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceUse {
    Auto,
    Cpu,
    Cuda,
    /// CUDA devices by index, each once.
    Listed(Vec<usize>),
}

/// `[models.NAME]`.
#[derive(Clone, Debug)]
pub struct Model {
    pub name: At<String>,
    /// Share of one device, in (0, 1]: of its time and its memory. A model without one has no share held
    /// for it and runs in what the others leave idle.
    pub gpu: Option<At<f64>>,
    /// How many instances of it run, each with the share to itself. One where left out.
    pub replicas: Option<At<usize>>,
    pub version: Option<At<Version>>,
    pub batch: Option<At<Batch>>,
    pub queue: Option<At<usize>>,
    /// How long a batch of it may run.
    pub max_run: Option<At<Duration>>,
    /// The weight of each version among those that answer, ascending by version.
    pub traffic: Option<At<Vec<(u64, f64)>>>,
    /// The header whose value decides which of them answers; "x-request-id" where left out.
    pub sticky: Option<At<String>>,
    /// A version that is sent a copy of the traffic, and answers nobody.
    pub shadow: Option<At<u64>>,
    pub reload: Option<At<Reload>>,
    pub load_timeout: Option<At<Duration>>,
    /// Whether it is run on samples before it serves.
    pub warm: Option<At<bool>>,
}

/// How a new generation takes the place of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new one is loaded beside the old one, then they are swapped.
    Swap,
    /// The old one goes first, for want of memory for both: requests are answered 503 meanwhile.
    StopFirst,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    Latest,
    One(u64),
    /// Ascending, each once.
    Several(Vec<u64>),
}

/// `batch` of a model.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub max: Option<usize>,
    pub wait: Option<Duration>,
    /// Ascending, each once. Empty where left out.
    pub sizes: Vec<usize>,
    /// Which axis of every port is the batch; `None` within where no port has one (`batch = false`).
    pub axis: Option<At<Option<usize>>>,
    /// The batch axis of single ports, by name.
    pub axes: Vec<(At<String>, Option<usize>)>,
}

impl PartialEq for Batch {
    /// Wherever they are written.
    fn eq(&self, other: &Self) -> bool {
        let axis = |batch: &Self| batch.axis.as_ref().map(|axis| axis.value);
        let axes = |batch: &Self| -> Vec<(String, Option<usize>)> {
            batch.axes.iter().map(|(port, axis)| (port.value.clone(), *axis)).collect()
        };
        (self.max, self.wait, &self.sizes, axis(self), axes(self))
            == (other.max, other.wait, &other.sizes, axis(other), axes(other))
    }
}

/// Whose items go first in the queue of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// `[pipelines.NAME]`.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub name: At<String>,
    pub timeout: Option<At<Duration>>,
    pub priority: Option<At<Priority>>,
    pub decodes: Vec<Codec>,
    pub encodes: Vec<Codec>,
    pub steps: Vec<Step>,
    pub online: Option<Entry>,
    pub offline: Option<Entry>,
    /// A part of it could not be read, which was reported.
    pub broken: bool,
}

/// One `decode.NAME` or `encode.NAME`: its name, its format and the whole table for the codec to read.
#[derive(Clone, Debug)]
pub struct Codec {
    pub name: At<String>,
    /// Empty where it could not be read, which was reported; the options are then of no use.
    pub format: At<String>,
    /// All keys, `format` among them.
    pub options: At<Table>,
}

/// One entry of `steps`: a call of a model, or an operation.
#[derive(Clone, Debug)]
pub struct Step {
    pub name: At<String>,
    /// The model that is called. `None` where the step is an operation, or could not be read, which was reported.
    pub model: Option<At<String>>,
    /// The operation, where the step is one.
    pub op: Option<At<String>>,
    /// Model input to source, in the order of the file.
    pub inputs: Vec<(At<String>, At<String>)>,
    /// The step that makes the list for each of whose elements this one runs.
    pub each: Option<At<String>>,
    /// The condition on which it runs.
    pub when: Option<At<String>>,
    /// It is given up after so long, and counts as not run.
    pub within: Option<At<Duration>>,
    /// All keys. Those of an operation are for the operation itself to read.
    pub options: At<Table>,
    /// Inputs may be missing that were written and could not be read, which was reported.
    pub broken: bool,
}

impl Step {
    /// The keys that a step may have whatever it does.
    pub const KEYS: &[&'static str] = &["op", "each", "when", "within"];

    /// What the step is, in the words of an error message.
    pub fn what(&self) -> String {
        format!("step `{}`", self.name.value)
    }
}

/// One entry of `refuse`: a request is refused where the condition holds.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub place: Span,
    pub when: Option<At<String>>,
    /// The HTTP status; 422 where left out.
    pub status: Option<At<u16>>,
    /// What the client is told.
    pub say: Option<At<String>>,
}

/// `[pipelines.NAME.online]` or `[pipelines.NAME.offline]`: what differs at this entry point.
///
/// A decode takes the place of the pipeline's decode of the same name. Encodes take the place of all of the
/// pipeline's encodes. An entry point that is left out is as the other one where the pipeline itself has
/// no encodes or lacks a decode.
#[derive(Clone, Debug)]
pub struct Entry {
    pub place: Span,
    /// Online only. "/PIPELINE/predict" where left out.
    pub route: Option<At<String>>,
    pub decodes: Vec<Codec>,
    pub encodes: Vec<Codec>,
    /// Online only.
    pub refusals: Vec<Refusal>,
}
