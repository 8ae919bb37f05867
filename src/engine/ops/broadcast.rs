//! Values of shapes that meet under NumPy's rules, as ONNX has them.

use super::Context;
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::host;
pub use crate::engine::shape::{broadcast as shape, broadcast_all as shape_of_all};
use crate::engine::value::Value;
use crate::tensor::DType;

/// A view of the value in the larger shape.
///
/// REQUIRES that its shape broadcasts to it.
pub fn to<B: Kernels>(value: Value<B>, dims: &[usize], cx: &Context<B>) -> Result<Value<B>, OpError> {
    let own = value.dims();
    if own == dims {
        return Ok(value);
    }
    cx.check(value.dtype(), dims)?;
    let mut aligned = vec![1; dims.len().saturating_sub(own.len())];
    aligned.extend(own);
    let value = value.reshaped(aligned)?.on_device(&cx.device);
    Ok(match value {
        Value::Host(t) => {
            Value::Host(host::pick(&t, host::broadcast_indices(t.shape(), dims), dims.to_vec())?)
        }
        Value::Float(t) => Value::Float(B::float_expand(t, dims.into())),
        Value::Int(t) => Value::Int(B::int_expand(t, dims.into())),
        Value::Bool(t) => Value::Bool(B::bool_expand(t, dims.into())),
        other => other,
    })
}

/// Elements of a result from which on numbers are computed on the device, wherever they are.
const MANY: usize = 2048;

/// Sends numbers to the device that would make a large result on the host.
pub fn settled<B: Kernels>(a: Value<B>, b: Value<B>, cx: &Context<B>) -> (Value<B>, Value<B>) {
    let floats = a.is_host() && b.is_host() && a.dtype() == DType::F32 && B::ON_HOST;
    let large =
        |dims: Vec<usize>| dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).is_none_or(|n| n > MANY);
    if floats && shape(&a.dims(), &b.dims()).is_ok_and(large) {
        // A single number costs no tensor where it is.
        let sent = |x: Value<B>| if x.elements() == 1 { x } else { x.on_device(&cx.device) };
        (sent(a), sent(b))
    } else {
        (a, b)
    }
}

/// Brings both to the device and to the shape that they broadcast to.
pub fn both<B: Kernels>(a: Value<B>, b: Value<B>, cx: &Context<B>) -> Result<(Value<B>, Value<B>), OpError> {
    let (a, b) = (a.on_device(&cx.device), b.on_device(&cx.device));
    let (left, right) = (a.shape(), b.shape());
    if left == right {
        return Ok((a, b));
    }
    let dims = shape(&left, &right)?;
    Ok((to(a, &dims, cx)?, to(b, &dims, cx)?))
}

/// An error where operands that must agree do not.
pub fn same_dtype<B: Kernels>(a: &Value<B>, b: &Value<B>) -> Result<DType, String> {
    if a.dtype() == b.dtype() {
        Ok(a.dtype())
    } else {
        Err(format!("{} and {} do not go together", a.dtype(), b.dtype()))
    }
}
