//! What one plan says of one model, and of what surrounds it.

use super::align::Contract;
use super::cell::Cell;
use super::decide::Versions;
use super::generation::Generation;
use super::load::Target;
use super::samples::{Feed, Feeds};
use crate::plan::memory::Allowed;
use crate::plan::{
    self, BatchPolicy, Declaration, DeviceId, ModelId, Plan, Rollout, StoreRoot, VersionFacts, Writer,
};
use crate::scheduler::{Device, Instance, Policy};
use crate::sync::{Mutex, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The versions that answer now for each model, ascending.
pub type Serving = BTreeMap<String, Vec<(u64, VersionFacts)>>;

/// Says whether a version can take its place in the plan. `app` compiles the plan with it.
pub trait Fit: Send + Sync + 'static {
    /// Every reason why some pipeline that uses the model could not work with it, as the plan would say it.
    fn fits(&self, model: &str, version: u64, facts: &VersionFacts, serving: &Serving) -> Result<(), String>;
}

/// One plan's models together.
pub(super) struct PlanContext {
    pub fit: Option<Arc<dyn Fit>>,
    pub cells: Mutex<BTreeMap<String, Arc<Cell>>>,
    /// Held from the last check of a generation to its swap, so that two models do not move at once.
    pub swapping: Mutex<()>,
}

#[derive(Clone)]
pub(super) struct Config {
    pub store: StoreRoot,
    pub settle: Duration,
    /// The versions that the plan asks for; what was asked for by hand is not among them.
    pub wanted: Versions,
    /// The share of its device that one replica holds.
    pub share: f64,
    pub targets: Vec<Target>,
    /// Where a shadow runs.
    pub aside: Target,
    pub rollout: Rollout,
    pub declaration: Declaration,
    /// What comes to the model's inputs.
    pub feeds: Arc<Feeds>,
    pub warm: bool,
    /// The names of the text files that are read where a version has them.
    pub texts: BTreeSet<String>,
    pub contract: Contract,
    pub context: Arc<PlanContext>,
}

impl PlanContext {
    pub(super) fn new(fit: Option<Arc<dyn Fit>>) -> Self {
        Self { fit, cells: Mutex::new(BTreeMap::new()), swapping: Mutex::new(()) }
    }

    pub(super) fn fits(&self, model: &str, version: u64, facts: &VersionFacts) -> Result<(), String> {
        let Some(fit) = &self.fit else { return Ok(()) };
        let cells = lock(&self.cells).clone();
        let serving = cells.into_iter().map(|(name, cell)| {
            let answering = cell.served();
            let facts = answering.answering.iter().map(|one| &one.generation);
            (name, facts.map(|generation| (generation.version, generation.facts.clone())).collect())
        });
        fit.fits(model, version, facts, &serving.collect())
    }
}

impl Config {
    /// The part of the plan that a model is served by. `devices` are its distinct ones, opened, and `aside` is for its shadow.
    pub(super) fn new(
        plan: &Plan,
        id: ModelId,
        devices: Vec<Device>,
        aside: Device,
        context: &Arc<PlanContext>,
    ) -> Self {
        let model = &plan.models[id];
        let place = |device: Device| {
            let replicas = model.devices.iter().filter(|on| **on == device.id()).count().max(1);
            let share = model.share * replicas as f64;
            let memory = plan.devices.iter().find(|d| d.id == device.id()).and_then(|d| d.memory);
            let memory = Allowed::new(memory, share);
            let policy = Policy {
                share,
                batch: model.batch.clone(),
                queue: model.queue,
                lanes: usize::MAX,
                memory: memory.map(Allowed::bytes),
                max_run: model.max_run,
            };
            Target { device, replicas, policy, memory }
        };
        // In what others leave idle, one item at a time, so that it never holds a device for long.
        let alone = Policy {
            share: 0.0,
            batch: BatchPolicy::up_to(1),
            queue: model.queue,
            lanes: 1,
            memory: None,
            max_run: model.max_run,
        };
        Self {
            store: model.store.clone(),
            settle: plan.watch.settle,
            wanted: Versions {
                latest: model.latest,
                listed: if model.latest { BTreeSet::new() } else { model.versions.iter().copied().collect() },
                shadow: model.rollout.shadow,
                ..Versions::default()
            },
            share: model.share,
            targets: devices.into_iter().map(place).collect(),
            aside: Target { device: aside, replicas: 1, policy: alone, memory: None },
            rollout: model.rollout.clone(),
            declaration: model.declaration.clone(),
            feeds: Arc::new(feeds(plan, id)),
            warm: model.warm,
            texts: model.texts.clone(),
            contract: Contract { signature: model.signature.clone(), read: outputs_read(plan, id) },
            context: context.clone(),
        }
    }

