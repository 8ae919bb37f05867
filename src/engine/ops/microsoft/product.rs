//! MatMul and Gemm with transposes, a scale or an activation.

use crate::engine::backend::Kernels;
use crate::engine::onnx::{Attribute, ValueId};
use crate::engine::ops::body::Body;
use crate::engine::ops::nn::product;
use crate::engine::ops::shape::permute;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;

/// alpha · A' · B', where a transpose may be of the last two axes, or move the first axis behind those of
/// the batch.
pub fn fused_matmul<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let alpha = f64::from(attributes.float("alpha", 1.0)?);
    let a = (attributes.flag("transA")?, attributes.flag("transBatchA")?);
    let b = (attributes.flag("transB")?, attributes.flag("transBatchB")?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let left = turned(inputs.take(0)?, a)?;
        let right = turned(inputs.take(1)?, b)?;
        let y = product(left, right, cx)?;
        one(if alpha == 1.0 {
            y
        } else {
            Value::Float(B::float_mul_scalar(y.float(&cx.device)?, alpha.into()))
        })
    }))
}

fn turned<B: Kernels>(x: Value<B>, (last, batch): (bool, bool)) -> Result<Value<B>, String> {
    let rank = x.rank();
    let mut axes: Vec<usize> = (0..rank).collect();
    if batch && rank > 2 {
        let first = axes.remove(0);
        axes.insert(rank - 2, first);
    }
    if last && rank > 1 {
        axes.swap(rank - 1, rank - 2);
    }
    if axes.is_sorted() { Ok(x) } else { permute(x, &axes) }
}

/// An activation of the standard domain by name, with its parameters where they are given.
fn activated<B: Kernels>(
    body: &mut Body<'_, '_, B>,
    y: ValueId,
    site: &Site<'_, B>,
    name: &str,
) -> Result<ValueId, String> {
    match name {
        "" | "Identity" => return Ok(y),
        "Relu" | "LeakyRelu" | "Sigmoid" | "Tanh" | "HardSigmoid" | "Elu" | "Selu" | "Celu" | "Softplus"
        | "Softsign" | "ThresholdedRelu" => {}
        other => return Err(format!("activation {other:?} is not supported")),
    }
    let mut parameters = Vec::new();
    for parameter in ["alpha", "beta", "gamma"] {
        if let Some(value) = site.node.attributes.find_float(&format!("activation_{parameter}"))? {
            parameters.push((parameter, Attribute::Float(*value)));
        }
    }
    Ok(body.node_with(name, &[y], &parameters))
}

pub fn fused_gemm<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let gemm = [
        ("alpha", Attribute::Float(attributes.float("alpha", 1.0)?)),
        ("beta", Attribute::Float(attributes.float("beta", 1.0)?)),
        ("transA", Attribute::Int(attributes.int("transA", 0)?)),
        ("transB", Attribute::Int(attributes.int("transB", 0)?)),
    ];
    let activation = attributes.text("activation", "")?.to_owned();
    let mut body = Body::new(site);
    let inputs = vec![Some(body.input(0)?), Some(body.input(1)?), body.optional(2)];
    let y = body.nodes("Gemm", inputs, &gemm, 1)[0];
    let y = activated(&mut body, y, site, &activation)?;
    body.build(&[y])
}

pub fn fused_matmul_activation<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    if ["transA", "transB", "transBatchA", "transBatchB"].iter().any(|t| attributes.flag(t) != Ok(false)) {
        return Err("transposes beside an activation are not supported".into());
    }
    let alpha = attributes.float("alpha", 1.0)?;
    let activation = attributes.text("activation", "")?.to_owned();
    let mut body = Body::new(site);
    let y = body.node("MatMul", &[body.input(0)?, body.input(1)?]);
    let alpha = body.float(alpha.into())?;
    let y = body.node("Mul", &[y, alpha]);
    let y = activated(&mut body, y, site, &activation)?;
    body.build(&[y])
}

/// Gelu by tanh of A · B + bias.
pub fn gemm_fast_gelu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let y = body.node("MatMul", &[body.input(0)?, body.input(1)?]);
    let y = body.plus(y, body.optional(2));
    let y = body.node_with("Gelu", &[y], &[("approximate", Attribute::Text("tanh".into()))]);
    body.build(&[y])
}
