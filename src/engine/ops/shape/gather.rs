//! Gather, GatherElements, GatherND.

use super::slice::{Part, slice};
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis, ints, one};
use crate::engine::value::Value;
use crate::tensor::Tensor;

/// Indices that may count from the end, checked.
fn positions(indices: &[i64], dim: usize) -> Result<Vec<usize>, String> {
    let mut looks = host::Looks::default();
    let position = |i: &i64| {
        looks.look()?;
        let from_start = if *i < 0 { i.saturating_add(dim as i64) } else { *i };
        match usize::try_from(from_start) {
            Ok(at) if at < dim => Ok(at),
            _ => Err(format!("index {i} lies outside an axis of {dim}")),
        }
    };
    indices.iter().map(position).collect()
}

pub fn gather<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", 0)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, indices) = (inputs.take(0)?, inputs.take(1)?.into_host()?);
        let dims = x.dims();
        let axis = axis(given, dims.len())?;
        cx.work::<[i64; 3]>(indices.len())?;
        let at = positions(&ints(&indices)?, dims[axis])?;
        let out: Vec<usize> = [&dims[..axis], indices.shape(), &dims[axis + 1..]].concat();
        cx.check(x.dtype(), &out)?;
        if let ([start], false) = (&at[..], x.is_host()) {
            let mut parts: Vec<Part> = dims.iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
            parts[axis] = Part { start: *start, count: 1, step: 1 };
            return one(slice(x, &parts)?.reshaped(out)?);
        }
        if x.is_host() || out.contains(&0) {
            let x = x.into_host()?;
            let inner: usize = dims[axis + 1..].iter().product();
            let outer: usize = dims[..axis].iter().product();
            let size = dims[axis];
            let starts = (0..outer).flat_map(|row| at.iter().map(move |i| row * size + i));
            let picked = host::runs(starts.map(|start| start * inner), inner);
            return one(Value::Host(host::pick(&x, picked, out)?));
        }
        one(select(x, axis, &at, cx)?.reshaped(out)?)
    }))
}

/// Rows of one axis, in any order and number, of a tensor on the device.
pub fn select<B: Kernels>(
    x: Value<B>,
    axis: usize,
    at: &[usize],
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let at: Vec<i64> = at.iter().map(|i| *i as i64).collect();
    let indices = Value::<B>::Host(host::from_ints(&at)?).int(&cx.device)?;
    Ok(match x.on_device(&cx.device) {
        Value::Float(x) => Value::Float(B::float_select(x, axis, indices)),
        Value::Int(x) => Value::Int(B::int_select(x, axis, indices)),
        Value::Bool(x) => Value::Bool(B::bool_select(x, axis, indices)),
        host => host,
    })
}

pub fn elements<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", 0)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, indices) = (inputs.take(0)?.into_host()?, inputs.take(1)?.into_host()?);
        let axis = axis(given, x.shape().len())?;
        cx.check(x.dtype(), indices.shape())?;
        let picked = element_offsets(x.shape(), axis, &indices, cx)?;
        one(Value::Host(host::pick(&x, picked, indices.shape().to_vec())?))
    }))
}

/// The offset that each index points at: its own place, but for one axis.
pub fn element_offsets<B: Kernels>(
    dims: &[usize],
    axis: usize,
    indices: &Tensor,
    cx: &Context<B>,
) -> Result<Vec<usize>, OpError> {
    let shape = indices.shape();
    let fits = shape.len() == dims.len() && (0..dims.len()).all(|a| a == axis || shape[a] <= dims[a]);
    if !fits {
        return Err(format!("indices {shape:?} do not fit {dims:?}").into());
    }
    cx.work::<[usize; 2]>(indices.len())?;
    let own = host::strides(dims);
    let mut steps = own.clone();
    steps[axis] = 0;
    let mut at = positions(&ints(indices)?, dims[axis])?;
    for (at, base) in at.iter_mut().zip(host::walk(shape, &steps, 0)) {
        *at = base + *at * own[axis];
    }
    Ok(at)
}

pub fn nd<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let batch = usize::try_from(site.node.attributes.int("batch_dims", 0)?).map_err(|e| e.to_string())?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, indices) = (inputs.take(0)?.into_host()?, inputs.take(1)?.into_host()?);
        let (starts, rest) = tuple_offsets(x.shape(), &indices, batch, cx)?;
        let inner: usize = rest.iter().product();
        let mut out = indices.shape()[..indices.shape().len() - 1].to_vec();
        out.extend(rest);
        cx.check(x.dtype(), &out)?;
        let picked = host::runs(starts.into_iter(), inner);
        one(Value::Host(host::pick(&x, picked, out)?))
    }))
}

/// The offset at which the slice begins that each tuple along the last axis of the indices names; and the shape of such a slice.
pub fn tuple_offsets<B: Kernels>(
    dims: &[usize],
    indices: &Tensor,
    batch: usize,
    cx: &Context<B>,
) -> Result<(Vec<usize>, Vec<usize>), OpError> {
    let shape = indices.shape();
    let Some((&depth, outer)) = shape.split_last() else { return Err("indices without an axis".into()) };
    if batch > outer.len() || batch + depth > dims.len() || dims[..batch] != outer[..batch] {
        return Err(format!("indices {shape:?} do not fit {dims:?} with {batch} batch axes").into());
    }
    cx.work::<i64>(indices.len())?;
    cx.work::<usize>(host::count(outer)?)?;
    let own = host::strides(dims);
    let given = ints(indices)?;
    let batch_count: usize = dims[..batch].iter().product();
    let tuples: usize = outer.iter().product();
    let per_batch = tuples.checked_div(batch_count).unwrap_or(0).max(1);
    let batch_size: usize = dims[batch..].iter().product();
    let mut looks = host::Looks::default();
    let starts = (0..tuples)
        .map(|tuple| {
            looks.look()?;
            let mut start = tuple / per_batch * batch_size;
            for (level, index) in given[tuple * depth..(tuple + 1) * depth].iter().enumerate() {
                start += positions(&[*index], dims[batch + level])?[0] * own[batch + level];
            }
            Ok(start)
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok((starts, dims[batch + depth..].to_vec()))
}