    /// Whether what serves by `other` serves by this one as it is, with no more than another policy.
    pub(super) fn serves_alike(&self, other: &Self) -> bool {
        self.store == other.store
            && self.wanted == other.wanted
            && self.contract == other.contract
            && self.declaration == other.declaration
            && self.texts == other.texts
            && self.devices() == other.devices()
    }

    fn devices(&self) -> Vec<DeviceId> {
        self.targets.iter().map(|target| target.device.id()).collect()
    }

    /// The devices of a generation that answers, or of a shadow.
    pub(super) fn targets(&self, shadow: bool) -> &[Target] {
        if shadow { std::slice::from_ref(&self.aside) } else { &self.targets }
    }

    /// Whether a generation is where it is to be.
    pub(super) fn has_in_place(&self, generation: &Generation) -> bool {
        let targets = self.targets(generation.shadow);
        let there: Vec<DeviceId> = generation.replicas.iter().map(Instance::device).collect();
        there.len() == targets.len() && targets.iter().all(|target| there.contains(&target.device.id()))
    }

    /// Serves a generation by this plan's policy.
    pub(super) fn set_policy(&self, generation: &Generation) {
        for instance in generation.replicas.iter() {
            let targets = self.targets(generation.shadow);
            if let Some(target) = targets.iter().find(|target| target.device.id() == instance.device()) {
                instance.set_policy(target.policy(generation.joined));
            }
        }
    }
}

/// What comes to the inputs of a model from the decodes and the operations that feed it.
fn feeds(plan: &Plan, model: ModelId) -> Feeds {
    let mut feeds = Feeds::new();
    for pipeline in &plan.pipelines {
        for entry in [&pipeline.online, &pipeline.offline] {
            let steps = entry.steps.iter().filter(|step| calls(pipeline, step) == Some(model));
            for input in steps.flat_map(|step| &step.inputs) {
                if let Some(feed) = entry.writer(input.slot).and_then(|writer| feed(entry, writer)) {
                    feeds.entry(input.name.clone()).or_insert(feed);
                }
            }
        }
    }
    feeds
}

/// What a decode or an operation gives.
fn feed(entry: &plan::Entry, writer: Writer) -> Option<Feed> {
    match writer {
        Writer::Decode(decode) => {
            let decode = &entry.decodes[decode].decode;
            Some(Feed { ty: decode.produces(), range: decode.range() })
        }
        Writer::Step(step, output) => {
            let step = &entry.steps[step];
            let plan::Does::Operation { operation, .. } = &step.does else { return None };
            Some(Feed { ty: step.outputs.get(output)?.ty.clone(), range: operation.range(output) })
        }
        Writer::List(_) => None,
    }
}

/// The model that a step of a pipeline calls.
fn calls(pipeline: &plan::Pipeline, step: &plan::Step) -> Option<ModelId> {
    pipeline.models.get(step.model()?).copied()
}

/// The names of the outputs that something reads.
fn outputs_read(plan: &Plan, model: ModelId) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for pipeline in &plan.pipelines {
        let entries = [&pipeline.online, &pipeline.offline];
        let steps = entries.into_iter().flat_map(|entry| &entry.steps);
        for step in steps.filter(|step| calls(pipeline, step) == Some(model)) {
            let read = step.outputs.iter().filter(|output| output.slot.is_some());
            names.extend(read.map(|output| output.name.clone()));
        }
    }
    names
}
