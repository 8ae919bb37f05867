//! An ONNX graph, interpreted over Burn's backend operations. The only room that knows Burn.
//!
//! A file's bytes become a graph (`onnx`), the graph is made smaller (`optimize`), every operator is built
//! for one device (`ops`, `program`), and a session runs the result for each batch (`exec`, `session`).
//! Nothing in a file is trusted: what cannot be run is refused when it is loaded, and an operator that fails
//! or panics fails its batch alone, with an error that names the node.

mod backend;
mod device;
mod error;
mod exec;
mod host;
mod inspect;
pub mod kernels;
mod meter;
mod onnx;
mod ops;
mod optimize;
mod program;
mod session;
mod value;

pub use device::capacity;
pub use error::{LoadError, UnsupportedNode};
pub use inspect::{Inspection, inspect, optimized as inspect_optimized};
pub use optimize::Applied;

use crate::plan::DeviceId;
use crate::scheduler::Runner;
use burn_flex::{Flex, FlexDevice};
use bytes::Bytes;
use session::Session;
use std::sync::Arc;

/// Loads a model onto a device: reads the bytes of its file, optimises, builds every operator.
///
/// The bytes may be dropped afterwards. An unsupported operator is an error that names every such node.
pub fn load(model: Bytes, device: DeviceId) -> Result<Arc<dyn Runner>, LoadError> {
    let mut model = onnx::read(model)?;
    let applied = optimized(&mut model);
    tracing::debug!(?applied, "optimised");
    match device {
        DeviceId::Cpu => Ok(Arc::new(Session::<Flex>::new(&model, device, FlexDevice)?)),
        #[cfg(feature = "cuda")]
        DeviceId::Cuda(index) => {
            Ok(Arc::new(Session::<burn_cuda::Cuda>::new(&model, device, burn_cuda::CudaDevice::new(index))?))
        }
        #[cfg(not(feature = "cuda"))]
        DeviceId::Cuda(_) => {
            Err(LoadError::Device("this rserve was built without the `cuda` feature".into()))
        }
    }
}

/// Constants are computed on the CPU, whatever the device.
fn optimized(model: &mut onnx::Model) -> Vec<optimize::Applied> {
    let max_bytes = device::max_tensor_bytes(DeviceId::Cpu);
    let cx = ops::Context::<Flex> { device: FlexDevice, max_bytes };
    optimize::optimize(&mut model.graph, &ops::Registry::standard(), &cx)
}
