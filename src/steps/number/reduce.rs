//! `op = "mean"`, `"max"`, `"min"` and `"sum"`: one number of several: of a tensor along axes or as a whole, as ReduceMean
//! of ONNX and its like, or of several tensors, as its Mean, Max, Min and Sum. Pure.
//!
//! Sums of integers are int64 (uint64 of uint64) and exact, means of integers float32. What is not a number makes the
//! result not a number.

use super::draft::folding;
use super::element::{Number, elements, for_element, numbers, of_floats, tensor};
use super::permute::{steps, walk};
use super::scale::float_of;
use super::shape::{a_number, alike, axes, common, one, room};
use super::{Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;

pub fn read_mean(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    read("mean", Fold::Mean, options, report)
}

pub fn read_max(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    read("max", Fold::Max, options, report)
}

pub fn read_min(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    read("min", Fold::Min, options, report)
}

pub fn read_sum(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    read("sum", Fold::Sum, options, report)
}

fn read(
    name: &'static str,
    fold: Fold,
    options: &mut Reader<'_>,
    report: &mut Report,
) -> Option<Box<dyn OperationDraft>> {
    let within = |options: &mut Reader<'_>, report: &mut Report| Reduce::read(fold, options, report);
    let across =
        |sources, options: &mut Reader<'_>, report: &mut Report| Across::read(fold, sources, options, report);
    folding(name, options, report, within, across)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    Mean,
    Max,
    Min,
    Sum,
}

/// Folds the elements of one tensor.
#[derive(Debug, Serialize)]
pub struct Reduce {
    pub fold: Fold,
    /// All of them, where left out.
    pub axes: Option<Vec<i64>>,
    /// Whether the axes stay, with a length of 1.
    pub keep: bool,
}

/// Folds tensors that are alike, element by element.
#[derive(Debug, Serialize)]
pub struct Across {
    pub fold: Fold,
    /// Of each tensor, for means and sums.
    pub weights: Option<Vec<f64>>,
}

impl Reduce {
    pub fn read(fold: Fold, reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let axes = options::axes(reader, report);
        let keep = reader.bool("keep", report).is_some_and(|keep| keep.value);
        Some(Self { fold, axes, keep })
    }
}

impl Across {
    pub fn read(fold: Fold, sources: usize, reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let weighs = matches!(fold, Fold::Mean | Fold::Sum);
        Some(Self { fold, weights: if weighs { options::weights(sources, reader, report) } else { None } })
    }
}

impl Fold {
    /// The type of the result.
    fn dtype(self, of: DType, weighted: bool) -> DType {
        match self {
            Self::Max | Self::Min => of,
            Self::Mean => float_of(of),
            Self::Sum if weighted || of.is_float() => float_of(of),
            Self::Sum if of == DType::U64 => DType::U64,
            Self::Sum => DType::I64,
        }
    }
}

/// The elements of a tensor in groups that are folded each to one.
pub(super) struct Groups {
    /// The shape of the result.
    pub shape: Vec<usize>,
    /// The position of the first element of each group.
    pub starts: Vec<usize>,
    /// From there, the positions of all elements of a group.
    pub offsets: Vec<usize>,
}

impl Groups {
    pub fn new(shape: &[usize], given: Option<&[i64]>, keep: bool) -> Result<Self, String> {
        let reduced = reduced(given, shape.len())?;
        let steps = steps(shape);
        let part = |of: bool| -> (Vec<usize>, Vec<usize>) {
            (0..shape.len())
                .filter(|axis| reduced.contains(axis) == of)
                .map(|axis| (shape[axis], steps[axis]))
                .unzip()
        };
        let ((kept, kept_steps), (folded, folded_steps)) = (part(false), part(true));
        let positions = |shape: &[usize], steps: &[usize]| {
            let mut positions = vec![];
            if !shape.contains(&0) {
                positions.reserve_exact(room(DType::U64, shape)?);
                walk(shape, steps, |at| positions.push(at));
            }
            Ok::<_, String>(positions)
        };
        let starts = positions(&kept, &kept_steps)?;
        let offsets = positions(&folded, &folded_steps)?;
        let left = |(axis, length): (usize, &usize)| match reduced.contains(&axis) {
            true => keep.then_some(1),
            false => Some(*length),
        };
        Ok(Self { shape: shape.iter().enumerate().filter_map(left).collect(), starts, offsets })
    }
}

fn reduced(given: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, String> {
    given.map_or_else(|| Ok((0..rank).collect()), |given| axes(given, rank))
}

/// The dimensions without those that are folded.
pub(super) fn left(ty: &TensorType, given: Option<&[i64]>, keep: bool) -> Result<TensorType, String> {
    let dims = match (&ty.dims, given) {
        (Some(dims), given) => {
            let reduced = reduced(given, dims.len())?;
            let left = |(axis, length): (usize, &Option<usize>)| match reduced.contains(&axis) {
                true => keep.then_some(Some(1)),
                false => Some(*length),
            };
            Some(dims.iter().enumerate().filter_map(left).collect())
        }
        (None, None) if !keep => Some(vec![]),
        (None, _) => None,
    };
    Ok(TensorType { dtype: ty.dtype, dims })
}

impl Compute for Reduce {
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_number(ty)?;
        let mut ty = left(ty, self.axes.as_deref(), self.keep)?;
        ty.dtype = ty.dtype.map(|dtype| self.fold.dtype(dtype, false));
        Ok(vec![ty])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let x = one(inputs)?;
        numbers(x)?;
        let groups = Groups::new(x.shape(), self.axes.as_deref(), self.keep)?;
        let folded = for_element!(x.dtype(), T => {
            let elements = elements::<T>(x);
            let group = |start: &usize| {
                let start = *start;
                groups.offsets.iter().map(move |offset| start + offset)
            };
            let each = groups.starts.iter().map(|start| group(start).map(|at| (elements[at], 1.0)));
            fold(self.fold, x.dtype(), false, groups.shape, each)?
        });
        Ok(vec![folded])
    }
}

impl Compute for Across {
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let mut ty = common(inputs)?;
        a_number(&ty)?;
        ty.dtype = ty.dtype.map(|dtype| self.fold.dtype(dtype, self.weights.is_some()));
        Ok(vec![ty])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        self.run_some(inputs, &Vec::from_iter(0..inputs.len()))
    }

    fn run_some(&self, inputs: &[Tensor], places: &[usize]) -> Result<Vec<Tensor>, String> {
        let first = inputs.first().ok_or("there is nothing to fold")?;
        alike(inputs)?;
        numbers(first)?;
        let weights = options::weights_of(self.weights.as_deref(), places)?;
        let folded = for_element!(first.dtype(), T => {
            let all: Vec<_> = inputs.iter().map(|x| elements::<T>(x)).collect();
            let each = (0..first.len()).map(|at| all.iter().zip(&weights).map(move |(x, weight)| (x[at], *weight)));
            fold(self.fold, first.dtype(), self.weights.is_some(), first.shape().to_vec(), each)?
        });
        Ok(vec![folded])
    }
}

