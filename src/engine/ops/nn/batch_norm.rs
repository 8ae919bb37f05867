//! BatchNormalization, as it is served: with the statistics that the file carries.

use crate::engine::backend::Accelerator;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::Tensor;
use burn::tensor::TensorMetadata;

pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    if attributes.flag("training_mode")? {
        return Err("training mode is not supported".into());
    }
    if attributes.int("spatial", 1)? == 0 {
        return Err("statistics for each pixel (spatial = 0) are not supported".into());
    }
    let epsilon = f64::from(attributes.float("epsilon", 1e-5)?);
    let known = match (site.constant(1), site.constant(2), site.constant(3), site.constant(4)) {
        (Some(scale), Some(bias), Some(mean), Some(variance)) => {
            (1..5).for_each(|i| {
                site.absorb(i);
            });
            Some(Line::new(scale, bias, mean, variance, epsilon)?)
        }
        _ => None,
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let found;
        let line = match &known {
            Some(line) => line,
            None => {
                let mut host = |i| -> Result<Tensor, String> { inputs.take(i)?.into_host() };
                found = Line::new(&host(1)?, &host(2)?, &host(3)?, &host(4)?, epsilon)?;
                &found
            }
        };
        let dims = x.shape();
        if dims.num_dims() < 2 || dims[1] != line.scale.len() {
            return Err(format!("{:?} for {} channels", dims.as_slice(), line.scale.len()));
        }
        let mut shape = vec![1; dims.num_dims()];
        shape[1] = dims[1];
        let dtype = crate::engine::value::from_burn(x.dtype());
        let tensor = |v: &[Number]| -> Result<_, String> {
            Value::<B>::Host(host::from_numbers(dtype, shape.clone(), v)?).float(&cx.device)
        };
        let scaled = B::float_mul(x, tensor(&line.scale)?);
        one(Value::Float(B::float_add(scaled, tensor(&line.shift)?)))
    }))
}

/// For each channel: x · scale + shift.
pub struct Line {
    pub scale: Vec<Number>,
    pub shift: Vec<Number>,
}

impl Line {
    /// scale' = scale / √(variance + ε), shift' = bias - mean · scale'
    pub fn new(
        scale: &Tensor,
        bias: &Tensor,
        mean: &Tensor,
        variance: &Tensor,
        epsilon: f64,
    ) -> Result<Self, String> {
        if [bias.len(), mean.len(), variance.len()] != [scale.len(); 3] {
            return Err("scale, bias, mean and variance differ in length".into());
        }
        let scales: Vec<f64> =
            scale.to_f64().iter().zip(variance.to_f64()).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
        let shift = bias
            .to_f64()
            .iter()
            .zip(mean.to_f64())
            .zip(&scales)
            .map(|((b, m), s)| Number::Float(b - m * s))
            .collect();
        Ok(Self { scale: scales.into_iter().map(Number::Float).collect(), shift })
    }
}
