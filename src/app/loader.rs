//! The engine, as the lifecycle loads models with it.

use super::facts::facts_of;
use crate::engine::{self, LoadError};
use crate::lifecycle::{Loadable, Loader, OpenError, Opened, PlaceError};
use crate::memory::Budget;
use crate::plan::{Declaration, DeviceId};
use crate::scheduler::Runner;
use crate::store::{Format, VersionFiles};
use std::sync::Arc;

pub struct EngineLoader {
    /// What models keep, and what their batches take, is reserved of it.
    pub budget: Budget,
}

impl Loader for EngineLoader {
    fn open(&self, files: VersionFiles, declaration: &Declaration) -> Result<Opened, OpenError> {
        let (model, mut facts) = facts_of(files)?;
        let model = model.declared(declaration);
        facts.signature = Arc::new((*facts.signature).clone().declared(declaration));
        Ok(Opened { facts, model: Box::new(Read { model, budget: self.budget.clone() }) })
    }

    fn format(&self) -> &dyn Format {
        &engine::Onnx
    }
}

/// A model that was read, and what it is to take its memory of.
#[derive(Clone)]
struct Read {
    model: engine::Model,
    budget: Budget,
}

impl Loadable for Read {
    fn another(&self) -> Box<dyn Loadable> {
        Box::new(self.clone())
    }

    fn load(self: Box<Self>, device: DeviceId) -> Result<Arc<dyn Runner>, PlaceError> {
        self.model.load(device, &self.budget).map_err(|error| match error {
            LoadError::Memory(reason) => PlaceError::Memory(reason),
            other => PlaceError::Failed(other.to_string()),
        })
    }
}
