//! `op = "permute"`: the axes in another order, as Transpose of ONNX. Pure.

use super::draft::{VALUE, of_one};
use super::element::Pieces;
use super::shape::one;
use super::{Classes, Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::Tensor;
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("permute", VALUE, options, report, Permute::read)
}

#[derive(Debug, Serialize)]
pub struct Permute {
    /// For each axis of the result, the one that it is; each is there once.
    pub axes: Vec<usize>,
}

impl Permute {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        reader.require(
            "axes",
            "say where each axis comes from: `axes = [1, 2, 0]` makes `[H, W, C]` of `[C, H, W]`",
        );
        let axes = reader.take_as("axes", report, options::permutation)?;
        Some(Self { axes: axes.value })
    }

    fn permuted<T: Clone>(&self, dims: &[T]) -> Result<Vec<T>, String> {
        if dims.len() != self.axes.len() {
            return Err(format!("it orders {} axes, and this has {}", self.axes.len(), dims.len()));
        }
        let permuted = self.axes.iter().map(|axis| dims.get(*axis).cloned()).collect::<Option<Vec<T>>>();
        permuted.ok_or_else(|| "it names an axis that is not there".to_owned())
    }
}

impl Compute for Permute {
    fn classes(&self) -> Classes {
        Classes::Passed
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        let dims = match &ty.dims {
            Some(dims) => self.permuted(dims)?,
            None => vec![None; self.axes.len()],
        };
        Ok(vec![TensorType { dtype: ty.dtype, dims: Some(dims) }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        let shape = self.permuted(tensor.shape())?;
        let mut made = Pieces::new(tensor.dtype(), shape.clone())?;
        // What stays at the end is copied in one piece.
        let rank = self.axes.len();
        let moved = (0..rank).rev().find(|axis| self.axes[*axis] != *axis).map_or(0, |last| last + 1);
        let piece: usize = shape[moved..].iter().product();
        let steps = self.permuted(&steps(tensor.shape()))?;
        if !tensor.is_empty() {
            walk(&shape[..moved], &steps[..moved], |start| made.push(tensor, start, piece));
        }
        Ok(vec![made.finish()?])
    }
}

/// From an element to the next along each axis.
pub(super) fn steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    steps
}

/// Visits the position of each element of a shape whose axes have these steps, in C order. REQUIRES no axis of 0.
pub(super) fn walk(shape: &[usize], steps: &[usize], mut visit: impl FnMut(usize)) {
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    loop {
        visit(at);
        let mut axis = shape.len();
        loop {
            let Some(before) = axis.checked_sub(1) else { return };
            axis = before;
            index[axis] += 1;
            at += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= index[axis] * steps[axis];
            index[axis] = 0;
        }
    }
}
