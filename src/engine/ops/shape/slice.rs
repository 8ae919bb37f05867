//! Slice: attributes before opset 10, inputs with steps since.

use super::super::ints;
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis, one};
use crate::engine::value::Value;

#[derive(Clone, Debug)]
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

/// One axis: the first index, how many, and the step between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub start: usize,
    pub count: usize,
    pub step: i64,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let known = if site.node.version < 10 {
        let wanted = |name: &str| -> Result<Vec<i64>, String> {
            attributes.find_ints(name)?.cloned().ok_or_else(|| format!("attribute {name:?} is missing"))
        };
        let axes = attributes.find_ints("axes")?.cloned();
        Some(Bounds { starts: wanted("starts")?, ends: wanted("ends")?, axes, steps: None })
    } else if (1..5).all(|i| !site.has_input(i) || site.constant(i).is_some()) {
        let list = |i| site.absorb(i).map(ints).transpose();
        let starts = list(1)?.ok_or("input 1 is missing")?;
        let ends = list(2)?.ok_or("input 2 is missing")?;
        Some(Bounds { starts, ends, axes: list(3)?, steps: list(4)? })
    } else {
        None
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let parts = match &known {
            Some(bounds) => bounds.resolve(&x.shape())?,
            None => {
                let (starts, ends) = (inputs.ints(1)?, inputs.ints(2)?);
                let (axes, steps) = (inputs.optional_ints(3)?, inputs.optional_ints(4)?);
                Bounds { starts, ends, axes, steps }.resolve(&x.shape())?
            }
        };
        one(slice(x, &parts)?)
    }))
}

impl Bounds {
    fn resolve(&self, dims: &[usize]) -> Result<Vec<Part>, String> {
        let mut parts: Vec<Part> = dims.iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
        let all: Vec<i64> = (0..self.starts.len() as i64).collect();
        let axes = self.axes.as_ref().unwrap_or(&all);
        let ones = vec![1; self.starts.len()];
        let steps = self.steps.as_ref().unwrap_or(&ones);
        if [self.ends.len(), axes.len(), steps.len()] != [self.starts.len(); 3] {
            return Err("starts, ends, axes and steps differ in length".into());
        }
        for (index, given) in axes.iter().enumerate() {
            let axis = axis(*given, dims.len())?;
            parts[axis] = part(self.starts[index], self.ends[index], steps[index], dims[axis])?;
        }
        Ok(parts)
    }
}

/// Bounds may count from the end and are clamped, as in Python.
fn part(start: i64, end: i64, step: i64, dim: usize) -> Result<Part, String> {
    let dim = dim as i64;
    let from_start = |v: i64| if v < 0 { v.saturating_add(dim) } else { v };
    let (start, end) = (from_start(start), from_start(end));
    match step {
        0 => Err("a step of 0".into()),
        1.. => {
            let (start, end) = (start.clamp(0, dim), end.clamp(0, dim));
            let count = if end > start { (end - start - 1) / step + 1 } else { 0 };
            Ok(Part { start: start as usize, count: count as usize, step })
        }
        _ => {
            let (start, end) = (start.clamp(-1, dim - 1), end.clamp(-1, dim - 1));
            let span = start - end;
            let count = if span > 0 { (span - 1) / step.checked_neg().unwrap_or(i64::MAX) + 1 } else { 0 };
            Ok(Part { start: start.max(0) as usize, count: count as usize, step })
        }
    }
}

/// REQUIRES a part for each axis that lies within it.
pub fn slice<B: Kernels>(x: Value<B>, parts: &[Part]) -> Result<Value<B>, OpError> {
    let dims = x.dims();
    if parts.iter().zip(&dims).all(|(p, d)| *p == Part { start: 0, count: *d, step: 1 }) {
        return Ok(x);
    }
    let out: Vec<usize> = parts.iter().map(|p| p.count).collect();
    let forward = parts.iter().all(|p| p.step > 0) && !out.contains(&0);
    match x {
        Value::Host(x) => Ok(Value::Host(pick(&x, parts, out)?)),
        x if forward => {
            let slices: Vec<burn::tensor::Slice> = parts
                .iter()
                .zip(&dims)
                .map(|(p, dim)| {
                    let end = (p.start + (p.count - 1) * p.step as usize + 1).min(*dim);
                    burn::tensor::Slice::new(p.start as isize, Some(end as isize), p.step as isize)
                })
                .collect();
            Ok(match x {
                Value::Float(x) => Value::Float(B::float_slice(x, &slices)),
                Value::Int(x) => Value::Int(B::int_slice(x, &slices)),
                Value::Bool(x) => Value::Bool(B::bool_slice(x, &slices)),
                host => host,
            })
        }
        x => Ok(Value::Host(pick(&x.into_host()?, parts, out)?)),
    }
}

fn pick(x: &crate::tensor::Tensor, parts: &[Part], out: Vec<usize>) -> Result<crate::tensor::Tensor, String> {
    let own = host::strides(x.shape());
    // Steps back are taken by wrapping around.
    let steps: Vec<usize> =
        parts.iter().zip(&own).map(|(part, stride)| (part.step as usize).wrapping_mul(*stride)).collect();
    let start = parts.iter().zip(&own).map(|(part, stride)| part.start * stride).sum();
    host::pick(x, host::walk(&out, &steps, start), out)
}

/// The elements at `index` along an axis, which stays as an axis of 1. `x` is on a device.
pub fn along<B: Kernels>(x: Value<B>, axis: usize, index: usize) -> Value<B> {
    let (index, whole) = (index as isize, |dim: usize| (0, dim as isize));
    let bounds = x.dims().into_iter().enumerate();
    let slices: Vec<_> = bounds
        .map(|(a, dim)| if a == axis { (index, index + 1) } else { whole(dim) })
        .map(|(start, end)| burn::tensor::Slice::new(start, Some(end), 1))
        .collect();
    match x {
        Value::Float(x) => Value::Float(B::float_slice(x, &slices)),
        Value::Int(x) => Value::Int(B::int_slice(x, &slices)),
        Value::Bool(x) => Value::Bool(B::bool_slice(x, &slices)),
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, part};

    #[test]
    fn bounds_are_clamped_as_in_python() {
        for (start, end, step, dim, wanted) in [
            (0, i64::MAX, 1, 5, (0, 5)),
            (-3, -1, 1, 5, (2, 2)),
            (1, 5, 2, 5, (1, 2)),
            (4, 0, 1, 5, (4, 0)),
            (-1, i64::MIN, -1, 5, (4, 5)),
            (10, -10, -2, 5, (4, 3)),
            (3, 0, -1, 5, (3, 3)),
            (7, 9, 1, 5, (5, 0)),
            (0, 9, 1, 0, (0, 0)),
        ] {
            let Part { start: s, count, .. } = part(start, end, step, dim).unwrap();
            assert_eq!((s, count), wanted, "{start}:{end}:{step} of {dim}");
        }
        assert!(part(0, 1, 0, 5).is_err());
    }
}
