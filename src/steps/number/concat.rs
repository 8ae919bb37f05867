//! `op = "concat"`: several sources one after the other along an axis, as Concat of ONNX. Pure.

use super::draft::of_several;
use super::element::Pieces;
use super::shape::{axis, common, room_of_type};
use super::{Classes, Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::Tensor;
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_several("concat", options, report, Concat::read)
}

#[derive(Debug, Serialize)]
pub struct Concat {
    pub axis: i64,
}

const NONE: &str = "it reads no source";

impl Concat {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        Some(Self { axis: options::axis(reader, 0, report) })
    }
}

impl Compute for Concat {
    fn classes(&self) -> Classes {
        Classes::Passed
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let Some(rank) = inputs.iter().find_map(|ty| ty.dims.as_ref().map(Vec::len)) else {
            return Ok(vec![TensorType { dtype: common(inputs)?.dtype, dims: None }]);
        };
        let along = axis(self.axis, rank)?;
        let mut total = Some(0usize);
        let mut others = vec![];
        for ty in inputs {
            let mut other = ty.clone();
            if let Some(length) = other.dims.as_mut().and_then(|dims| dims.get_mut(along)) {
                total = total.zip(*length).and_then(|(total, length)| total.checked_add(length));
                *length = None;
            } else {
                total = None;
            }
            others.push(other);
        }
        let mut ty = common(&others)?;
        if let Some(length) = ty.dims.as_mut().and_then(|dims| dims.get_mut(along)) {
            *length = total;
        }
        room_of_type(ty.dtype, &ty.dims)?;
        Ok(vec![ty])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let first = inputs.first().ok_or(NONE)?;
        let along = axis(self.axis, first.shape().len())?;
        let mut shape = first.shape().to_vec();
        shape[along] = 0;
        for tensor in inputs {
            let mut other = tensor.shape().to_vec();
            let length = other.get_mut(along).map(|length| std::mem::replace(length, 0));
            shape[along] += length.unwrap_or(0);
            other.get_mut(along).into_iter().for_each(|length| *length = shape[along]);
            if other != shape || tensor.dtype() != first.dtype() {
                return Err(format!("{first:?} and {tensor:?} do not join along axis {along}"));
            }
        }
        let mut made = Pieces::new(first.dtype(), shape.clone())?;
        // Without elements an axis may be very long.
        let outer: usize = if shape.contains(&0) { 0 } else { shape[..along].iter().product() };
        for row in 0..outer {
            for tensor in inputs {
                let piece: usize = tensor.shape()[along..].iter().product();
                made.push(tensor, row * piece, piece);
            }
        }
        Ok(vec![made.finish()?])
    }
}
