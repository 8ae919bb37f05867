//! Specs, model signatures and device capacity to a checked [`Plan`], or every diagnostic at once.
//!
//! Pure: no I/O, no clock, no await. What is known of the store and the machine comes in as [`Facts`] and
//! [`Capacity`]; formats and operations come in through [`Registries`].

pub mod batching;
pub mod capacity;
pub mod codec;
pub mod facts;
pub mod graph;
pub mod memory;
pub mod operation;
pub mod signature;

mod compile;
mod declared;
mod digest;
mod encodes;
mod entry;
mod fit;
mod id;
mod made;
mod models;
mod order;
mod overcommitted;
mod pipeline;
mod place;
mod refuse;
mod rollout;
mod root;
mod routes;
mod scope;
mod server;
mod slots;
pub mod step;
mod texts;
mod types;
mod unused;
mod whole;

pub use capacity::{Capacity, DeviceFacts, DeviceId};
pub use codec::{
    Bound, Codecs, Decode, DecodeError, Decoded, Draft, Encode, EncodeError, Example, Format, Given, Input,
    JsonValues, Mend, Origin, Payload, Presence, Region, RowContext, Rows, SourceRef,
};
pub use operation::{
    BoundOperation, Cost, Made, Operand, Operation, OperationDraft, OperationError, Operations, OutputType,
    Reads, Registries,
};

pub use compile::compile;
pub use digest::are_comparable;
pub use fit::Mismatch;
pub use id::{CalledId, DecodeId, EncodeId, Id, IdVec, ListId, ModelId, SlotId, StepId};
pub use models::interchangeable;
pub use whole::needs;

pub use batching::{Alone, Basis, Batching, Declaration, Mixing};
pub use facts::{Array, Facts, Labels, ModelFacts, VersionFacts, VersionsWanted};
pub use signature::{Dim, Port, Signature, TensorType};
pub use step::condition;

pub use crate::spec::read::is_name;
pub use crate::spec::{Address, Links, Network, PerClient, Priority};
pub use root::StoreRoot;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What rserve runs: everything checked, every name resolved to an index.
#[derive(Clone, Debug)]
pub struct Plan {
    pub server: Server,
    pub watch: Watch,
    pub devices: Vec<Device>,
    pub models: IdVec<ModelId, Model>,
    pub pipelines: Vec<Arc<Pipeline>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub listen: Address,
    /// `None` where it is "off".
    pub admin: Option<Address>,
    /// Bytes that a body may have.
    pub max_body: usize,
    /// How long a stop waits for requests in flight.
    pub drain: Duration,
    /// How long requests are still taken after SIGTERM, while readiness says no.
    pub grace: Duration,
    /// How long a connection may rest between two requests.
    pub keep_alive: Duration,
    /// What it holds, the admin listener asks for.
    pub token_file: Option<PathBuf>,
    /// The bytes of memory that the process may take; as many as the machine lets it where it is `None`.
    pub memory: Option<u64>,
    /// Where health is answered by itself, beside the routes.
    pub health: Option<Address>,
    /// What the clients at one address may take together; `None` where it is "off".
    pub per_client: Option<PerClient>,
    /// The proxies whose word is taken on which client a request is from.
    pub proxies: Vec<Network>,
    /// The names under which the admin listener may be reached, beside addresses and `localhost`.
    pub admin_hosts: Vec<String>,
    /// Whether an admin listener that others can reach needs no token.
    pub insecure: bool,
}

