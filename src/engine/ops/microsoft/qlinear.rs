//! Operators on 8-bit tensors with a scale and a zero point each: dequantised, computed, quantised.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::onnx::{Attribute, ValueId};
use crate::engine::ops::body::Body;
use crate::engine::ops::{BoxOp, Site};
use crate::tensor::DType;

/// The attributes that the operator of the standard has too.
fn standard<'a, B: Kernels>(site: &'a Site<'_, B>) -> Vec<(&'a str, Attribute)> {
    let all = site.node.attributes.0.iter().filter(|(name, _)| name != "channels_last");
    all.map(|(name, value)| (name.as_str(), value.clone())).collect()
}

/// An operator of the standard that this domain has under the same name.
pub fn alias<B: Kernels>(site: &Site<'_, B>, op: &str) -> Result<BoxOp<B>, String> {
    let attributes = standard(site);
    let mut body = Body::new(site);
    let inputs = (0..site.node.inputs.len()).map(|place| body.optional(place)).collect();
    let y = body.nodes(op, inputs, &attributes, 1)[0];
    body.build(&[y])
}

/// The tensor at `place` as numbers; its scale and zero point follow it.
pub fn numbers<B: Kernels>(body: &mut Body<'_, '_, B>, place: usize) -> Result<ValueId, String> {
    let inputs = vec![Some(body.input(place)?), Some(body.input(place + 1)?), body.optional(place + 2)];
    Ok(body.nodes("DequantizeLinear", inputs, &[], 1)[0])
}

/// Numbers quantised by the scale at `place` and the zero point after it.
pub fn quantised<B: Kernels>(
    body: &mut Body<'_, '_, B>,
    y: ValueId,
    place: usize,
) -> Result<ValueId, String> {
    let inputs = vec![Some(y), Some(body.input(place)?), body.optional(place + 1)];
    Ok(body.nodes("QuantizeLinear", inputs, &[], 1)[0])
}

/// Inputs: A, its scale and zero point, B with its own, scale and zero point of the result.
pub fn binary<B: Kernels>(site: &Site<'_, B>, op: &str) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let (a, b) = (numbers(&mut body, 0)?, numbers(&mut body, 3)?);
    let y = body.node(op, &[a, b]);
    let y = quantised(&mut body, y, 6)?;
    body.build(&[y])
}

/// Inputs: X, its scale and zero point, scale and zero point of the result.
pub fn unary<B: Kernels>(site: &Site<'_, B>, op: &str) -> Result<BoxOp<B>, String> {
    with_attributes(site, op, &[])
}

fn with_attributes<B: Kernels>(
    site: &Site<'_, B>,
    op: &str,
    attributes: &[(&str, Attribute)],
) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let x = numbers(&mut body, 0)?;
    let y = body.node_with(op, &[x], attributes);
    let y = quantised(&mut body, y, 3)?;
    body.build(&[y])
}

pub fn leaky_relu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = site.node.attributes.float("alpha", 0.01)?;
    with_attributes(site, "LeakyRelu", &[("alpha", Attribute::Float(alpha))])
}

pub fn softmax<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let axis = site.node.attributes.int("axis", -1)?;
    // Which version of Softmax is meant is an attribute: before 13 all axes from `axis` on are one.
    if site.node.attributes.int("opset", 13)? < 13 && axis != -1 {
        let mut body = Body::new(site);
        let x = numbers(&mut body, 0)?;
        let shape = body.node("Shape", &[x]);
        let flat = body.node_with("Flatten", &[x], &[("axis", Attribute::Int(axis))]);
        let y = body.node_with("Softmax", &[flat], &[("axis", Attribute::Int(-1))]);
        let y = body.node("Reshape", &[y, shape]);
        let y = quantised(&mut body, y, 3)?;
        return body.build(&[y]);
    }
    with_attributes(site, "Softmax", &[("axis", Attribute::Int(axis))])
}

pub fn reduce_mean<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let axes = site.node.attributes.find_ints("axes")?.cloned();
    let keep = ("keepdims", Attribute::Int(site.node.attributes.int("keepdims", 1)?));
    let mut body = Body::new(site);
    let mut inputs = vec![numbers(&mut body, 0)?];
    if let Some(axes) = axes {
        inputs.push(body.ints(&axes)?);
    }
    let y = body.node_with("ReduceMean", &inputs, &[keep]);
    let y = quantised(&mut body, y, 3)?;
    body.build(&[y])
}

