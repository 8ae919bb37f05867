//! `op = "threshold"`: whether each number is above a threshold, as Greater of ONNX, or as Binarizer where numbers are
//! wanted. Pure.

use super::draft::{VALUE, of_one};
use super::element::{Number, elements, for_element, numbers, of_floats};
use super::shape::{a_number, one, room};
use super::{Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("threshold", VALUE, options, report, Threshold::read)
}

#[derive(Debug, Serialize)]
pub struct Threshold {
    pub above: f64,
    /// The type of the result: `Bool`, or numbers that are 0 and 1.
    pub dtype: DType,
}

impl Threshold {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        reader.require("above", "say what counts: `above = 0.5`");
        let above = reader.number("above", report)?;
        let dtype = options::dtype(reader, report).unwrap_or(DType::Bool);
        Some(Self { above: above.value, dtype })
    }
}

impl Compute for Threshold {
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_number(ty)?;
        Ok(vec![TensorType { dtype: Some(self.dtype), dims: ty.dims.clone() }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        numbers(tensor)?;
        let shape = tensor.shape().to_vec();
        room(self.dtype, &shape)?;
        let dtype = tensor.dtype();
        for_element!(dtype, T => {
            let elements = elements::<T>(tensor);
            let above = |element: &T| match dtype.is_float() {
                // In the type of the elements, as a condition compares.
                true => element.float() > T::of_float(self.above).float(),
                // An integer is above 2.5 where it is above 2.
                false => element.integer() > self.above.floor() as i128,
            };
            let held = elements.iter().map(|element| f64::from(u8::from(above(element))));
            Ok(vec![of_floats(self.dtype, shape, held)?])
        })
    }
}