impl Default for Server {
    /// The server as it is where the files say nothing.
    fn default() -> Self {
        let loopback = |port| Address { host: Ipv4Addr::LOCALHOST.to_string(), port };
        Self {
            listen: loopback(8080),
            admin: Some(loopback(8081)),
            max_body: 16 << 20,
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            keep_alive: Duration::from_secs(75),
            token_file: None,
            memory: None,
            health: None,
            per_client: Some(PerClient::default()),
            proxies: vec![],
            admin_hosts: vec![],
            insecure: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    pub enabled: bool,
    pub settle: Duration,
}

/// A device that the plan uses, and who holds what share of it.
#[derive(Clone, Debug)]
pub struct Device {
    pub id: DeviceId,
    /// Bytes of memory that models may take, where it is known.
    pub memory: Option<u64>,
    /// The models that run here, with the share that the replicas of each hold together.
    pub held: Vec<(ModelId, f64)>,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    /// The store's root: `<store>/<name>/<version>/model.onnx`.
    pub store: StoreRoot,
    /// The versions to serve, ascending; the last is the default.
    pub versions: Vec<u64>,
    /// Whether the newest version is to be followed.
    pub latest: bool,
    /// The share of its device that each replica holds, in (0, 1]; 0 where none is held for it, so that it runs in what
    /// the others leave idle.
    pub share: f64,
    /// The device of each replica, one of [`Plan::devices`]. There is at least one.
    pub devices: Vec<DeviceId>,
    pub batch: BatchPolicy,
    /// What the pipeline file declares of its batch axes.
    pub declaration: Declaration,
    /// Whether it is run on samples before it serves.
    pub warm: bool,
    /// Requests that may wait.
    pub queue: usize,
    /// A batch that runs for longer is ended.
    pub max_run: Duration,
    pub rollout: Rollout,
    /// The names of the text files that are read where they lie beside it.
    pub texts: BTreeSet<String>,
    /// The signature of the default version; every served version was checked.
    pub signature: Arc<Signature>,
}

/// How versions share the traffic, and how one takes the place of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// The weight of each version among those that answer; empty where the default version answers all.
    pub traffic: Vec<(u64, f64)>,
    /// The header whose value decides which of them answers.
    pub sticky: String,
    /// A version that is sent a copy of the traffic and answers nobody, beside [`Model::versions`].
    pub shadow: Option<u64>,
    /// The old generation goes before the new one is loaded.
    pub stop_first: bool,
    /// Reading, loading and warming up may take so long.
    pub load_timeout: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            traffic: vec![],
            sticky: "x-request-id".to_owned(),
            shadow: None,
            stop_first: false,
            load_timeout: Duration::from_secs(300),
        }
    }
}

/// How rows are gathered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    pub max: usize,
    /// How long the oldest item waits for more.
    pub wait: Duration,
    /// Where not empty: the sizes that batches are padded to, ascending; the last is `max`.
    pub sizes: Arc<[usize]>,
}

/// A use case: one graph, an entry point online and one offline.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    pub name: String,
    /// The time that one request may take, from its head to its answer.
    pub timeout: Duration,
    /// Whose items go first in a model's queue.
    pub priority: Priority,
    /// The models that the steps call, each once. Steps and labels refer to positions in this list, so that a
    /// request can pin them all at once.
    pub models: IdVec<CalledId, ModelId>,
    /// "/road-classification/predict".
    pub route: String,
    pub online: Arc<Entry>,
    pub offline: Arc<Entry>,
}

/// One of the two entry points of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Online,
    Offline,
}

/// The graph as one entry point runs it. Values live in numbered slots: first one for each decode, then
/// the outputs of steps that something reads, then the lists.
#[derive(Debug, Default)]
pub struct Entry {
    pub decodes: IdVec<DecodeId, DecodePlan>,
    /// The steps that an encode of this entry point needs, in an order in which every step comes after those it reads
    /// from.
    pub steps: IdVec<StepId, Step>,
    /// Online: the first is the default answer.
    pub encodes: IdVec<EncodeId, EncodePlan>,
    /// Requests that are refused for what the steps found.
    pub refusals: Vec<Refusal>,
    /// The lists, each after the one whose elements it is made for.
    pub lists: IdVec<ListId, List>,
    /// The slots, each with the innermost list for each of whose elements it has a value.
    pub slots: IdVec<SlotId, Option<ListId>>,
}

/// A list that a step makes.
#[derive(Clone, Debug)]
pub struct List {
    /// The name of the step.
    pub name: String,
    pub step: StepId,
    /// The list for each of whose elements there is such a list.
    pub within: Option<ListId>,
    /// The slot of the list itself.
    pub slot: SlotId,
    /// The most elements that it may have.
    pub most: usize,
}

/// Requests are refused where the condition holds.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub when: Guard,
    /// The HTTP status.
    pub status: u16,
    /// What the client is told.
    pub say: String,
    /// The steps that must have run, ascending.
    pub needs: Vec<StepId>,
}

/// A condition and where its sources are found.
#[derive(Clone, Debug)]
pub struct Guard {
    pub condition: step::Condition,
    /// In the order of [`step::Condition::sources`].
    pub sources: Vec<InputPlan>,
}

#[derive(Debug)]
pub struct DecodePlan {
    pub name: String,
    pub decode: Arc<dyn Decode>,
    /// Whether an encode or an operation reads the picture itself, so that [`Decoded::origin`] is wanted.
    pub keep_origin: bool,
}

