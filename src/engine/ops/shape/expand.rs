//! Expand and Tile.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, broadcast, one};
use crate::engine::value::Value;

pub fn expand<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let known = site.absorb_ints(1)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let wanted = match &known {
            Some(shape) => shape.clone(),
            None => inputs.ints(1)?,
        };
        let wanted = sizes(&wanted)?;
        let dims = broadcast::shape(&x.shape(), &wanted)?;
        cx.check(x.dtype(), &dims)?;
        match x {
            Value::Host(x) => {
                one(Value::Host(host::pick(&x, host::broadcast_indices(x.shape(), &dims), dims)?))
            }
            x => one(broadcast::to(x, &dims, cx)?),
        }
    }))
}

/// Sizes that must not be negative.
pub fn sizes(given: &[i64]) -> Result<Vec<usize>, String> {
    given.iter().map(|d| usize::try_from(*d).map_err(|_| format!("{given:?} is not a shape"))).collect()
}

pub fn tile<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let known = site.absorb_ints(1)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let repeats = match &known {
            Some(repeats) => sizes(repeats)?,
            None => sizes(&inputs.ints(1)?)?,
        };
        let dims = x.dims();
        if repeats.len() != dims.len() {
            return Err(format!("{} repeats for {} axes", repeats.len(), dims.len()).into());
        }
        let times = |(d, r): (&usize, &usize)| d.checked_mul(*r).ok_or("the result is too large");
        let tiled = dims.iter().zip(&repeats).map(times).collect::<Result<Vec<_>, _>>()?;
        cx.check(x.dtype(), &tiled)?;
        if x.is_host() || tiled.contains(&0) {
            let x = x.into_host()?;
            // Each axis in two: which repeat, and where within it.
            let own = host::strides(&dims);
            let split: Vec<usize> = repeats.iter().zip(&dims).flat_map(|(r, d)| [*r, *d]).collect();
            let steps: Vec<usize> = own.iter().flat_map(|s| [0, *s]).collect();
            return one(Value::Host(host::pick(&x, host::walk(&split, &steps, 0), tiled)?));
        }
        let mut x = x;
        for (axis, times) in repeats.into_iter().enumerate().filter(|(_, times)| *times != 1) {
            x = match x {
                Value::Float(x) => Value::Float(B::float_repeat_dim(x, axis, times)),
                Value::Int(x) => Value::Int(B::int_repeat_dim(x, axis, times)),
                Value::Bool(x) => Value::Bool(B::bool_repeat_dim(x, axis, times)),
                host => host,
            };
        }
        one(x)
    }))
}
