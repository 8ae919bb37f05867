//! The engine, as the lifecycle loads models with it.

use crate::engine;
use crate::lifecycle::{Loaded, Loader};
use crate::plan::DeviceId;
use bytes::Bytes;
use std::sync::Arc;

pub struct EngineLoader;

impl Loader for EngineLoader {
    fn load(&self, onnx: Bytes, device: DeviceId) -> Result<Loaded, String> {
        let signature = Arc::new(engine::inspect(onnx.clone()).map_err(|e| e.to_string())?.signature);
        let runner = engine::load(onnx, device).map_err(|e| e.to_string())?;
        Ok(Loaded { runner, signature })
    }
}
