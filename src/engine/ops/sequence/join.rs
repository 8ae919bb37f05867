//! SplitToSequence and ConcatFromSequence.

use crate::engine::backend::Kernels;
use crate::engine::ops::shape::concat::join;
use crate::engine::ops::shape::slice::{Part, slice};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis, ints, one};
use crate::engine::value::{List, Value};

pub fn split<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", 0)?;
    let keep = site.node.attributes.int("keepdims", 1)? != 0;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let dims = x.dims();
        let axis = axis(given, dims.len())?;
        let wanted = inputs.optional(1).map(|v| v.into_host()).transpose()?;
        // A scalar is the size of each part but the last; without sizes each part is one.
        let (sizes, keep) = match &wanted {
            None => (parts_of(dims[axis], 1)?, keep),
            Some(size) if size.shape().is_empty() => {
                let size = ints(size)?.first().copied().and_then(|s| usize::try_from(s).ok());
                (parts_of(dims[axis], size.ok_or("the size of a part is negative")?)?, true)
            }
            Some(sizes) => (crate::engine::ops::shape::sizes(&ints(sizes)?)?, true),
        };
        let total = sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
        if total != Some(dims[axis]) {
            return Err(format!("axis {axis} of {dims:?} cannot be split into {sizes:?}").into());
        }
        let mut parts: Vec<Part> = dims.iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
        let mut list = List::default();
        let mut start = 0;
        for (index, count) in sizes.into_iter().enumerate() {
            parts[axis] = Part { start, count, step: 1 };
            start += count;
            let mut part = slice(x.clone(), &parts)?;
            if !keep {
                let mut dims = part.dims();
                dims.remove(axis);
                part = part.reshaped(dims)?;
            }
            list.insert(index, part, cx.max_bytes)?;
        }
        one(Value::Sequence(list.into()))
    }))
}

fn parts_of(length: usize, size: usize) -> Result<Vec<usize>, String> {
    if size == 0 {
        return Err("a part of size 0".into());
    }
    Ok((0..length.div_ceil(size)).map(|i| size.min(length - i * size)).collect())
}

pub fn concat<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_int("axis")?.copied().ok_or("attribute \"axis\" is missing")?;
    let new = site.node.attributes.flag("new_axis")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let list = inputs.take(0)?.into_sequence()?;
        let rank = list.items.first().map_or(0, Value::rank) + usize::from(new);
        let axis = axis(given, rank)?;
        let parts = list.items.iter().cloned().map(|part| {
            if !new {
                return Ok(part);
            }
            let mut dims = part.dims();
            dims.insert(axis.min(dims.len()), 1);
            part.reshaped(dims)
        });
        one(join(parts.collect::<Result<_, OpError>>()?, axis, cx)?)
    }))
}
