//! `op = "cast"`: the same numbers in another type, as Cast of ONNX. Pure.
//!
//! Floats lose their fraction where they become integers. What an integer does not hold, and what is not a number, is
//! no integer: ONNX leaves open what becomes of it, and here it is refused.

use super::draft::{VALUE, of_one};
use super::element::{Number, elements, for_element, numbers, tensor};
use super::shape::{a_number, one, room};
use super::{Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("cast", VALUE, options, report, Cast::read)
}

#[derive(Debug, Serialize)]
pub struct Cast {
    pub dtype: DType,
}

impl Cast {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        reader.require("dtype", "say what the numbers become: `dtype = \"float32\"`");
        Some(Self { dtype: options::dtype(reader, report)? })
    }
}

impl Compute for Cast {
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_number(ty)?;
        Ok(vec![TensorType { dtype: Some(self.dtype), dims: ty.dims.clone() }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let given = one(inputs)?;
        numbers(given)?;
        if given.dtype() == self.dtype {
            return Ok(vec![given.clone()]);
        }
        room(self.dtype, given.shape())?;
        for_element!(given.dtype(), From => {
            let from_float = given.dtype().is_float();
            let elements = elements::<From>(given);
            for_element!(self.dtype, To => {
                let cast: Result<Vec<To>, String> = elements
                    .iter()
                    .map(|element| match (self.dtype, from_float) {
                        (DType::Bool, true) => Ok(To::of_integer(i128::from(element.float() != 0.0))),
                        (DType::Bool, false) => Ok(To::of_integer(i128::from(element.integer() != 0))),
                        (to, true) if to.is_float() => Ok(To::of_float(element.float())),
                        (to, false) if to.is_float() => Ok(To::of_integer(element.integer())),
                        (_, true) => whole::<To>(element.float(), self.dtype),
                        (_, false) => held::<To>(element.integer(), self.dtype),
                    })
                    .collect();
                Ok(vec![tensor(self.dtype, given.shape().to_vec(), cast?)?])
            })
        })
    }
}

fn whole<T: Number>(value: f64, dtype: DType) -> Result<T, String> {
    if value.is_nan() {
        return Err(format!("NaN is no {dtype}"));
    }
    // Beyond this no type holds it.
    held(value.clamp(-1e30, 1e30) as i128, dtype).map_err(|_| format!("{value} is no {dtype}"))
}

fn held<T: Number>(value: i128, dtype: DType) -> Result<T, String> {
    let cast = T::of_integer(value);
    if cast.integer() == value { Ok(cast) } else { Err(format!("{value} is no {dtype}")) }
}
