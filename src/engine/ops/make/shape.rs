//! Shape and Size: always on the host.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;

pub fn shape<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let dimensions = dimensions(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| one(dimensions(&inputs.take(0)?.dims())?)))
}

/// The dimensions of a tensor from `start` to `end`, as the node counts them.
pub fn dimensions<B: Kernels>(
    site: &Site<'_, B>,
) -> Result<impl Fn(&[usize]) -> Result<Value<B>, String> + use<B>, String> {
    let attributes = &site.node.attributes;
    let start = attributes.int("start", 0)?;
    let end = attributes.find_int("end")?.copied();
    Ok(move |dims: &[usize]| {
        let dims: Vec<i64> = dims.iter().map(|d| *d as i64).collect();
        let rank = dims.len() as i64;
        let at = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
        let (start, end) = (at(start), at(end.unwrap_or(rank)));
        Ok(Value::Host(host::from_ints(dims.get(start..end).unwrap_or_default())?))
    })
}

pub fn size<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| {
        let count = inputs.take(0)?.elements();
        one(Value::Host(host::scalar(DType::I64, Number::Int(count as i128))?))
    }))
}
