//! softmax(q · k · scale + mask) · v as one operator: what the optimiser makes of the products and the softmax.

use super::matmul::product;
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::activation::smooth::in_single;
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;

/// Inputs: q `[.., queries, size]`, k `[.., size, keys]`, v `[.., keys, width]`, and what is added to the scores.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let scale = f64::from(site.node.attributes.float("scale", 1.0)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (q, k, v) = (inputs.take(0)?, inputs.take(1)?, inputs.take(2)?);
        let mask = inputs.optional(3);
        if let Some(y) = in_one(&q, &k, &v, mask.as_ref(), scale, false, cx)? {
            return one(y);
        }
        let dtype = q.dtype();
        let mut scores = product(q, k, cx)?;
        if scale != 1.0 {
            let scale = Value::Host(host::scalar(dtype, Number::Float(scale))?);
            scores = arithmetic(Arithmetic::Mul, scores, scale, cx)?;
        }
        if let Some(mask) = mask {
            scores = arithmetic(Arithmetic::Add, scores, mask, cx)?;
        }
        if scores.rank() == 0 || scores.elements() == 0 {
            return one(product(scores, v, cx)?);
        }
        let last = scores.rank() - 1;
        let weights = in_single::<B>(scores.float(&cx.device)?, |x| B::softmax(x, last));
        one(product(Value::Float(weights), v, cx)?)
    }))
}

/// Attends by the kernel; `None` where it is not for these tensors.
pub fn in_one<B: Kernels>(
    q: &Value<B>,
    k: &Value<B>,
    v: &Value<B>,
    mask: Option<&Value<B>>,
    scale: f64,
    nowhere_is_zero: bool,
    cx: &Context<B>,
) -> Result<Option<Value<B>>, OpError> {
    let floats = [q, k, v].into_iter().chain(mask).all(|t| t.is_tensor() && t.dtype().is_float());
    if !B::ON_HOST || !floats {
        return Ok(None);
    }
    let tensor = |value: &Value<B>| value.clone().float(&cx.device);
    let mask = mask.map(tensor).transpose()?;
    let y = B::attend(&tensor(q)?, &tensor(k)?, &tensor(v)?, mask.as_ref(), scale, nowhere_is_zero);
    Ok(y.map(Value::Float))
}
