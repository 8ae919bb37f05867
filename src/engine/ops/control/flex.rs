//! `ai.onnx.preview.FlexAttention`: attention whose scores and weights go through graphs of the model.

use super::{Inner, inner};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::host::{self, Number};
use crate::engine::ops::make::cast;
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::nn::{product, repeat_heads};
use crate::engine::ops::shape::permute;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// prob_mod(softmax(score_mod(Q·Kᵀ·scale)))·V over `[batch, heads, length, size]`.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let scale = attributes.find_float("scale")?.map(|s| f64::from(*s));
    let precision =
        attributes.find_int("softmax_precision")?.map(|code| host::dtype_of(*code)).transpose()?;
    let part = |name| -> Result<Option<Inner<B>>, String> {
        attributes.find_graph(name)?.map(|_| inner(site, name)).transpose()
    };
    let (of_scores, of_weights) = (part("score_mod")?, part("prob_mod")?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (q, k, v) = (inputs.take(0)?, inputs.take(1)?, inputs.take(2)?);
        let (given, dims) = (q.dtype(), q.dims());
        let [_, heads, _, size] = dims[..] else { return Err(format!("{dims:?} has not 4 axes").into()) };
        let computed = precision.unwrap_or(if given == DType::F64 { DType::F64 } else { DType::F32 });
        let single = |v: Value<B>| cast(v, computed, cx).map(|v| v.on_device(&cx.device));
        let (q, k, v) =
            (single(q)?, repeat_heads(single(k)?, heads, cx)?, repeat_heads(single(v)?, heads, cx)?);
        let scale = Number::Float(scale.unwrap_or(1.0 / (size.max(1) as f64).sqrt()));
        let scores = product(q, permute(k, &[0, 1, 3, 2])?, cx)?;
        let scores = arithmetic(Arithmetic::Mul, scores, Value::Host(host::scalar(computed, scale)?), cx)?;
        let scores = modified(&of_scores, scores, &mut inputs, cx)?;
        let weights = Value::Float(B::softmax(scores.float(&cx.device)?, 3));
        let weights = modified(&of_weights, weights, &mut inputs, cx)?;
        one(cast(product(weights, v, cx)?, given, cx)?)
    }))
}

/// What the graph makes of it; the shape stays.
fn modified<B: Kernels>(
    graph: &Option<Inner<B>>,
    x: Value<B>,
    inputs: &mut Inputs<B>,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let Some(graph) = graph else { return Ok(x) };
    let (dims, dtype) = (x.dims(), x.dtype());
    let captured = graph.captures.clone().map(|i| inputs.take(i));
    let given = std::iter::once(Ok(x)).chain(captured).collect::<Result<Vec<_>, _>>()?;
    match graph.program.run(given, cx)?.into_iter().next() {
        Some(y) if y.dims() == dims && y.dtype() == dtype => Ok(y),
        other => Err(format!("a graph makes {other:?} of {dtype}{dims:?}").into()),
    }
}
