//! Functions of one element.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::kernels::elementwise::Map;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Registry, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use burn::tensor::{get_device_settings, ops::FloatTensor};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("Abs", 6, |_| numeric(B::float_abs, f64::abs, i128::abs)).elementwise();
    r.op("Neg", 6, |_| numeric(B::float_neg, |v| -v, i128::wrapping_neg)).elementwise();
    r.op("Sign", 9, |_| numeric(B::float_sign, sign, i128::signum)).elementwise();
    r.op("Exp", 6, |_| float(|x| B::map(x, Map::Exp), f64::exp)).elementwise();
    r.op("Log", 6, |_| float(B::float_log, f64::ln)).elementwise();
    r.op("Sqrt", 6, |_| float(B::float_sqrt, f64::sqrt)).elementwise();
    r.op("Reciprocal", 6, |_| float(B::float_recip, f64::recip)).elementwise();
    r.op("Floor", 6, |_| float(B::float_floor, f64::floor)).elementwise();
    r.op("Ceil", 6, |_| float(B::float_ceil, f64::ceil)).elementwise();
    r.op("Round", 11, |_| float(B::float_round, f64::round_ties_even)).elementwise();
    r.op("Sin", 7, |_| float(B::float_sin, f64::sin)).elementwise();
    r.op("Cos", 7, |_| float(B::float_cos, f64::cos)).elementwise();
    r.op("Tan", 7, |_| float(B::float_tan, f64::tan)).elementwise();
    r.op("Asin", 7, |_| float(B::float_asin, f64::asin)).elementwise();
    r.op("Acos", 7, |_| float(B::float_acos, f64::acos)).elementwise();
    r.op("Atan", 7, |_| float(B::float_atan, f64::atan)).elementwise();
    r.op("Sinh", 9, |_| float(B::float_sinh, f64::sinh)).elementwise();
    r.op("Cosh", 9, |_| float(B::float_cosh, f64::cosh)).elementwise();
    r.op("Tanh", 6, |_| float(|x| B::map(x, Map::Tanh), f64::tanh)).elementwise().finite();
    r.op("Asinh", 9, |_| float(asinh::<B>, asinh_on_host)).elementwise();
    r.op("Acosh", 9, |_| float(acosh::<B>, acosh_on_host)).elementwise();
    r.op("Atanh", 9, |_| float(B::float_atanh, f64::atanh)).elementwise();
    r.op("Erf", 9, |_| device(|x| B::map(x, Map::Erf))).elementwise();
    r.op("BitwiseNot", 18, |_| host_ints(|v| !v)).elementwise();
    r.op("IsNaN", 9, is_nan).elementwise();
    r.op("IsInf", 10, is_inf).elementwise();
}

type OnDevice<B> = fn(
    <B as burn::tensor::backend::BackendTypes>::FloatTensorPrimitive,
) -> <B as burn::tensor::backend::BackendTypes>::FloatTensorPrimitive;

/// From here on the square of a number, or its double, may be more than a float holds, and the logarithm of twice the
/// number is the same to the last digit.
const LARGE: f64 = 1e16;

fn asinh<B: Kernels>(x: FloatTensor<B>) -> FloatTensor<B> {
    let far = B::float_mul(B::float_sign(x.clone()), double_log::<B>(B::float_abs(x.clone())));
    choose::<B>(x.clone(), far, B::float_asinh(x))
}

fn acosh<B: Kernels>(x: FloatTensor<B>) -> FloatTensor<B> {
    choose::<B>(x.clone(), double_log::<B>(x.clone()), B::float_acosh(x))
}

/// ln(2x)
fn double_log<B: Kernels>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add_scalar(B::float_log(x), std::f64::consts::LN_2.into())
}

/// `far` where x is large, else `near`.
fn choose<B: Kernels>(x: FloatTensor<B>, far: FloatTensor<B>, near: FloatTensor<B>) -> FloatTensor<B> {
    let out = get_device_settings::<B>(&B::float_device(&x)).bool_dtype;
    B::float_mask_where(near, B::float_greater_elem(B::float_abs(x), LARGE.into(), out), far)
}

fn asinh_on_host(x: f64) -> f64 {
    let far = |x: f64| x.signum() * (x.abs().ln() + std::f64::consts::LN_2);
    if x.abs() > LARGE { far(x) } else { x.asinh() }
}

fn acosh_on_host(x: f64) -> f64 {
    if x > LARGE { x.ln() + std::f64::consts::LN_2 } else { x.acosh() }
}

fn sign(v: f64) -> f64 {
    if v == 0.0 || v.is_nan() { v } else { v.signum() }
}

/// A function of floats, on the device and on the host.
fn float<B: Kernels>(on_device: OnDevice<B>, on_host: fn(f64) -> f64) -> Result<BoxOp<B>, String> {
    numeric_or(on_device, on_host, None)
}

/// A function of floats and integers, on the device and on the host.
fn numeric<B: Kernels>(
    on_device: OnDevice<B>,
    on_host: fn(f64) -> f64,
    ints: fn(i128) -> i128,
) -> Result<BoxOp<B>, String> {
    numeric_or(on_device, on_host, Some(ints))
}

fn numeric_or<B: Kernels>(
    on_device: OnDevice<B>,
    on_host: fn(f64) -> f64,
    ints: Option<fn(i128) -> i128>,
) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| match inputs.take(0)? {
        Value::Float(x) => one(Value::Float(B::each(x, &on_device))),
        x => {
            let x = x.into_host()?;
            let results = host::numbers(&x).map(|v| match (v, ints) {
                (Number::Float(v), _) => Ok(Number::Float(on_host(v))),
                (Number::Int(v), Some(ints)) => Ok(Number::Int(ints(v))),
                (Number::Int(_), None) => Err(format!("it takes floats, not {}", x.dtype())),
            });
            one(Value::Host(host::try_from_numbers(x.dtype(), x.shape().to_vec(), results)?))
        }
    }))
}

/// Always computed on the device.
pub fn device<B: Kernels>(on_device: OnDevice<B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        one(Value::Float(B::each(inputs.take(0)?.float(&cx.device)?, &on_device)))
    }))
}

fn host_ints<B: Kernels>(f: fn(i128) -> i128) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let results = host::numbers(&x).map(|v| match v {
            Number::Int(v) => Ok(Number::Int(f(v))),
            Number::Float(_) => Err(OpError::graph(format!("it takes integers, not {}", x.dtype()))),
        });
        one(Value::Host(host::try_from_numbers(x.dtype(), x.shape().to_vec(), results)?))
    }))
}

fn is_nan<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let out = get_device_settings::<B>(&cx.device).bool_dtype;
        one(Value::Bool(B::float_is_nan(inputs.take(0)?.float(&cx.device)?, out)))
    }))
}

fn is_inf<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let negative = site.node.attributes.int("detect_negative", 1)? != 0;
    let positive = site.node.attributes.int("detect_positive", 1)? != 0;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let found = host::numbers(&x).map(|v| {
            let v = v.as_f64();
            Number::Int((v.is_infinite() && if v > 0.0 { positive } else { negative }).into())
        });
        one(Value::Host(host::from_numbers(DType::Bool, x.shape().to_vec(), found)?))
    }))
}
