//! Activations with a bias, and approximations of Gelu.

use crate::engine::backend::Kernels;
use crate::engine::onnx::Attribute;
use crate::engine::ops::body::Body;
use crate::engine::ops::{BoxOp, Site};

/// x · sigmoid(alpha · x)
pub fn quick_gelu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    // The attribute has a default that the standard's Swish does not share.
    let alpha = site.node.attributes.float("alpha", 1.702)?;
    let mut body = Body::new(site);
    let x = body.input(0)?;
    if alpha == 1.0 {
        let gate = body.node("Sigmoid", &[x]);
        let y = body.node("Mul", &[x, gate]);
        return body.build(&[y]);
    }
    let alpha = body.float(alpha.into())?;
    let scaled = body.node("Mul", &[x, alpha]);
    let gate = body.node("Sigmoid", &[scaled]);
    let y = body.node("Mul", &[x, gate]);
    body.build(&[y])
}

/// Gelu by tanh of x + bias.
pub fn fast_gelu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let sum = body.input(0)?;
    let sum = body.plus(sum, body.optional(1));
    let y = body.node_with("Gelu", &[sum], &[("approximate", Attribute::Text("tanh".into()))]);
    body.build(&[y])
}

pub fn bias_gelu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let sum = body.node("Add", &[body.input(0)?, body.input(1)?]);
    let y = body.node("Gelu", &[sum]);
    body.build(&[y])
}

/// Softmax(x + bias) over the axes from `axis` on, as the standard had it before opset 13.
pub fn bias_softmax<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let axis = site.node.attributes.int("axis", 1)?;
    if site.node.attributes.flag("is_inner_broadcast")? {
        return Err("is_inner_broadcast is not supported".into());
    }
    let mut body = Body::new(site);
    let sum = body.node("Add", &[body.input(0)?, body.input(1)?]);
    let shape = body.node("Shape", &[sum]);
    let kept = body.node_with("Shape", &[sum], &[("end", Attribute::Int(axis))]);
    let rest = body.ints(&[-1])?;
    let flat = body.node_with("Concat", &[kept, rest], &[("axis", Attribute::Int(0))]);
    let flat = body.node("Reshape", &[sum, flat]);
    let y = body.node_with("Softmax", &[flat], &[("axis", Attribute::Int(-1))]);
    let y = body.node("Reshape", &[y, shape]);
    body.build(&[y])
}

/// x + bias + skip
pub fn bias_add<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let sum = body.node("Add", &[body.input(0)?, body.input(1)?]);
    let y = body.node("Add", &[sum, body.input(2)?]);
    body.build(&[y])
}

/// The first half of x + bias, times the Gelu of the second.
pub fn bias_split_gelu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let sum = body.node("Add", &[body.input(0)?, body.input(1)?]);
    let attributes = [("axis", Attribute::Int(-1)), ("num_outputs", Attribute::Int(2))];
    let halves = body.nodes("Split", vec![Some(sum)], &attributes, 2);
    let gate = body.node("Gelu", &[halves[1]]);
    let y = body.node("Mul", &[halves[0], gate]);
    body.build(&[y])
}
