//! `op = "reshape"`: the same elements under another shape, as Reshape of ONNX: 0 keeps the length of that axis, and one
//! axis of -1 takes what is left. Pure.

use super::draft::{VALUE, of_one};
use super::shape::one;
use super::{Classes, Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::Tensor;
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("reshape", VALUE, options, report, Reshape::read)
}

#[derive(Debug, Serialize)]
pub struct Reshape {
    pub shape: Vec<i64>,
}

impl Reshape {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        reader.require(
            "shape",
            "say what it becomes: `shape = [3, -1]`, with -1 for what is left and 0 for what stays",
        );
        let shape = reader.take_as("shape", report, options::lengths)?;
        Some(Self { shape: shape.value })
    }

    /// The shape that is meant for a tensor of this one.
    fn shape(&self, given: &[usize]) -> Result<Vec<usize>, String> {
        let mut shape = vec![];
        let mut open = None;
        for (axis, length) in self.shape.iter().enumerate() {
            shape.push(match length {
                0 => *given.get(axis).ok_or_else(|| no_such_axis(axis, given.len()))?,
                -1 => {
                    open = Some(axis);
                    1
                }
                length => usize::try_from(*length).map_err(|_| format!("{length} is no length"))?,
            });
        }
        let count =
            |shape: &[usize]| shape.iter().try_fold(1usize, |count, length| count.checked_mul(*length));
        let (has, wants) = (count(given), count(&shape));
        let fits = match (has, wants, open) {
            (Some(has), Some(wants), Some(open)) if wants > 0 && has.is_multiple_of(wants) => {
                shape[open] = has / wants;
                true
            }
            (has, wants, None) => has.is_some() && has == wants,
            (_, Some(0), Some(_)) => return Err("beside a length of 0 the open one may be any".to_owned()),
            _ => false,
        };
        match has {
            _ if fits => Ok(shape),
            Some(has) => Err(format!("{given:?} has {has} elements, which make no {:?}", self.shape)),
            None => Err(format!("{given:?} has more elements than can be counted")),
        }
    }
}

fn no_such_axis(axis: usize, rank: usize) -> String {
    format!("there is no axis {axis} whose length could stay: it has {rank}")
}

impl Compute for Reshape {
    fn classes(&self) -> Classes {
        Classes::Passed
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        let known = ty.dims.as_ref().and_then(|dims| dims.iter().copied().collect::<Option<Vec<usize>>>());
        let dims = match (known, &ty.dims) {
            (Some(given), _) => self.shape(&given)?.into_iter().map(Some).collect(),
            (None, dims) => {
                let length = |(axis, length): (usize, &i64)| match (length, dims) {
                    (0, Some(dims)) => dims.get(axis).copied().ok_or_else(|| no_such_axis(axis, dims.len())),
                    (0 | -1, _) => Ok(None),
                    (length, _) => Ok(usize::try_from(*length).ok()),
                };
                self.shape.iter().enumerate().map(length).collect::<Result<Vec<_>, _>>()?
            }
        };
        Ok(vec![TensorType { dtype: ty.dtype, dims: Some(dims) }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        let shape = self.shape(tensor.shape())?;
        Ok(vec![tensor.clone().reshaped(shape).map_err(|error| error.to_string())?])
    }
}
