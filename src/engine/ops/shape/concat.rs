//! Concat.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::host::for_element;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis, broadcast, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use std::borrow::Cow;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_int("axis")?.copied().ok_or("attribute \"axis\" is missing")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let parts = (0..inputs.0.len()).map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        let rank = parts.first().map_or(0, Value::rank);
        one(join(parts, axis(given, rank)?, cx)?)
    }))
}

/// Joins tensors along an axis.
pub fn join<B: Kernels>(parts: Vec<Value<B>>, axis: usize, cx: &Context<B>) -> Result<Value<B>, OpError> {
    let Some(first) = parts.first() else { return Err("nothing to join".into()) };
    let mut dims = first.dims();
    dims[axis] = 0;
    for part in &parts {
        broadcast::same_dtype(first, part)?;
        let own = part.shape();
        let fits = own.num_dims() == dims.len() && (0..dims.len()).all(|a| a == axis || own[a] == dims[a]);
        if !fits {
            return Err(
                format!("{:?} and {:?} do not join along axis {axis}", first.dims(), part.dims()).into()
            );
        }
        dims[axis] = dims[axis].checked_add(own[axis]).ok_or("what is joined is too long")?;
    }
    cx.check(first.dtype(), &dims)?;
    if parts.iter().all(Value::is_host) {
        let parts = parts.into_iter().map(Value::into_host).collect::<Result<Vec<_>, _>>()?;
        return Ok(Value::Host(on_host(&parts, axis, dims)?));
    }
    // Empty parts add nothing, and not every backend takes them.
    let mut parts: Vec<_> = parts.into_iter().map(|p| p.on_device(&cx.device)).collect();
    if parts.len() > 1 && dims.iter().all(|d| *d > 0) {
        parts.retain(|p| p.elements() > 0);
    }
    if parts.len() == 1 {
        return parts.pop().ok_or_else(|| "nothing to join".into());
    }
    match &parts[0] {
        Value::Float(_) => {
            let parts = parts.into_iter().map(|p| p.float(&cx.device)).collect::<Result<_, _>>()?;
            Ok(Value::Float(B::cat(parts, axis)))
        }
        Value::Int(_) => {
            let parts = parts.into_iter().map(|p| p.int(&cx.device)).collect::<Result<_, _>>()?;
            Ok(Value::Int(B::int_cat(parts, axis)))
        }
        _ => {
            let parts = parts.into_iter().map(|p| p.bool(&cx.device)).collect::<Result<_, _>>()?;
            Ok(Value::Bool(B::bool_cat(parts, axis)))
        }
    }
}

fn strings(parts: &[Tensor], axis: usize, dims: Vec<usize>) -> Result<Tensor, String> {
    let outer: usize = dims[..axis].iter().product();
    let cells = parts.iter().map(host::strings).collect::<Result<Vec<_>, _>>()?;
    let mut joined = host::room(host::count(&dims)?)?;
    for row in 0..outer {
        for cells in &cells {
            let width = cells.len() / outer;
            joined.extend_from_slice(&cells[row * width..(row + 1) * width]);
        }
    }
    host::texts(dims, joined)
}

fn on_host(parts: &[Tensor], axis: usize, dims: Vec<usize>) -> Result<Tensor, String> {
    let dtype = parts[0].dtype();
    if dtype == DType::String {
        return strings(parts, axis, dims);
    }
    for_element!(dtype, T => {
        let outer: usize = dims[..axis].iter().product();
        let inner: usize = dims[axis + 1..].iter().product();
        let cells: Vec<Cow<'_, [T]>> = parts.iter().map(host::cells).collect();
        let mut joined = host::room(host::count(&dims)?)?;
        for row in 0..outer {
            for (part, cells) in parts.iter().zip(&cells) {
                let width = part.shape()[axis] * inner;
                joined.extend_from_slice(&cells[row * width..(row + 1) * width]);
            }
        }
        host::tensor::<T>(dtype, dims, joined)
    })
}
