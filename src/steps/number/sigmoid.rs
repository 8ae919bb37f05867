//! `op = "sigmoid"`: each score to a probability of its own, as Sigmoid of ONNX. Pure.

use super::draft::{VALUE, of_one};
use super::element::{floats, of_floats};
use super::shape::{a_float, one};
use super::{Compute, Misfit};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::Tensor;
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("sigmoid", VALUE, options, report, Sigmoid::read)
}

#[derive(Debug, Serialize)]
pub struct Sigmoid {}

impl Sigmoid {
    pub fn read(_: &mut Reader<'_>, _: &mut Report) -> Option<Self> {
        Some(Self {})
    }
}

impl Compute for Sigmoid {
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_float(ty)?;
        Ok(vec![ty.clone()])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        let values = floats(tensor)?.into_iter().map(sigmoid);
        Ok(vec![of_floats(tensor.dtype(), tensor.shape().to_vec(), values)?])
    }
}

fn sigmoid(x: f64) -> f64 {
    // Neither side of zero overflows.
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}
