//! DynamicQuantizeLinear: the scale is found from the tensor itself.

use super::linear::{Grain, quantise};
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

/// scale = (max - min) / 255 over a range that holds 0; zero point = round(-min / scale).
pub fn build<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let elements = x.elements::<f32>().ok_or_else(|| format!("{x:?} where float32 should be"))?;
        let (low, high) = elements.iter().fold((0f32, 0f32), |(l, h), v| (l.min(*v), h.max(*v)));
        let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
        let zero = (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8;
        let scalar = |e| Tensor::from_vec(Vec::new(), vec![e]).map_err(|e| e.to_string());
        let zero = Tensor::from_vec(Vec::new(), vec![zero]).map_err(|e| e.to_string())?;
        let scale = scalar(scale)?;
        let y = quantise(&x, &scale, Some(&zero), Grain::Tensor, DType::U8, true)?;
        Ok(vec![Value::Host(y), Value::Host(scale), Value::Host(zero)])
    }))
}
