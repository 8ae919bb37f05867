//! The engine, as the lifecycle loads models with it.

use crate::engine;
use crate::lifecycle::{Loaded, Loader};
use crate::plan::DeviceId;
use crate::store::ModelFiles;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

pub struct EngineLoader;

impl Loader for EngineLoader {
    fn load(&self, files: ModelFiles, device: DeviceId) -> Result<Loaded, String> {
        let inspection = engine::inspect(files.clone()).map_err(|e| e.to_string())?;
        let signature = Arc::new(inspection.signature);
        let runner = engine::load(files, device).map_err(|e| e.to_string())?;
        Ok(Loaded { runner, signature, classes: inspection.classes })
    }

    fn data_files(&self, onnx: &Bytes) -> BTreeSet<String> {
        engine::data_files(onnx)
    }
}
