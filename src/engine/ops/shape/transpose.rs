//! Transpose.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axes, one};
use crate::engine::value::Value;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let perm = site.node.attributes.find_ints("perm")?.cloned();
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let rank = x.rank();
        let perm: Vec<usize> = match &perm {
            None => (0..rank).rev().collect(),
            Some(perm) if perm.len() == rank && axes(perm, rank).is_ok() => {
                perm.iter().map(|p| if *p < 0 { (*p + rank as i64) as usize } else { *p as usize }).collect()
            }
            Some(perm) => return Err(format!("{perm:?} does not permute {rank} axes").into()),
        };
        one(permute(x, &perm)?)
    }))
}

/// REQUIRES a permutation of the axes.
pub fn permute<B: Kernels>(x: Value<B>, perm: &[usize]) -> Result<Value<B>, String> {
    Ok(match x {
        Value::Float(x) => Value::Float(B::float_permute(x, perm)),
        Value::Int(x) => Value::Int(B::int_permute(x, perm)),
        Value::Bool(x) => Value::Bool(B::bool_permute(x, perm)),
        Value::Host(x) => {
            let own = host::strides(x.shape());
            let dims: Vec<usize> = perm.iter().map(|p| x.shape()[*p]).collect();
            let steps: Vec<usize> = perm.iter().map(|p| own[*p]).collect();
            Value::Host(host::pick(&x, host::walk(&dims, &steps, 0), dims)?)
        }
        other => return Err(format!("{other:?} where a tensor should be")),
    })
}
