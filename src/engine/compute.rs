//! A model run once, as its file has it: whole tensors, batch axis and all, and values that are no tensors.

use super::backend::Kernels;
use super::device::max_tensor_bytes;
use super::error::{LoadError, OpError};
use super::onnx;
use super::ops::{Context, Registry};
use super::program::Program;
use super::stream::Stream;
use super::value::{List, Value};
use super::weights::Ledger;
use crate::plan::DeviceId;
use crate::store::ModelFiles;
use crate::tensor::Tensor;
use burn_flex::{Flex, FlexDevice};

/// An input or output of a graph.
#[derive(Clone, Debug)]
pub enum Item {
    Tensor(Tensor),
    Sequence(Vec<Item>),
    /// An optional that is empty.
    Nothing,
}

/// Runs a model once. The outer error is of the model, the inner one of the run.
///
/// Sessions serve batches of tensors; this is for trying a model with whatever it takes.
pub fn compute(
    files: impl Into<ModelFiles>,
    inputs: Vec<Item>,
    device: DeviceId,
) -> Result<Result<Vec<Item>, OpError>, LoadError> {
    let files = files.into();
    match device {
        DeviceId::Cpu => compute_on::<Flex>(files, inputs, device, FlexDevice),
        #[cfg(any(feature = "cuda", feature = "vulkan"))]
        DeviceId::Cuda(index) => {
            compute_on::<super::device::Gpu>(files, inputs, device, super::device::gpu(index))
        }
        #[cfg(not(any(feature = "cuda", feature = "vulkan")))]
        DeviceId::Cuda(_) => Err(super::without_cuda()),
    }
}

fn compute_on<B: Kernels>(
    files: ModelFiles,
    inputs: Vec<Item>,
    id: DeviceId,
    device: B::Device,
) -> Result<Result<Vec<Item>, OpError>, LoadError> {
    let run = || {
        let mut model = onnx::read(files.onnx, &files.data)?;
        super::typed(&model)?;
        super::optimized(&mut model);
        let registry = Registry::standard();
        if B::ON_HOST {
            super::optimize::for_host(&mut model.graph, &registry);
        }
        let program = Program::<B>::build(&model.graph, &device, &registry, &Ledger::unlimited())?;
        let cx = Context::alone(device, max_tensor_bytes(id));
        if inputs.len() != model.graph.inputs.len() {
            let (given, wanted) = (inputs.len(), model.graph.inputs.len());
            return Ok(Err(OpError::input(format!("{given} inputs where the model takes {wanted}"))));
        }
        let run = || {
            let inputs = inputs.into_iter().map(|item| enter(item, &cx)).collect::<Result<_, _>>()?;
            program.run(inputs, &cx)?.into_iter().map(leave).collect()
        };
        Ok(run())
    };
    Stream::open().on(|| super::contained(run))
}

fn enter<B: Kernels>(item: Item, cx: &Context<B>) -> Result<Value<B>, OpError> {
    match item {
        Item::Tensor(tensor) if tensor.dtype().is_float() => {
            let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
            Ok(Value::from_parts(dtype, shape, &[tensor.bytes().clone()], &cx.device)?)
        }
        Item::Tensor(tensor) => Ok(Value::Host(tensor)),
        Item::Sequence(items) => {
            let mut list = List::default();
            for (index, item) in items.into_iter().enumerate() {
                list.insert(index, enter(item, cx)?, cx.max_bytes)?;
            }
            Ok(Value::Sequence(list.into()))
        }
        Item::Nothing => Ok(Value::Nothing),
    }
}

fn leave<B: Kernels>(value: Value<B>) -> Result<Item, OpError> {
    match value {
        Value::Sequence(list) => {
            Ok(Item::Sequence(list.items.iter().cloned().map(leave).collect::<Result<_, _>>()?))
        }
        Value::Nothing => Ok(Item::Nothing),
        tensor => tensor.into_host().map(Item::Tensor),
    }
}
