//! `op = "stack"`: the values of all elements of a list as one array, `[n, …]`. Absent elements are left out.

use super::options;
use crate::diagnostic::{At, Report};
use crate::plan::{
    Bound, BoundOperation, Given, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    OutputType, Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor, byte_len};
use bytes::{Bytes, BytesMut};
use serde_json::json;
use std::sync::Arc;

#[derive(Debug)]
struct Draft {
    from: Option<Operand>,
    over: Option<At<String>>,
}

#[derive(Debug)]
struct Stack {
    /// The type of one element.
    element: TensorType,
}

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let from = options::from(options, Reads::All, report);
    let over = options.string("over", report);
    Some(Box::new(Draft { from, over }))
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.from.iter().cloned().collect()
    }

    fn over(&self) -> Option<At<String>> {
        self.over.clone()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["value"]
    }

    fn bind(&self, bound: &[Option<Bound>], _: &mut Report) -> Option<BoundOperation> {
        let bound = bound.first()?.as_ref()?;
        let element = bound.ty.clone();
        let dims = element.dims.clone().map(|dims| [None].into_iter().chain(dims).collect());
        let ty = TensorType { dtype: element.dtype, dims };
        let labels = bound.labels.is_some().then_some(0);
        Some(BoundOperation {
            operation: Arc::new(Stack { element }),
            outputs: vec![OutputType { ty, labels }],
        })
    }
}

impl Operation for Stack {
    fn name(&self) -> &'static str {
        "stack"
    }

    fn options(&self) -> serde_json::Value {
        json!({})
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        let Some(Given::Each(elements)) = inputs.first().map(|input| &input.given) else {
            return Err(OperationError::Unforeseen("stack takes the elements of one list".into()));
        };
        let there: Vec<&Tensor> = elements.iter().filter_map(Given::one).collect();
        let stacked = match there.split_first() {
            None => self.empty(),
            Some((first, rest)) => {
                let other = rest.iter().find(|t| t.dtype() != first.dtype() || t.shape() != first.shape());
                if let Some(other) = other {
                    return Err(OperationError::Input(format!(
                        "the elements have different shapes, {first:?} and {other:?}, which no array holds"
                    )));
                }
                joined(first, &there)
            }
        };
        Ok(Made::Values(vec![stacked?]))
    }
}

impl Stack {
    /// The array of no elements. Where a length is not known beforehand, it is 0.
    fn empty(&self) -> Result<Tensor, OperationError> {
        let dims = self.element.dims.iter().flatten().map(|length| length.unwrap_or(0));
        let shape: Vec<usize> = std::iter::once(0).chain(dims).collect();
        let made = match self.element.dtype.unwrap_or(DType::F32) {
            DType::String => Tensor::from_strings(shape, vec![]),
            dtype => Tensor::from_bytes(dtype, shape, Bytes::new()),
        };
        made.map_err(|error| OperationError::Unforeseen(error.to_string()))
    }
}

/// REQUIRES tensors of one dtype and shape.
fn joined(first: &Tensor, all: &[&Tensor]) -> Result<Tensor, OperationError> {
    let shape: Vec<usize> = std::iter::once(all.len()).chain(first.shape().iter().copied()).collect();
    let unforeseen = |error: crate::tensor::SizeMismatch| OperationError::Unforeseen(error.to_string());
    if first.dtype() == DType::String {
        let strings = all.iter().flat_map(|tensor| tensor.strings().unwrap_or_default().iter().cloned());
        return Tensor::from_strings(shape, strings.collect()).map_err(unforeseen);
    }
    let bytes = byte_len(first.dtype(), &shape)
        .ok_or_else(|| OperationError::Unforeseen("more elements than fit in memory".into()))?;
    let mut joined = BytesMut::with_capacity(bytes);
    all.iter().for_each(|tensor| joined.extend_from_slice(tensor.bytes()));
    Tensor::from_bytes(first.dtype(), shape, joined.freeze()).map_err(unforeseen)
}