#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub does: Does,
    /// The list for each of whose elements it runs.
    pub each: Option<ListId>,
    /// The list that it makes; its outputs are then there for each element of that.
    pub makes: Option<ListId>,
    /// The inputs, in the order of the step's signature or of the operation's operands.
    pub inputs: Vec<InputPlan>,
    /// It runs where this holds.
    pub when: Option<Guard>,
    /// It is given up after so long, and counts as not run.
    pub within: Option<Duration>,
    /// The outputs, in the order of the step's signature.
    pub outputs: Vec<OutputPlan>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Does {
    Call(Calls),
    Operation {
        operation: Arc<dyn Operation>,
        /// The decode whose [`Origin`] it reads.
        on: Option<DecodeId>,
    },
}

/// A call of a model.
#[derive(Clone, Debug)]
pub struct Calls {
    pub model: CalledId,
    /// The model's name.
    pub name: String,
    /// The rows that the batches of all its replicas hold together.
    pub batch: usize,
}

impl Step {
    /// Whether it runs just once for every item that needs it, as far as its own keys say.
    pub fn runs_once(&self) -> bool {
        self.each.is_none() && self.when.is_none() && self.within.is_none()
    }

    /// The model that it calls.
    pub fn model(&self) -> Option<CalledId> {
        match &self.does {
            Does::Call(calls) => Some(calls.model),
            Does::Operation { .. } => None,
        }
    }
}

/// An input of a step.
#[derive(Clone, Debug)]
pub struct InputPlan {
    pub name: String,
    /// The slot that it reads.
    pub slot: SlotId,
    pub reads: Reads,
    /// A file of labels that goes with it: the model beside whose `model.onnx` it is, and its name.
    pub labels: Option<(CalledId, String)>,
}

/// An output of a step.
#[derive(Clone, Debug)]
pub struct OutputPlan {
    pub name: String,
    pub ty: TensorType,
    /// The slot that it fills; `None` where nothing reads it.
    pub slot: Option<SlotId>,
    /// Whether an encode, or a model on another device, reads it on the host.
    pub to_host: bool,
}

#[derive(Debug)]
pub struct EncodePlan {
    pub name: String,
    pub encode: Arc<dyn Encode>,
    /// What it reads, in the order of `Draft::sources`.
    pub sources: Vec<EncodeSource>,
    /// The decodes of whose pictures the size is handed in, in the order of `Draft::sizes`.
    pub sizes: Vec<DecodeId>,
    /// The decode whose [`Origin`] is handed in.
    pub origin: Option<DecodeId>,
    /// The steps that must have run, ascending.
    pub needs: Vec<StepId>,
}

#[derive(Debug)]
pub struct EncodeSource {
    pub slot: SlotId,
    /// A labels file: the model beside whose `model.onnx` it is, and its name.
    pub labels: Option<(CalledId, String)>,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Online, Self::Offline];

    /// The name as it is written in the language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Online => Self::Offline,
            Self::Offline => Self::Online,
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl BatchPolicy {
    pub fn up_to(max: usize) -> Self {
        Self { max, wait: Duration::ZERO, sizes: Arc::default() }
    }

    /// The rows that a batch of so many is run with.
    pub fn padded(&self, rows: usize) -> usize {
        self.sizes.iter().copied().find(|size| *size >= rows).unwrap_or(rows)
    }
}

impl Model {
    /// The devices that its replicas are on, each once.
    pub fn distinct_devices(&self) -> Vec<DeviceId> {
        let mut devices = self.devices.clone();
        devices.sort_unstable();
        devices.dedup();
        devices
    }
}

impl Entry {
    /// A list and those that it lies in, the outermost first.
    pub fn lineage(&self, list: Option<ListId>) -> Vec<ListId> {
        let mut lineage: Vec<ListId> =
            std::iter::successors(list, |list| self.lists.get(*list)?.within).collect();
        lineage.reverse();
        lineage
    }
}

/// Who fills a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Decode(DecodeId),
    /// A step, and which of its outputs.
    Step(StepId, usize),
    /// The step that makes the list of this slot.
    List(StepId),
}

impl Entry {
    /// The decode or the output of a step that fills a slot.
    pub fn writer(&self, slot: SlotId) -> Option<Writer> {
        if let Some(decode) = self.decodes.ids().find(|decode| SlotId::of_decode(*decode) == slot) {
            return Some(Writer::Decode(decode));
        }
        if let Some(list) = self.lists.iter().find(|list| list.slot == slot) {
            return Some(Writer::List(list.step));
        }
        self.steps.enumerate().find_map(|(id, step)| {
            let output = step.outputs.iter().position(|output| output.slot == Some(slot))?;
            Some(Writer::Step(id, output))
        })
    }
}

impl Pipeline {
    pub fn entry(&self, side: Side) -> &Arc<Entry> {
        match side {
            Side::Online => &self.online,
            Side::Offline => &self.offline,
        }
    }
}
