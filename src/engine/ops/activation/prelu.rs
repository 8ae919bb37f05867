//! PRelu: the slope below zero is a tensor that broadcasts to the input.

use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, broadcast, one};
use crate::engine::value::Value;
use burn::tensor::get_device_settings;

pub fn build<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, slope) = (inputs.take(0)?.on_device(&cx.device), inputs.take(1)?);
        let slope = broadcast::to(slope, &x.dims(), cx)?.float(&cx.device)?;
        let x = x.float(&cx.device)?;
        let out = get_device_settings::<B>(&cx.device).bool_dtype;
        let negative = B::float_lower_elem(x.clone(), 0.0.into(), out);
        one(Value::Float(B::float_mask_where(x.clone(), negative, B::float_mul(x, slope))))
    }))
}
