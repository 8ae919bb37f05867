//! The engine, as the lifecycle loads models with it.

use super::facts::facts_of;
use crate::engine;
use crate::lifecycle::Loader;
use crate::plan::{DeviceId, VersionFacts};
use crate::scheduler::Runner;
use crate::store::VersionFiles;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

pub struct EngineLoader;

impl Loader for EngineLoader {
    fn inspect(&self, files: &VersionFiles) -> Result<VersionFacts, String> {
        facts_of(files)
    }

    fn load(&self, files: VersionFiles, device: DeviceId) -> Result<Arc<dyn Runner>, String> {
        engine::load(files.model(), device).map_err(|e| e.to_string())
    }

    fn data_files(&self, onnx: &Bytes) -> BTreeSet<String> {
        engine::data_files(onnx)
    }
}
