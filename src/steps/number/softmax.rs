//! `op = "softmax"`: scores to probabilities along an axis, as Softmax of ONNX. Pure.

use super::draft::{VALUE, of_one};
use super::element::{floats, of_floats};
use super::shape::{Lines, a_float, axis, one, with_axis};
use super::{Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::Tensor;
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("softmax", VALUE, options, report, Softmax::read)
}

#[derive(Debug, Serialize)]
pub struct Softmax {
    pub axis: i64,
}

impl Softmax {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        Some(Self { axis: options::axis(reader, -1, report) })
    }
}

impl Compute for Softmax {
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_float(ty)?;
        with_axis(&ty.dims, self.axis, Some)?;
        Ok(vec![ty.clone()])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        let lines = Lines::along(tensor.shape(), axis(self.axis, tensor.shape().len())?);
        let mut values = floats(tensor)?;
        for start in lines.starts() {
            softmax(&mut values, lines.line(start));
        }
        Ok(vec![of_floats(tensor.dtype(), tensor.shape().to_vec(), values)?])
    }
}

/// Turns scores at some positions into probabilities, in place.
pub(super) fn softmax(values: &mut [f64], line: impl Iterator<Item = usize> + Clone) {
    let greatest = line.clone().map(|at| values[at]).fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for at in line.clone() {
        values[at] = (values[at] - greatest).exp();
        sum += values[at];
    }
    line.for_each(|at| values[at] /= sum);
}