/// Folds each group of elements, which have weights.
fn fold<T: Number, G: Iterator<Item = (T, f64)>>(
    kind: Fold,
    of: DType,
    weighted: bool,
    shape: Vec<usize>,
    groups: impl Iterator<Item = G>,
) -> Result<Tensor, String> {
    let dtype = kind.dtype(of, weighted);
    room(dtype, &shape)?;
    match kind {
        Fold::Max | Fold::Min => {
            let extremes: Option<Vec<T>> =
                groups.map(|group| extreme(group.map(|(x, _)| x), kind == Fold::Max)).collect();
            tensor(
                of,
                shape,
                extremes.ok_or("there is nothing of which one could be the greatest or the least")?,
            )
        }
        Fold::Mean | Fold::Sum if dtype.is_float() => {
            // Integers are summed exactly.
            let exact = !weighted && !of.is_float();
            let folded = groups.map(|group| {
                let (mut whole, mut sum, mut weights) = (0i128, 0.0, 0.0);
                for (x, weight) in group {
                    if exact {
                        whole += x.integer()
                    } else {
                        sum += x.float() * weight
                    }
                    weights += weight;
                }
                let sum = if exact { whole as f64 } else { sum };
                if kind == Fold::Mean { sum / weights } else { sum }
            });
            of_floats(dtype, shape, folded)
        }
        Fold::Mean | Fold::Sum => {
            let sums = groups.map(|group| group.map(|(x, _)| x.integer()).sum::<i128>());
            let out_of_range = |sum: i128| format!("a sum of {sum} is no {dtype}");
            if dtype == DType::U64 {
                let sums = sums.map(|sum| u64::try_from(sum).map_err(|_| out_of_range(sum)));
                return tensor(dtype, shape, sums.collect::<Result<Vec<_>, _>>()?);
            }
            let sums = sums.map(|sum| i64::try_from(sum).map_err(|_| out_of_range(sum)));
            tensor(dtype, shape, sums.collect::<Result<Vec<_>, _>>()?)
        }
    }
}

/// The greatest or the least; what is not a number, where there is that.
fn extreme<T: Number>(group: impl Iterator<Item = T>, greatest: bool) -> Option<T> {
    let is_number = |x: &T| x.partial_cmp(x).is_some();
    group.reduce(|best, x| {
        let wins = is_number(&best) && (!is_number(&x) || if greatest { x > best } else { x < best });
        if wins { x } else { best }
    })
}
