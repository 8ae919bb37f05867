//! Shapes that meet under NumPy's rules, as ONNX has them.

use super::Context;
use crate::engine::backend::Accelerator;
use crate::engine::error::OpError;
use crate::engine::host;
use crate::engine::value::Value;
use crate::tensor::DType;

/// The shape that both broadcast to.
pub fn shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

/// A view of the value in the larger shape.
///
/// REQUIRES that its shape broadcasts to it.
pub fn to<B: Accelerator>(value: Value<B>, dims: &[usize], cx: &Context<B>) -> Result<Value<B>, OpError> {
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
pub fn settled<B: Accelerator>(a: Value<B>, b: Value<B>, cx: &Context<B>) -> (Value<B>, Value<B>) {
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
pub fn both<B: Accelerator>(
    a: Value<B>,
    b: Value<B>,
    cx: &Context<B>,
) -> Result<(Value<B>, Value<B>), OpError> {
    let (a, b) = (a.on_device(&cx.device), b.on_device(&cx.device));
    let (left, right) = (a.shape(), b.shape());
    if left == right {
        return Ok((a, b));
    }
    let dims = shape(&left, &right)?;
    Ok((to(a, &dims, cx)?, to(b, &dims, cx)?))
}

/// The shape that any number of shapes broadcast to.
pub fn shape_of_all<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Result<Vec<usize>, String> {
    shapes.into_iter().try_fold(Vec::new(), |all, one| shape(&all, one))
}

/// An error where operands that must agree do not.
pub fn same_dtype<B: Accelerator>(a: &Value<B>, b: &Value<B>) -> Result<DType, String> {
    if a.dtype() == b.dtype() {
        Ok(a.dtype())
    } else {
        Err(format!("{} and {} do not go together", a.dtype(), b.dtype()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_meet_as_in_numpy() {
        for (a, b, wanted) in [
            (&[2usize, 3][..], &[3usize][..], Some(vec![2, 3])),
            (&[4, 1, 3], &[2, 1], Some(vec![4, 2, 3])),
            (&[], &[0], Some(vec![0])),
            (&[1, 0], &[5, 1], Some(vec![5, 0])),
            (&[2], &[3], None),
        ] {
            assert_eq!(shape(a, b).ok(), wanted, "{a:?} {b:?}");
        }
    }
}
