//! A pipeline with the models that it calls, and one item's hold on them.

use super::codecs::CodecThreads;
use crate::lifecycle::{Cell, Generation, NotReady};
use crate::plan::{self, Entry};
use crate::scheduler::Want;
use std::sync::Arc;

/// A pipeline of the plan, ready to be pinned.
pub struct Pipeline {
    plan: Arc<plan::Pipeline>,
    /// In the order of [`plan::Pipeline::models`].
    models: Vec<Arc<Cell>>,
    online: Wants,
    offline: Wants,
    pub(super) threads: CodecThreads,
}

/// For each step of an entry, what becomes of each of its outputs.
pub(super) type Wants = Vec<Arc<[Want]>>;

/// A pipeline and a generation of each of its models, held for as long as this lives.
#[derive(Clone)]
pub struct Pinned {
    pub(super) pipeline: Arc<Pipeline>,
    /// In the order of [`plan::Pipeline::models`].
    pub(super) generations: Vec<Arc<Generation>>,
    models: Arc<str>,
}

impl Pipeline {
    /// `cells` are those of all models of the plan, in its order.
    pub fn new(plan: Arc<plan::Pipeline>, cells: &[Arc<Cell>], threads: CodecThreads) -> Arc<Self> {
        let models = plan.models.iter().filter_map(|index| cells.get(*index).cloned()).collect();
        let (online, offline) = (wants(&plan.online), wants(&plan.offline));
        Arc::new(Self { plan, models, online, offline, threads })
    }

    pub fn plan(&self) -> &Arc<plan::Pipeline> {
        &self.plan
    }

    /// Takes the default version of every model, all at once.
    pub fn pin(self: &Arc<Self>) -> Result<Pinned, NotReady> {
        let generations = self.models.iter().map(|cell| cell.pin()).collect::<Result<Vec<_>, _>>()?;
        let tags: Vec<&str> = generations.iter().map(|generation| generation.tag.as_str()).collect();
        let models = tags.join(", ").into();
        Ok(Pinned { pipeline: self.clone(), generations, models })
    }

    pub(super) fn wants(&self, offline: bool) -> &Wants {
        if offline { &self.offline } else { &self.online }
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

    /// In the order of [`plan::Pipeline::models`].
    pub fn generations(&self) -> &[Arc<Generation>] {
        &self.generations
    }
}

fn wants(entry: &Entry) -> Wants {
    let of_step = |step: &plan::Step| {
        let outputs = step.outputs.iter().enumerate();
        outputs
            .map(|(index, slot)| match slot {
                None => Want::Drop,
                Some(_) if step.to_host.get(index) == Some(&true) => Want::Host,
                Some(_) => Want::Device,
            })
            .collect()
    };
    entry.steps.iter().map(of_step).collect()
}
