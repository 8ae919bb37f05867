//! CausalConvWithState: each channel filtered over what came before, some of it from the step before.

use super::conv::conv;
use super::window::Window;
use crate::engine::backend::Kernels;
use crate::engine::kernels::elementwise::Map;
use crate::engine::onnx::Attributes;
use crate::engine::ops::make::cast;
use crate::engine::ops::shape::concat;
use crate::engine::ops::shape::slice::{Part, slice};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site};
use crate::engine::value::{Value, to_burn};
use crate::tensor::DType;

/// `[batch, channels, length]`; the state is the last k - 1 of what was filtered.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let silu = site.node.attributes.choice(
        "activation",
        "none",
        &[("none", false), ("", false), ("silu", true), ("swish", true)],
    )?;
    let window = Window::read(&Attributes::default())?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, weight) = (inputs.take(0)?, inputs.take(1)?);
        let bias = inputs.optional(2);
        let (dims, filter) = (x.dims(), weight.dims());
        let ([batch, channels, length], [filters, 1, kernel]) = (&dims[..], &filter[..]) else {
            return Err(format!("an input {dims:?} and a weight {filter:?} do not go together").into());
        };
        if channels != filters || *kernel == 0 {
            return Err(format!("an input {dims:?} and a weight {filter:?} do not go together").into());
        }
        let kept = kernel - 1;
        let before = vec![*batch, *channels, kept];
        let past = match inputs.optional(3) {
            Some(past) if past.dims() == before => past,
            Some(past) => return Err(format!("a state {:?} where {before:?} should be", past.dims()).into()),
            None => {
                cx.check(x.dtype(), &before)?;
                Value::Float(B::float_zeros(before.into(), &cx.device, to_burn(x.dtype()).into()))
            }
        };
        let whole = concat::join(vec![past, x], 2, cx)?;
        let mut parts: Vec<Part> =
            whole.dims().iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
        parts[2] = Part { start: *length, count: kept, step: 1 };
        let state = slice(whole.clone(), &parts)?;
        let dtype = whole.dtype();
        let single = |v: Value<B>| -> Result<_, OpError> {
            if B::ON_HOST && dtype != DType::F64 {
                cast(v, DType::F32, cx)?.float(&cx.device)
            } else {
                v.float(&cx.device)
            }
        };
        let bias = bias.map(single).transpose()?;
        let y = conv::<B>(single(whole)?, single(weight)?, bias, &window, *channels, cx)?;
        let y = if silu { B::map(y, Map::Silu) } else { y };
        Ok(vec![cast(Value::Float(y), dtype, cx)?, state])
    }))
}
