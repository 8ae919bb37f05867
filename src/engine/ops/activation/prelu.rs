//! PRelu: the slope below zero is a tensor that broadcasts to the input.

use crate::engine::backend::Accelerator;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, broadcast, one};
use crate::engine::value::Value;

pub fn build<B: Accelerator>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, slope) = (inputs.take(0)?.on_device(&cx.device), inputs.take(1)?);
        let slope = broadcast::to(slope, &x.dims(), cx)?.float(&cx.device)?;
        let x = x.float(&cx.device)?;
        let below = B::float_mul(B::float_clamp_max(x.clone(), 0.0.into()), slope);
        one(Value::Float(B::float_add(B::relu(x), below)))
    }))
}