/// Runs an operator that slides a window, on a tensor of which the channels are the second axis, or the last.
fn sliding<B: Kernels>(
    body: &mut Body<'_, '_, B>,
    x: ValueId,
    last: bool,
    op: impl FnOnce(&mut Body<'_, '_, B>, ValueId) -> Result<ValueId, String>,
) -> Result<ValueId, String> {
    if !last {
        return op(body, x);
    }
    let attributes = &body.site().node.attributes;
    let kernel = attributes.find_ints("kernel_shape")?.ok_or("channels_last without kernel_shape")?;
    let axes = kernel.len() as i64;
    let transposed = |body: &mut Body<'_, '_, B>, x, order: Vec<i64>| {
        body.node_with("Transpose", &[x], &[("perm", Attribute::Ints(order))])
    };
    let x = transposed(body, x, [0, axes + 1].into_iter().chain(1..=axes).collect());
    let y = op(body, x)?;
    Ok(transposed(body, y, [0].into_iter().chain(2..=axes + 1).chain([1]).collect()))
}

/// Inputs: those of the standard's, of which X may have its channels as the last axis.
pub fn conv<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (last, attributes) = (site.node.attributes.flag("channels_last")?, standard(site));
    let mut body = Body::new(site);
    let x = body.input(0)?;
    let y = sliding(&mut body, x, last, |body, x| {
        let rest = (1..site.node.inputs.len()).map(|place| body.optional(place));
        let inputs = [Some(x)].into_iter().chain(rest).collect();
        Ok(body.nodes("QLinearConv", inputs, &attributes, 1)[0])
    })?;
    body.build(&[y])
}

/// MaxPool with the channels as the last axis.
pub fn max_pool<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = standard(site);
    let mut body = Body::new(site);
    let x = body.input(0)?;
    let y = sliding(&mut body, x, true, |body, x| Ok(body.node_with("MaxPool", &[x], &attributes)))?;
    body.build(&[y])
}

pub fn average_pool<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (last, attributes) = (site.node.attributes.flag("channels_last")?, standard(site));
    let mut body = Body::new(site);
    let x = numbers(&mut body, 0)?;
    let y = sliding(&mut body, x, last, |body, x| Ok(body.node_with("AveragePool", &[x], &attributes)))?;
    let y = quantised(&mut body, y, 3)?;
    body.build(&[y])
}

pub fn global_average_pool<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    if !site.node.attributes.flag("channels_last")? {
        return with_attributes(site, "GlobalAveragePool", &[]);
    }
    let mut body = Body::new(site);
    let x = numbers(&mut body, 0)?;
    let shape = body.node("Shape", &[x]);
    let (rank, one) = (body.node("Size", &[shape]), body.constant(host::scalar(DType::I64, Number::Int(1))?));
    let end = body.node("Sub", &[rank, one]);
    let axes = body.node("Range", &[one, end, one]);
    let y = body.node("ReduceMean", &[x, axes]);
    let y = quantised(&mut body, y, 3)?;
    body.build(&[y])
}

/// Inputs: scale and zero point of the result, then each part with its own.
pub fn concat<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let axis = ("axis", Attribute::Int(site.node.attributes.int("axis", 0)?));
    let mut body = Body::new(site);
    let places = (2..site.node.inputs.len()).step_by(3);
    let parts = places.map(|place| numbers(&mut body, place)).collect::<Result<Vec<_>, _>>()?;
    let y = body.node_with("Concat", &parts, &[axis]);
    let y = quantised(&mut body, y, 0)?;
    body.build(&[y])
}

/// Inputs: condition, X and Y with their own, scale and zero point of the result.
pub fn choose<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let (x, y) = (numbers(&mut body, 1)?, numbers(&mut body, 4)?);
    let chosen = body.node("Where", &[body.input(0)?, x, y]);
    let chosen = quantised(&mut body, chosen, 7)?;
    body.build(&[chosen])
}
