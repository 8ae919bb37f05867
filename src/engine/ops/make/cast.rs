//! Cast and CastLike.

use crate::engine::backend::Accelerator;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::{Value, to_burn};
use crate::tensor::DType;
use burn::tensor::get_device_settings;

pub fn cast<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let code = site.node.attributes.find_int("to")?.copied().ok_or("attribute \"to\" is missing")?;
    let dtype = host::dtype_of(code)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| one(to(inputs.take(0)?, dtype, cx)?)))
}

pub fn cast_like<B: Accelerator>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let dtype = inputs.take(1)?.dtype();
        one(to(inputs.take(0)?, dtype, cx)?)
    }))
}

/// The same elements as another type.
pub fn to<B: Accelerator>(x: Value<B>, dtype: DType, cx: &Context<B>) -> Result<Value<B>, String> {
    if x.dtype() == dtype {
        return Ok(x);
    }
    let burn = to_burn(dtype);
    let settings = get_device_settings::<B>(&cx.device);
    Ok(match x {
        Value::Host(x) => Value::Host(host::from_numbers(dtype, x.shape().to_vec(), &host::numbers(&x))?),
        Value::Float(x) if dtype.is_float() => Value::Float(B::float_cast(x, burn.into())),
        Value::Int(x) if dtype.is_float() => Value::Float(B::int_into_float(x, burn.into())),
        Value::Bool(x) if dtype.is_float() => Value::Float(B::bool_into_float(x, burn.into())),
        Value::Float(x) if dtype == DType::Bool => {
            Value::Bool(B::float_not_equal_elem(x, 0.0.into(), settings.bool_dtype))
        }
        Value::Int(x) if dtype == DType::Bool => {
            Value::Bool(B::int_not_equal_elem(x, 0i64.into(), settings.bool_dtype))
        }
        Value::Float(x) => Value::Int(B::float_into_int(x, burn.into())),
        Value::Int(x) => Value::Int(B::int_cast(x, burn.into())),
        Value::Bool(x) => Value::Int(B::bool_into_int(x, burn.into())),
    })
}
