//! Pad in all its modes. The pads are an attribute before opset 11, an input since; negative ones cut.

use super::gather::select;
use super::slice::{Part, slice};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number, for_element};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis, one};
use crate::engine::value::Value;
use burn::tensor::{Slice, TensorMetadata};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let mode = attributes.choice(
        "mode",
        "constant",
        &[
            ("constant", Mode::Constant),
            ("reflect", Mode::Reflect),
            ("edge", Mode::Edge),
            ("wrap", Mode::Wrap),
        ],
    )?;
    let fill = Number::Float(f64::from(attributes.float("value", 0.0)?));
    let known = match attributes.find_ints("pads")? {
        Some(pads) => Some(pads.clone()),
        None => site.absorb_ints(1)?,
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let given = match &known {
            Some(pads) => pads.clone(),
            None => inputs.ints(1)?,
        };
        let fill = match inputs.optional(2) {
            Some(fill) => host::only(&fill.into_host()?)?,
            None => fill,
        };
        let rank = x.rank();
        let axes = match inputs.optional_ints(3)? {
            Some(axes) => axes.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).collect(),
        };
        if given.len() != axes.len() * 2 {
            return Err(format!("{} pads for {} axes", given.len(), axes.len()).into());
        }
        let mut pads = vec![(0i64, 0i64); rank];
        for (index, axis) in axes.iter().enumerate() {
            pads[*axis] = (given[index], given[index + axes.len()]);
        }
        one(pad(x, &pads, mode, fill, cx)?)
    }))
}

fn pad<B: Kernels>(
    x: Value<B>,
    pads: &[(i64, i64)],
    mode: Mode,
    fill: Number,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let dims = x.dims();
    let too_far = || format!("pads {pads:?} do not fit {dims:?}");
    let padded = |(d, (before, after)): (&usize, &(i64, i64))| {
        let sum = (*d as i64).checked_add(*before).and_then(|d| d.checked_add(*after));
        sum.and_then(|d| usize::try_from(d).ok()).ok_or_else(too_far)
    };
    let out = dims.iter().zip(pads).map(padded).collect::<Result<Vec<_>, _>>()?;
    cx.check(x.dtype(), &out)?;
    if out == dims && pads.iter().all(|p| *p == (0, 0)) {
        return Ok(x);
    }
    if mode == Mode::Constant {
        return constant(x, pads, &out, fill, cx);
    }
    let mut x = x;
    for (axis, (before, _)) in pads.iter().enumerate().filter(|(_, p)| **p != (0, 0)) {
        let dim = dims[axis] as i64;
        if dim == 0 {
            return Err(too_far().into());
        }
        // So far the others are as they were, or padded.
        let mut shape = x.dims();
        shape[axis] = out[axis];
        let scope = cx.run.scope();
        cx.check(x.dtype(), &shape)?;
        cx.work::<usize>(out[axis])?;
        let from: Vec<usize> =
            (0..out[axis] as i64).map(|i| source(i - before, dim, mode) as usize).collect();
        x = match x {
            Value::Host(x) => {
                let own = host::strides(x.shape());
                let mut steps = own.clone();
                steps[axis] = 0;
                let along = host::walk(&shape, &index_steps(&shape, axis), 0);
                let offsets = host::walk(&shape, &steps, 0);
                let picked = offsets.zip(along).map(|(base, i)| base + from[i] * own[axis]);
                Value::Host(host::pick(&x, picked, shape)?)
            }
            x => select(x, axis, &from, cx)?,
        };
        drop(scope);
    }
    Ok(x)
}

/// Steps under which a walk gives the index along one axis.
fn index_steps(shape: &[usize], axis: usize) -> Vec<usize> {
    (0..shape.len()).map(|a| usize::from(a == axis)).collect()
}

/// The index within the axis that a position outside it stands for.
fn source(i: i64, dim: i64, mode: Mode) -> i64 {
    match mode {
        Mode::Edge | Mode::Constant => i.clamp(0, dim - 1),
        Mode::Wrap => i.rem_euclid(dim),
        Mode::Reflect if dim == 1 => 0,
        Mode::Reflect => {
            let period = 2 * (dim - 1);
            let i = i.rem_euclid(period);
            if i < dim { i } else { period - i }
        }
    }
}

/// Pads with one value; negative pads cut. `out` is the shape that comes of it, checked.
pub fn constant<B: Kernels>(
    x: Value<B>,
    pads: &[(i64, i64)],
    out: &[usize],
    fill: Number,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    // What negative pads leave of the input, and where it lies in the output.
    let dims = x.dims();
    let kept: Vec<Part> = pads
        .iter()
        .zip(&dims)
        .map(|((before, after), d)| {
            let start = (-before).clamp(0, *d as i64);
            let end = (*d as i64 + after.min(&0)).clamp(start, *d as i64);
            Part { start: start as usize, count: (end - start) as usize, step: 1 }
        })
        .collect();
    let x = slice(x, &kept)?;
    let place: Vec<(usize, usize)> = pads
        .iter()
        .zip(&kept)
        .map(|((before, _), part)| (before.max(&0).unsigned_abs() as usize, part.count))
        .collect();
    match x {
        Value::Float(x) if x.shape().num_elements() > 0 => {
            let slices: Vec<Slice> = place
                .iter()
                .map(|(start, count)| Slice::new(*start as isize, Some((start + count) as isize), 1))
                .collect();
            let dtype = x.dtype().into();
            let base = B::float_full(out.into(), fill.as_f64().into(), &cx.device, dtype);
            Ok(Value::Float(B::float_slice_assign(base, &slices, x)))
        }
        x => {
            let x = x.into_host()?;
            let own = host::strides(out);
            let start = place.iter().zip(&own).map(|((start, _), stride)| start * stride).sum();
            let offsets = host::walk(x.shape(), &own, start);
            let filled = host::from_numbers(x.dtype(), vec![1], [fill])?;
            Ok(Value::Host(for_element!(x.dtype(), T => {
                let fill = host::cells::<T>(&filled).first().copied().ok_or("there is nothing to fill in")?;
                let mut cells = host::filled(fill, host::count(out)?)?;
                for (offset, cell) in offsets.zip(host::cells::<T>(&x).iter()) {
                    cells[offset] = *cell;
                }
                host::tensor::<T>(x.dtype(), out.to_vec(), cells)?
            })))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, source};

    #[test]
    fn positions_outside_are_found_inside() {
        let at = |mode| (-3..6).map(|i| source(i, 3, mode)).collect::<Vec<_>>();
        assert_eq!(at(Mode::Edge), [0, 0, 0, 0, 1, 2, 2, 2, 2]);
        assert_eq!(at(Mode::Reflect), [1, 2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(at(Mode::Wrap), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert_eq!(source(-2, 1, Mode::Reflect), 0);
    }
}
