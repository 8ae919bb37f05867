//! An ONNX graph, interpreted over Burn's backend operations. The only room that knows Burn.
//!
//! A file's bytes become a graph (`onnx`), the graph is made smaller (`optimize`), every operator is built
//! for one device (`ops`, `program`), and a session runs the result for each batch (`exec`, `session`).
//! Nothing in a file is trusted: what cannot be run is refused when it is loaded, and an operator that fails
//! or panics fails its batch alone, with an error that names the node.

mod backend;
mod compute;
mod device;
mod error;
mod exec;
mod flex;
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

pub use compute::{Item, compute};
pub use device::capacity;
pub use error::{LoadError, UnsupportedNode};
pub use inspect::{Inspection, inspect, optimized as inspect_optimized};
pub use optimize::Applied;

use crate::plan::DeviceId;
use crate::scheduler::Runner;
use crate::store::ModelFiles;
use burn_flex::{Flex, FlexDevice};
use bytes::Bytes;
use session::Session;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Loads a model onto a device: reads the bytes of its file, optimises, builds every operator.
///
/// The bytes may be dropped afterwards. An unsupported operator is an error that names every such node.
pub fn load(files: impl Into<ModelFiles>, device: DeviceId) -> Result<Arc<dyn Runner>, LoadError> {
    let files = files.into();
    contained(|| load_read(onnx::read(files.onnx, &files.data)?, device))
}

fn load_read(mut model: onnx::Model, device: DeviceId) -> Result<Arc<dyn Runner>, LoadError> {
    let applied = optimized(&mut model);
    tracing::debug!(?applied, "optimised");
    match device {
        DeviceId::Cpu => Ok(Arc::new(Session::<Flex>::new(model, device, FlexDevice)?)),
        #[cfg(feature = "cuda")]
        DeviceId::Cuda(index) => {
            Ok(Arc::new(Session::<burn_cuda::Cuda>::new(model, device, burn_cuda::CudaDevice::new(index))?))
        }
        #[cfg(not(feature = "cuda"))]
        DeviceId::Cuda(_) => {
            Err(LoadError::Device("this rserve was built without the `cuda` feature".into()))
        }
    }
}

/// The files that a model keeps its weights in, as it names them: not to be trusted.
pub fn data_files(onnx: &Bytes) -> BTreeSet<String> {
    onnx::external::names(onnx)
}

/// A panic while a model is read or built is an error of that model.
fn contained<T>(read: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|panic| Err(LoadError::Invalid(exec::panic_text(panic.as_ref()))))
}

/// Constants are computed on the CPU, whatever the device.
fn optimized(model: &mut onnx::Model) -> Vec<optimize::Applied> {
    let max_bytes = device::max_tensor_bytes(DeviceId::Cpu);
    let cx = ops::Context::<Flex> { device: FlexDevice, max_bytes };
    optimize::optimize(&mut model.graph, &ops::Registry::standard(), &cx)
}
