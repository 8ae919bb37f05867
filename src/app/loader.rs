//! The engine, as the lifecycle loads models with it.

use super::facts::facts_of;
use crate::engine;
use crate::lifecycle::{Loader, Model, Opened};
use crate::plan::{Declaration, DeviceId};
use crate::scheduler::Runner;
use crate::store::{Format, VersionFiles};
use std::sync::Arc;

pub struct EngineLoader;

impl Loader for EngineLoader {
    fn open(&self, files: VersionFiles, declaration: &Declaration) -> Result<Opened, String> {
        let (model, mut facts) = facts_of(files)?;
        let model = model.declared(declaration);
        facts.signature = Arc::new((*facts.signature).clone().declared(declaration));
        Ok(Opened { facts, model: Box::new(model) })
    }

    fn format(&self) -> &dyn Format {
        &engine::Onnx
    }
}

impl Model for engine::Model {
    fn another(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }

    fn load(self: Box<Self>, device: DeviceId) -> Result<Arc<dyn Runner>, String> {
        engine::Model::load(*self, device).map_err(|e| e.to_string())
    }
}
