//! A pipeline with the models that it calls, and one item's hold on them.

use super::codecs::CodecThreads;
use crate::lifecycle::{Cell, NotReady, Picked};
use crate::plan::{self, CalledId, Entry, IdVec, ModelId, OutputPlan, Side, StepId};
use crate::scheduler::Want;
use std::sync::Arc;

/// A pipeline of the plan, ready to be pinned.
pub struct Pipeline {
    plan: Arc<plan::Pipeline>,
    models: IdVec<CalledId, Arc<Cell>>,
    online: Wants,
    offline: Wants,
    pub(super) threads: CodecThreads,
    /// The pipeline's name, as those who wait for a thread are told apart.
    pub(super) name: Arc<str>,
}

/// What becomes of each output of each step of an entry.
pub(super) type Wants = IdVec<StepId, Arc<[Want]>>;

/// A pipeline and a generation of each of its models, held for as long as this lives.
#[derive(Clone)]
pub struct Pinned {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) generations: IdVec<CalledId, Picked>,
    models: Arc<str>,
}

impl Pipeline {
    /// `cells` are those of all models of the plan.
    pub fn new(
        plan: Arc<plan::Pipeline>,
        cells: &IdVec<ModelId, Arc<Cell>>,
        threads: CodecThreads,
    ) -> Arc<Self> {
        let models = plan.models.iter().filter_map(|index| cells.get(*index).cloned()).collect();
        let (online, offline) = (wants(&plan.online), wants(&plan.offline));
        let name = plan.name.as_str().into();
        Arc::new(Self { name, plan, models, online, offline, threads })
    }

    pub fn plan(&self) -> &Arc<plan::Pipeline> {
        &self.plan
    }

    /// Whether every model serves something.
    pub fn is_ready(&self) -> bool {
        self.models.iter().all(|cell| cell.is_ready())
    }

    /// Whether every version of every model would take an item now, as far as is known without a look at
    /// the queues.
    pub fn is_roomy(&self) -> bool {
        self.models.iter().all(|cell| cell.is_roomy())
    }

    /// Takes the default version of every model, all at once.
    pub fn pin(self: &Arc<Self>) -> Result<Pinned, NotReady> {
        self.choose(&[], &|_| None)
    }

    /// Takes a version of every model, all at once: of those in `pins` the one that is named; of others,
    /// where their traffic is split, the one that the `key` of the model falls to; else the default.
    pub fn choose<'k>(
        self: &Arc<Self>,
        pins: &[(String, u64)],
        key: &dyn Fn(&str) -> Option<&'k [u8]>,
    ) -> Result<Pinned, NotReady> {
        let known = || self.models.iter().map(|cell| cell.name());
        if let Some((model, _)) = pins.iter().find(|(model, _)| known().all(|name| name != model)) {
            let known = known().map(str::to_owned).collect();
            return Err(NotReady::Model { model: model.clone(), known });
        }
        let choose = |cell: &Arc<Cell>| {
            let pin = pins.iter().find(|(model, _)| model == cell.name()).map(|(_, version)| *version);
            cell.choose(pin, key(cell.name()))
        };
        let generations = self.models.iter().map(choose).collect::<Result<IdVec<_, _>, _>>()?;
        let tags: Vec<&str> = generations.iter().map(|generation| generation.tag.as_str()).collect();
        let models = tags.join(", ").into();
        Ok(Pinned { pipeline: self.clone(), generations, models })
    }

    pub(super) fn wants(&self, side: Side) -> &Wants {
        match side {
            Side::Online => &self.online,
            Side::Offline => &self.offline,
        }
    }
}

impl Pinned {
    pub fn plan(&self) -> &Arc<plan::Pipeline> {
        &self.pipeline.plan
    }

    /// What serves the item: "road-mask@2, surface@2".
    pub fn models(&self) -> &Arc<str> {
        &self.models
    }

    /// The models that run for all of an entry's encodes.
    pub fn models_of_entry(&self, entry: &Entry) -> Arc<str> {
        self.models_of(entry, |_| true)
    }

    /// The models that steps of an entry call, of the steps for which `ran` says so.
    pub(super) fn models_of(&self, entry: &Entry, ran: impl Fn(StepId) -> bool) -> Arc<str> {
        let steps = entry.steps.enumerate().filter(|(step, _)| ran(*step));
        let mut called: Vec<CalledId> = steps.filter_map(|(_, step)| step.model()).collect();
        called.sort_unstable();
        called.dedup();
        if called.len() == self.generations.len() {
            return self.models.clone();
        }
        let tags = called.iter().filter_map(|model| self.generations.get(*model));
        tags.map(|picked| picked.tag.as_str()).collect::<Vec<_>>().join(", ").into()
    }

    pub fn generations(&self) -> &IdVec<CalledId, Picked> {
        &self.generations
    }
}

fn wants(entry: &Entry) -> Wants {
    let of_step = |step: &plan::Step| {
        let want = |output: &OutputPlan| match output.slot {
            None => Want::Drop,
            Some(_) if output.to_host => Want::Host,
            Some(_) => Want::Device,
        };
        step.outputs.iter().map(want).collect()
    };
    entry.steps.iter().map(of_step).collect()
}
