//! Activations with settings: piecewise linear and exponential ones.

use super::smooth::at_once;
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::kernels::Activation;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;

fn attribute<B: Kernels>(site: &Site<'_, B>, name: &str, default: f32) -> Result<f32, String> {
    site.node.attributes.float(name, default)
}

fn activate<B: Kernels>(activation: Activation) -> Result<BoxOp<B>, String> {
    at_once::<B>(move |x| B::activate(x, activation))
}

/// max(0, min(1, alpha · x + beta))
pub fn hard_sigmoid<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (alpha, beta) = (attribute(site, "alpha", 0.2)?, attribute(site, "beta", 0.5)?);
    activate::<B>(Activation::HardSigmoid { alpha, beta })
}

pub fn leaky_relu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    activate::<B>(Activation::LeakyRelu { alpha: attribute(site, "alpha", 0.01)? })
}

/// x above alpha, else 0, which is what NaN becomes too.
pub fn thresholded_relu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    activate::<B>(Activation::ThresholdedRelu { alpha: attribute(site, "alpha", 1.0)? })
}

/// x + bias below -lambd, x - bias above lambd, else 0.
pub fn shrink<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (bias, lambd) = (attribute(site, "bias", 0.0)?, attribute(site, "lambd", 0.5)?);
    let (bias, lambd) = (f64::from(bias), f64::from(lambd));
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let shrunk = host::numbers(&x).map(|v| {
            let v = v.as_f64();
            Number::Float(if v < -lambd {
                v + bias
            } else if v > lambd {
                v - bias
            } else {
                0.0
            })
        });
        one(Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), shrunk)?))
    }))
}

pub fn elu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 1.0)?;
    activate::<B>(Activation::Exponential { scale: 1.0, alpha, width: 1.0 })
}

pub fn selu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 1.673_263_2)?;
    let scale = attribute(site, "gamma", 1.050_701)?;
    activate::<B>(Activation::Exponential { scale, alpha, width: 1.0 })
}

pub fn celu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = attribute(site, "alpha", 1.0)?;
    activate::<B>(Activation::Exponential { scale: 1.0, alpha, width: alpha })
}
