//! Max, Min, Sum and Mean of any number of tensors.

use super::binary::{Arithmetic, arithmetic, elementwise};
use crate::engine::backend::Kernels;
use crate::engine::host::{Number, scalar};
use crate::engine::ops::make::cast;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, broadcast, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use burn::tensor::get_device_settings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Max,
    Min,
    Sum,
    Mean,
}

pub fn build<B: Kernels>(op: Fold) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let count = inputs.0.len();
        let dtype = inputs.0.first().and_then(|value| value.as_ref().map(Value::dtype));
        // A sum of half precision may be larger than its type holds where the mean is not.
        let narrow = dtype.filter(|d| op == Fold::Mean && matches!(d, DType::F16 | DType::BF16));
        if narrow.is_some() {
            for input in &mut inputs.0 {
                *input = input.take().map(|value| cast(value, DType::F32, cx)).transpose()?;
            }
        }
        let mut result = inputs.take(0)?;
        for index in 1..count {
            let next = inputs.take(index)?;
            result = match op {
                Fold::Sum | Fold::Mean => arithmetic(Arithmetic::Add, result, next, cx)?,
                Fold::Max => extreme(result, next, true, cx)?,
                Fold::Min => extreme(result, next, false, cx)?,
            };
        }
        if op == Fold::Mean {
            let count = Value::Host(scalar(result.dtype(), Number::Int(count as i128))?);
            result = arithmetic(Arithmetic::Div, result, count, cx)?;
        }
        one(match narrow {
            Some(dtype) => cast(result, dtype, cx)?,
            None => result,
        })
    }))
}

/// NaN wins, as in NumPy.
fn extreme<B: Kernels>(a: Value<B>, b: Value<B>, max: bool, cx: &Context<B>) -> Result<Value<B>, OpError> {
    let dtype = broadcast::same_dtype(&a, &b)?;
    if matches!((&a, &b), (Value::Float(_), _) | (_, Value::Float(_))) {
        let (a, b) = broadcast::both(a, b, cx)?;
        let (a, b) = (a.float(&cx.device)?, b.float(&cx.device)?);
        let out = get_device_settings::<B>(&cx.device).bool_dtype;
        let takes = if max {
            B::float_greater(b.clone(), a.clone(), out)
        } else {
            B::float_lower(b.clone(), a.clone(), out)
        };
        let takes = B::bool_or(takes, B::float_is_nan(b.clone(), out));
        return Ok(Value::Float(B::float_mask_where(a, takes, b)));
    }
    let result = elementwise(&a.into_host()?, &b.into_host()?, dtype, cx, |a, b| {
        let takes = if max { b > a } else { b < a };
        Ok(if takes || b.as_f64().is_nan() { b } else { a })
    })?;
    Ok(Value::Host(result))
}
