//! What is done with any bytes that claim to be a model: read, inspected, loaded, run once. Shared by the
//! test over mutated files and by the fuzz target (`fuzz/`).

use bytes::Bytes;
use rserve::engine;
use rserve::plan::{DeviceId, Port};
use rserve::scheduler::{Batch, Value, Want};
use rserve::tensor::{Tensor, byte_len};

/// Elements that an input made up here may take.
const LARGEST: usize = 1 << 20;

/// How far it came; the error is the reason why no further.
pub fn model(bytes: &[u8]) -> Result<(), String> {
    let bytes = Bytes::copy_from_slice(bytes);
    let inspection = engine::inspect(bytes.clone()).map_err(|e| e.to_string())?;
    let runner = engine::load(bytes, DeviceId::Cpu).map_err(|e| e.to_string())?;
    let ports = &inspection.signature.inputs;
    let row = ports.iter().map(zeros).collect::<Option<Vec<Value>>>();
    let rows = vec![row.ok_or("an input that cannot be made up")?];
    let wants = vec![Want::Host; inspection.signature.outputs.len()];
    runner.run(Batch::new(rows, wants)).map(drop).map_err(|e| e.to_string())
}

/// An item of a port: zeros, an axis of unknown length 32 long.
fn zeros(port: &Port) -> Option<Value> {
    let dtype = port.dtype?;
    let dims = port.item_type().dims.unwrap_or_default().into_iter().map(|dim| dim.unwrap_or(32));
    let dims: Vec<usize> = dims.collect();
    let size = byte_len(dtype, &dims).filter(|size| *size <= LARGEST)?;
    Tensor::from_bytes(dtype, dims, vec![0; size].into()).ok().map(Value::Host)
}
