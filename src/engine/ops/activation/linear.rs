//! Activations with settings: piecewise linear and exponential ones.

use super::smooth::build;
use crate::engine::backend::Accelerator;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use burn::tensor::{get_device_settings, ops::FloatTensor};

fn attribute<B: Accelerator>(site: &Site<'_, B>, name: &str, default: f32) -> Result<f64, String> {
    site.node.attributes.float(name, default).map(f64::from)
}

/// max(0, min(1, alpha · x + beta))
pub fn hard_sigmoid<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (alpha, beta) = (attribute(site, "alpha", 0.2)?, attribute(site, "beta", 0.5)?);
    build::<B>(move |x| {
        let line = B::float_add_scalar(B::float_mul_scalar(x, alpha.into()), beta.into());
        B::float_clamp(line, 0.0.into(), 1.0.into())
    })
}

pub fn leaky_relu<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 0.01)?;
    build::<B>(move |x| B::leaky_relu(x, alpha.into()))
}

/// x above alpha, else 0.
pub fn thresholded_relu<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 1.0)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let out = get_device_settings::<B>(&cx.device).bool_dtype;
        let below = B::float_lower_equal_elem(x.clone(), alpha.into(), out);
        one(Value::Float(B::float_mask_fill(x, below, 0.0.into())))
    }))
}

/// x + bias below -lambd, x - bias above lambd, else 0.
pub fn shrink<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (bias, lambd) = (attribute(site, "bias", 0.0)?, attribute(site, "lambd", 0.5)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let shrunk: Vec<Number> = host::numbers(&x)
            .into_iter()
            .map(|v| {
                let v = v.as_f64();
                Number::Float(if v < -lambd {
                    v + bias
                } else if v > lambd {
                    v - bias
                } else {
                    0.0
                })
            })
            .collect();
        one(Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), &shrunk)?))
    }))
}

/// scale · (max(0, x) + min(0, alpha · (e^(x / width) - 1)))
fn exponential<B: Accelerator>(x: FloatTensor<B>, scale: f64, alpha: f64, width: f64) -> FloatTensor<B> {
    let below = B::float_clamp_max(x.clone(), 0.0.into());
    let below = if width == 1.0 { below } else { B::float_div_scalar(below, width.into()) };
    let below = B::float_mul_scalar(B::float_sub_scalar(B::float_exp(below), 1.0.into()), alpha.into());
    let sum = B::float_add(B::relu(x), below);
    if scale == 1.0 { sum } else { B::float_mul_scalar(sum, scale.into()) }
}

pub fn elu<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 1.0)?;
    build::<B>(move |x| exponential::<B>(x, 1.0, alpha, 1.0))
}

pub fn selu<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 1.673_263_2)?;
    let gamma = attribute(site, "gamma", 1.050_701)?;
    build::<B>(move |x| exponential::<B>(x, gamma, alpha, 1.0))
}

pub fn celu<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 1.0)?;
    build::<B>(move |x| exponential::<B>(x, 1.0, alpha, alpha))
}
