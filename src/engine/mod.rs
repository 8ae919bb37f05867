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
#[expect(unsafe_code, reason = "numeric kernels: vectors, and tiles that threads write side by side")]
pub mod kernels;
mod meter;
mod onnx;
mod op;
mod ops;
mod optimize;
mod program;
mod run;
mod session;
mod shape;
mod stream;
mod value;
mod walk;
mod weights;

pub use compute::{Item, compute};
pub use device::capacity;
pub use error::{LoadError, OpError, OpErrorKind, UnsupportedNode};
pub use inspect::{Inspection, inspect, optimized as inspect_optimized};
pub use optimize::Applied;

use crate::memory::Budget;
use crate::plan::{Declaration, DeviceId};
use crate::scheduler::{Runner, panic_message};
use crate::store::{Content, Format, ModelFiles};
use burn_flex::{Flex, FlexDevice};
use session::Session;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Frees what earlier batches left for later ones: the models may have changed.
pub fn forget_kept() {
    kernels::memory::forget();
}

/// A model that was read, on no device yet. A clone shares the weights.
#[derive(Clone)]
pub struct Model(onnx::Model);

/// Reads a model. What of its files it has no use for is freed.
pub fn open(files: impl Into<ModelFiles>) -> Result<Model, LoadError> {
    let ModelFiles { onnx, data } = files.into();
    contained(|| onnx::read(onnx, &data).map(Model))
}

impl Model {
    /// The same model with the batch axes that a pipeline file declares.
    pub fn declared(mut self, declaration: &Declaration) -> Self {
        self.0.signature = self.0.signature.declared(declaration);
        self
    }

    /// A description of the model, with the nodes that cannot be run.
    pub fn inspect(&self) -> Result<Inspection, LoadError> {
        contained(|| Ok(inspect::inspection(&self.0)))
    }

    /// Puts it on a device: optimises it and builds every operator. Weights are freed one by one as the device
    /// has them, where no clone holds them. An unsupported operator is an error that names every such node.
    ///
    /// What it keeps, and what each of its batches takes, is reserved of `budget`.
    pub fn load(self, device: DeviceId, budget: &Budget) -> Result<Arc<dyn Runner>, LoadError> {
        contained(|| load_read(self.0, device, budget))
    }
}

/// Reads a model and puts it on a device, with all the memory there is.
pub fn load(files: impl Into<ModelFiles>, device: DeviceId) -> Result<Arc<dyn Runner>, LoadError> {
    open(files)?.load(device, &Budget::unlimited())
}

fn load_read(
    mut model: onnx::Model,
    device: DeviceId,
    budget: &Budget,
) -> Result<Arc<dyn Runner>, LoadError> {
    typed(&model)?;
    let applied = optimized(&mut model);
    LoadError::if_given_up()?;
    tracing::debug!(?applied, "optimised");
    match device {
        DeviceId::Cpu => {
            let blocked = optimize::for_host(&mut model.graph, &ops::Registry::<Flex>::standard());
            tracing::debug!(blocked, "channels kept in blocks");
            Ok(Arc::new(Session::<Flex>::new(model, device, FlexDevice, budget.clone())?))
        }
        #[cfg(any(feature = "cuda", feature = "vulkan"))]
        DeviceId::Cuda(index) => {
            Ok(Arc::new(Session::<device::Gpu>::new(model, device, device::gpu(index), budget.clone())?))
        }
        #[cfg(not(any(feature = "cuda", feature = "vulkan")))]
        DeviceId::Cuda(_) => Err(without_cuda()),
    }
}

/// An error that names every node of mixed types, and whatever else cannot be run beside it.
fn typed(model: &onnx::Model) -> Result<(), LoadError> {
    let found = onnx::infer::of_model(model);
    for node in &found.misshapen {
        tracing::warn!(%node, "a node cannot run, whatever the model is given");
    }
    if found.mistyped.is_empty() {
        return Ok(());
    }
    Err(LoadError::Unsupported(inspect::inspection(model).unsupported))
}

#[cfg(not(any(feature = "cuda", feature = "vulkan")))]
fn without_cuda() -> LoadError {
    LoadError::Device("this rserve was built without the `cuda` feature".into())
}

/// The way in which ONNX files are read into memory: each of the larger tensors alone, as they are freed one by one.
pub struct Onnx;

impl Format for Onnx {
    fn read(&self, file: &mut dyn io::Read, size: usize) -> io::Result<Content> {
        onnx::read_file(file, size)
    }

    fn data(&self, onnx: &Content) -> BTreeMap<String, Vec<Range<usize>>> {
        onnx::external::files(onnx)
    }
}

/// A panic while a model is read or built is an error of that model. What comes of a load that was given up says nothing
/// of the model.
fn contained<T>(read: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    let read = catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|panic| Err(LoadError::Invalid(panic_message(panic.as_ref()))));
    LoadError::if_given_up().and(read)
}

/// Constants are computed on the CPU, whatever the device.
fn optimized(model: &mut onnx::Model) -> Vec<optimize::Applied> {
    let max_bytes = device::max_tensor_bytes(DeviceId::Cpu);
    let cx = ops::Context::<Flex>::alone(FlexDevice, max_bytes);
    optimize::optimize(&mut model.graph, &ops::Registry::standard(), &cx)
}
