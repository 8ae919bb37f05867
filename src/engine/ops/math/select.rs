//! Where: elements of one tensor or the other, by a condition.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Reader};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, broadcast, one};
use crate::engine::value::Value;

pub fn build<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (condition, then, other) = (inputs.take(0)?, inputs.take(1)?, inputs.take(2)?);
        broadcast::same_dtype(&then, &other)?;
        let (then, other) = broadcast::settled(then, other, cx);
        let shapes = [condition.dims(), then.dims(), other.dims()];
        let dims = broadcast::shape_of_all(shapes.iter().map(Vec::as_slice))?;
        cx.check(then.dtype(), &dims)?;
        if condition.is_host() && then.is_host() && other.is_host() {
            let (condition, then, other) = (condition.into_host()?, then.into_host()?, other.into_host()?);
            if let (Some(left), Some(right)) = (then.strings(), other.strings()) {
                let picked = host::broadcast_indices(condition.shape(), &dims)
                    .zip(host::broadcast_indices(then.shape(), &dims))
                    .zip(host::broadcast_indices(other.shape(), &dims))
                    .map(
                        |((c, l), r)| {
                            if condition.bytes()[c] != 0 { left[l].clone() } else { right[r].clone() }
                        },
                    )
                    .collect();
                return one(Value::Host(host::texts(dims, picked)?));
            }
            let (left, right) = (Reader::new(&then), Reader::new(&other));
            let picked = host::broadcast_indices(condition.shape(), &dims)
                .zip(host::broadcast_indices(then.shape(), &dims))
                .zip(host::broadcast_indices(other.shape(), &dims))
                .map(|((c, l), r)| if condition.bytes()[c] != 0 { left.at(l) } else { right.at(r) });
            return one(Value::Host(host::from_numbers(then.dtype(), dims, picked)?));
        }
        let condition = broadcast::to(condition.on_device(&cx.device), &dims, cx)?.bool(&cx.device)?;
        // A scalar is filled in, without a tensor of its own.
        if let Value::Host(fill) = &then
            && fill.len() == 1
            && let Value::Float(other) = other.clone().on_device(&cx.device)
        {
            let other = broadcast::to(Value::Float(other), &dims, cx)?.float(&cx.device)?;
            let fill = host::only(fill)?.as_f64();
            return one(Value::Float(B::float_mask_fill(other, condition, fill.into())));
        }
        let then = broadcast::to(then.on_device(&cx.device), &dims, cx)?;
        let other = broadcast::to(other.on_device(&cx.device), &dims, cx)?;
        one(match (then, other) {
            (Value::Float(t), Value::Float(o)) => Value::Float(B::float_mask_where(o, condition, t)),
            (Value::Int(t), Value::Int(o)) => Value::Int(B::int_mask_where(o, condition, t)),
            (Value::Bool(t), Value::Bool(o)) => Value::Bool(B::bool_mask_where(o, condition, t)),
            (t, o) => return Err(format!("{} and {} do not go together", t.dtype(), o.dtype()).into()),
        })
    }))
}
