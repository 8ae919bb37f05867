//! A model run once, as its file has it: whole tensors, batch axis and all, and values that are no tensors.

use super::device::max_tensor_bytes;
use super::error::LoadError;
use super::onnx;
use super::ops::{Context, Registry};
use super::program::Program;
use super::value::{List, Value};
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

/// Runs a model once on the CPU. The outer error is of the model, the inner one of the run.
///
/// Sessions serve batches of tensors; this is for trying a model with whatever it takes.
pub fn compute(
    files: impl Into<ModelFiles>,
    inputs: Vec<Item>,
) -> Result<Result<Vec<Item>, String>, LoadError> {
    let files = files.into();
    super::contained(|| {
        let mut model = onnx::read(files.onnx, &files.data)?;
        super::optimized(&mut model);
        super::optimize::for_host(&mut model.graph);
        let program = Program::<Flex>::build(&model.graph, &FlexDevice, &Registry::standard())?;
        let cx = Context { device: FlexDevice, max_bytes: max_tensor_bytes(DeviceId::Cpu) };
        if inputs.len() != model.graph.inputs.len() {
            let (given, wanted) = (inputs.len(), model.graph.inputs.len());
            return Ok(Err(format!("{given} inputs where the model takes {wanted}")));
        }
        let run = || {
            let inputs = inputs.into_iter().map(|item| enter(item, &cx)).collect::<Result<_, _>>()?;
            program.run(inputs, &cx)?.into_iter().map(leave).collect()
        };
        Ok(run())
    })
}

fn enter(item: Item, cx: &Context<Flex>) -> Result<Value<Flex>, String> {
    match item {
        Item::Tensor(tensor) if tensor.dtype().is_float() => {
            let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
            Value::from_parts(dtype, shape, &[tensor.bytes().clone()], &cx.device)
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

fn leave(value: Value<Flex>) -> Result<Item, String> {
    match value {
        Value::Sequence(list) => {
            Ok(Item::Sequence(list.items.iter().cloned().map(leave).collect::<Result<_, _>>()?))
        }
        Value::Nothing => Ok(Item::Nothing),
        tensor => tensor.into_host().map(Item::Tensor),
    }
}
