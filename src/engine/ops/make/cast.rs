//! Cast and CastLike: between all numbers, bool, strings, and the small types.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Cell, Number, for_element};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::{Value, to_burn};
use crate::tensor::{DType, Rounding, Tensor};
use burn::tensor::get_device_settings;
use std::sync::Arc;

/// What becomes of numbers that a small float does not have.
#[derive(Clone, Copy, Debug)]
struct Rules {
    saturate: bool,
    rounding: Rounding,
}

impl Rules {
    fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let rounding = site.node.attributes.choice(
            "round_mode",
            "up",
            &[("up", Rounding::Up), ("down", Rounding::Down), ("nearest", Rounding::Nearest)],
        )?;
        Ok(Self { saturate: site.node.attributes.int("saturate", 1)? != 0, rounding })
    }
}

pub fn cast<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let code = site.node.attributes.find_int("to")?.copied().ok_or("attribute \"to\" is missing")?;
    let (dtype, rules) = (host::dtype_of(code)?, Rules::read(site)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        one(convert(inputs.take(0)?, dtype, rules, cx)?)
    }))
}

pub fn cast_like<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let rules = Rules::read(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let dtype = inputs.take(1)?.dtype();
        one(convert(inputs.take(0)?, dtype, rules, cx)?)
    }))
}

/// Converts the elements to another type.
pub fn to<B: Kernels>(x: Value<B>, dtype: DType, cx: &Context<B>) -> Result<Value<B>, OpError> {
    convert(x, dtype, Rules { saturate: true, rounding: Rounding::Up }, cx)
}

fn convert<B: Kernels>(
    x: Value<B>,
    dtype: DType,
    rules: Rules,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    if !x.is_tensor() {
        return Err(format!("{x:?} where a tensor should be").into());
    }
    if x.dtype() == dtype {
        return Ok(x);
    }
    cx.check(dtype, &x.shape())?;
    if !dtype.is_number() {
        return Ok(Value::Host(on_host(&x.into_host()?, dtype, rules)?));
    }
    let burn = to_burn(dtype);
    let settings = get_device_settings::<B>(&cx.device);
    Ok(match x {
        Value::Host(x) => Value::Host(on_host(&x, dtype, rules)?),
        Value::Float(x) if dtype.is_float() => Value::Float(B::float_cast(x, burn.into())),
        Value::Int(x) if dtype.is_float() => Value::Float(B::int_into_float(x, burn.into())),
        Value::Bool(x) if dtype.is_float() => Value::Float(B::bool_into_float(x, burn.into())),
        Value::Float(x) if dtype == DType::Bool => {
            Value::Bool(B::float_not_equal_elem(x, 0.0.into(), settings.bool_dtype))
        }
        Value::Int(x) if dtype == DType::Bool => {
            Value::Bool(B::int_not_equal_elem(x, 0i64.into(), settings.bool_dtype))
        }
        // Burn's conversion is another where the type does not hold the number.
        x @ Value::Float(_) if B::ON_HOST => {
            Value::Host(truncated(&x.into_host()?, dtype)?).on_device(&cx.device)
        }
        Value::Float(x) => Value::Int(B::float_into_int(x, burn.into())),
        Value::Int(x) => Value::Int(B::int_cast(x, burn.into())),
        Value::Bool(x) => Value::Int(B::bool_into_int(x, burn.into())),
        other => return Err(format!("{other:?} where a tensor should be").into()),
    })
}

/// Floats as integers.
fn truncated(x: &Tensor, dtype: DType) -> Result<Tensor, String> {
    let Some(floats) = x.elements::<f32>().filter(|_| x.dtype() == DType::F32) else {
        return host::from_numbers(dtype, x.shape().to_vec(), host::numbers(x));
    };
    let number = |v: &f32| Number::Float((*v).into());
    for_element!(dtype, T => {
        let cells = host::collected(floats.iter().map(|v| <T as Cell>::from_number(number(v))))?;
        host::tensor::<T>(dtype, x.shape().to_vec(), cells)
    })
}

fn on_host(x: &Tensor, dtype: DType, rules: Rules) -> Result<Tensor, String> {
    let shape = x.shape().to_vec();
    if dtype == DType::String {
        let texts = host::collected(host::numbers(x).map(|n| text(n, x.dtype())))?;
        return host::texts(shape, texts);
    }
    let code = host::small_code(dtype, rules.saturate, rules.rounding);
    match (x.strings(), code) {
        (Some(strings), Some(code)) => {
            let codes = strings.iter().map(|s| parse(s, dtype).map(&code)).collect::<Result<_, _>>()?;
            host::tensor::<u8>(dtype, shape, codes)
        }
        (Some(strings), None) => {
            host::try_from_numbers(dtype, shape, strings.iter().map(|s| parse(s, dtype)))
        }
        (None, Some(code)) => host::tensor::<u8>(dtype, shape, host::numbers(x).map(code).collect()),
        (None, None) => host::from_numbers(dtype, shape, host::numbers(x)),
    }
}

/// A number that a string spells.
fn parse(text: &str, dtype: DType) -> Result<Number, String> {
    let plain = text.trim();
    if !dtype.is_float()
        && let Ok(int) = plain.parse::<i128>()
    {
        return Ok(Number::Int(int));
    }
    // Rust reads INF and NaN in any case, with and without a sign.
    plain.parse::<f64>().map(Number::Float).map_err(|_| format!("{text:?} is not a number"))
}

/// A number as NumPy writes it: a float as short as reads back the same.
fn text(number: Number, dtype: DType) -> Arc<str> {
    let text = match number {
        Number::Int(v) if dtype == DType::Bool => (if v == 0 { "False" } else { "True" }).to_owned(),
        Number::Int(v) => v.to_string(),
        Number::Float(v) if v.is_nan() => "NaN".to_owned(),
        Number::Float(v) if v.is_infinite() => (if v > 0.0 { "INF" } else { "-INF" }).to_owned(),
        Number::Float(v) if dtype == DType::F32 => (v as f32).to_string(),
        Number::Float(v) => v.to_string(),
    };
    text.into()
}
