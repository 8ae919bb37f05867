//! `op = "argmax"`: the position of the greatest along an axis, as ArgMax of ONNX: the first of several. Pure.

use super::draft::{VALUE, of_one};
use super::element::{Number, elements, for_element, numbers};
use super::shape::{Lines, a_number, axis, one, room, with_axis};
use super::{Classes, Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("argmax", VALUE, options, report, ArgMax::read)
}

#[derive(Debug, Serialize)]
pub struct ArgMax {
    pub axis: i64,
    /// Whether the axis stays, with a length of 1.
    pub keep: bool,
}

const EMPTY: &str = "there is nothing of which one could be the greatest";

impl ArgMax {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let axis = options::axis(reader, 0, report);
        let keep = reader.bool("keep", report).is_some_and(|keep| keep.value);
        Some(Self { axis, keep })
    }
}

impl Compute for ArgMax {
    fn classes(&self) -> Classes {
        Classes::Found { output: 0, axis: self.axis }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_number(ty)?;
        let mut empty = false;
        let dims = with_axis(&ty.dims, self.axis, |length| {
            empty = length == Some(0);
            self.keep.then_some(Some(1))
        })?;
        if empty {
            return Err(Misfit::new(EMPTY));
        }
        Ok(vec![TensorType { dtype: Some(DType::I64), dims }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        numbers(tensor)?;
        let mut shape = tensor.shape().to_vec();
        let axis = axis(self.axis, shape.len())?;
        let lines = Lines::along(&shape, axis);
        if self.keep {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        room(DType::I64, &shape)?;
        if lines.length == 0 {
            return Err(EMPTY.to_owned());
        }
        let found: Vec<i64> = for_element!(tensor.dtype(), T => {
            let elements = elements::<T>(tensor);
            lines.starts().map(|start| greatest(lines.line(start).map(|at| elements[at])) as i64).collect()
        });
        Ok(vec![Tensor::from_vec(shape, found).map_err(|error| error.to_string())?])
    }
}

/// The position of the first of the greatest. What is not a number wins, as in NumPy.
pub(super) fn greatest<T: Number>(line: impl Iterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (index, new) in line.enumerate() {
        let wins = best.is_none_or(|(_, old)| {
            let [new_is_none, old_is_none] = [new, old].map(|v| v.partial_cmp(&v).is_none());
            new_is_none && !old_is_none || new > old
        });
        if wins {
            best = Some((index, new));
        }
    }
    best.map_or(0, |(index, _)| index)
}
