//! `op = "slice"`: a part of an axis, as Slice of ONNX: from `start` to before `end`, negative ones counted from the end,
//! what lies outside passed over. Pure.

use super::draft::{VALUE, of_one};
use super::element::Pieces;
use super::shape::{axis, one, with_axis};
use super::{Classes, Compute, Misfit, options};
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::Tensor;
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("slice", VALUE, options, report, Slice::read)
}

#[derive(Debug, Serialize)]
pub struct Slice {
    pub axis: i64,
    /// From the end that `step` comes from, where left out.
    pub start: Option<i64>,
    /// To the other end, where left out.
    pub end: Option<i64>,
    /// Not 0.
    pub step: i64,
}

impl Slice {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let axis = options::axis(reader, 0, report);
        let mut position = |key| reader.integer(key, i64::MIN..=i64::MAX, report).map(|at| at.value);
        let (start, end) = (position("start"), position("end"));
        let step = reader.integer("step", i64::MIN..=i64::MAX, report);
        if let Some(step) = step.as_ref().filter(|step| step.value == 0) {
            report.push(Diagnostic::error(format!("`step` in {} is 0", reader.what())).at(&step.place, ""));
            return None;
        }
        Some(Self { axis, start, end, step: step.map_or(1, |step| step.value) })
    }

    /// The position of the first that is taken, and how many are.
    fn taken(&self, length: usize) -> (usize, usize) {
        let length = length as i128;
        let step = i128::from(self.step);
        // Backwards it may end before the first.
        let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let within = |at: i64| {
            let at = i128::from(at);
            (if at < 0 { at + length } else { at }).clamp(lowest, highest)
        };
        let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
        let (start, end) = (self.start.map_or(first, within), self.end.map_or(last, within));
        let count = if step > 0 { (end - start + step - 1) / step } else { (start - end - step - 1) / -step };
        (start.max(0) as usize, count.max(0) as usize)
    }
}

impl Compute for Slice {
    fn classes(&self) -> Classes {
        Classes::Passed
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        let dims = with_axis(&ty.dims, self.axis, |length| Some(length.map(|length| self.taken(length).1)))?;
        Ok(vec![TensorType { dtype: ty.dtype, dims }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        let mut shape = tensor.shape().to_vec();
        let axis = axis(self.axis, shape.len())?;
        let length = shape[axis];
        let (start, count) = self.taken(length);
        shape[axis] = count;
        let mut made = Pieces::new(tensor.dtype(), shape.clone())?;
        // Without elements an axis may be very long.
        let outer: usize = if shape.contains(&0) { 0 } else { shape[..axis].iter().product() };
        let inner: usize = shape[axis + 1..].iter().product();
        for row in (0..outer).map(|row| row * length) {
            if self.step == 1 {
                made.push(tensor, (row + start) * inner, count * inner);
                continue;
            }
            for index in 0..count {
                // All that are taken lie within the axis.
                let at = (start as i128 + index as i128 * i128::from(self.step)) as usize;
                made.push(tensor, (row + at) * inner, inner);
            }
        }
        Ok(vec![made.finish()?])
    }
}
