//! `op = "top"`: the greatest along an axis and where they are, as TopK of ONNX: of equal ones the first. Pure.

use super::draft::of_one;
use super::element::{Number, Pieces, elements, for_element, numbers};
use super::shape::{Lines, a_number, axis, one, room, with_axis};
use super::{Classes, Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::cmp::Ordering;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("top", &["values", "indices"], options, report, Top::read)
}

#[derive(Debug, Serialize)]
pub struct Top {
    /// How many; fewer where there are not so many.
    pub top: usize,
    pub axis: i64,
}

impl Top {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        reader.require("top", "say how many: `top = 5`");
        let axis = options::axis(reader, -1, report);
        let top = reader.integer("top", 1..=1 << 20, report)?;
        Some(Self { top: top.value as usize, axis })
    }
}

impl Compute for Top {
    fn classes(&self) -> Classes {
        Classes::Found { output: 1, axis: self.axis }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_number(ty)?;
        let dims = with_axis(&ty.dims, self.axis, |length| Some(length.map(|length| length.min(self.top))))?;
        let indices = TensorType { dtype: Some(DType::I64), dims: dims.clone() };
        Ok(vec![TensorType { dtype: ty.dtype, dims }, indices])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        numbers(tensor)?;
        let mut shape = tensor.shape().to_vec();
        let axis = axis(self.axis, shape.len())?;
        let lines = Lines::along(&shape, axis);
        let top = lines.length.min(self.top);
        shape[axis] = top;
        let count = room(DType::I64, &shape)?;
        // Where each lies, as the result has them.
        let mut places = vec![0usize; count];
        let mut indices = vec![0i64; count];
        for_element!(tensor.dtype(), T => {
            let elements = elements::<T>(tensor);
            for (line, start) in lines.starts().enumerate() {
                let value = |index: &usize| elements[start + index * lines.step];
                let to = line / lines.step * top * lines.step + line % lines.step;
                for (rank, index) in greatest(lines.length, top, value).into_iter().enumerate() {
                    places[to + rank * lines.step] = start + index * lines.step;
                    indices[to + rank * lines.step] = index as i64;
                }
            }
        });
        let mut values = Pieces::new(tensor.dtype(), shape.clone())?;
        places.into_iter().for_each(|at| values.push(tensor, at, 1));
        let indices = Tensor::from_vec(shape, indices).map_err(|error| error.to_string())?;
        Ok(vec![values.finish()?, indices])
    }
}

/// The positions of the greatest of `length` values, the greatest first. What is not a number comes before all.
fn greatest<T: Number>(length: usize, top: usize, value: impl Fn(&usize) -> T) -> Vec<usize> {
    let is_number = |value: &T| value.partial_cmp(value).is_some();
    let compare = |a: &usize, b: &usize| {
        let (x, y) = (value(a), value(b));
        let ascending: Ordering = x.partial_cmp(&y).unwrap_or_else(|| is_number(&y).cmp(&is_number(&x)));
        ascending.reverse().then(a.cmp(b))
    };
    let mut order: Vec<usize> = (0..length).collect();
    if top < length && top > 0 {
        order.select_nth_unstable_by(top - 1, compare);
    }
    order.truncate(top);
    order.sort_unstable_by(compare);
    order
}
