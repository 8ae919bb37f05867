//! `op = "norm"`: vectors along an axis at the length of 1 (L2), as LpNormalization of ONNX. Pure.

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
    of_one("norm", VALUE, options, report, Norm::read)
}

#[derive(Debug, Serialize)]
pub struct Norm {
    pub axis: i64,
}

impl Norm {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        Some(Self { axis: options::axis(reader, -1, report) })
    }
}

impl Compute for Norm {
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
            let length = length(lines.line(start).map(|at| values[at]));
            lines.line(start).for_each(|at| values[at] /= length);
        }
        Ok(vec![of_floats(tensor.dtype(), tensor.shape().to_vec(), values)?])
    }
}

/// The length of a vector, by which it is divided: 1 where it has none, so that zeros stay zeros.
pub(super) fn length(vector: impl Iterator<Item = f64>) -> f64 {
    let length = vector.map(|x| x * x).sum::<f64>().sqrt();
    if length == 0.0 { 1.0 } else { length }
}
