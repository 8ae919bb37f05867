//! Layer and RMS normalisation of a sum: x + skip + bias.

use crate::engine::backend::Kernels;
use crate::engine::onnx::{Attribute, ValueId};
use crate::engine::ops::body::Body;
use crate::engine::ops::{BoxOp, Site};

/// Inputs X, scale. What the standard calls RMSNormalization.
pub fn rms<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    crate::engine::ops::nn::rms(site)
}

pub fn layer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    crate::engine::ops::nn::layer(site)
}

/// Inputs: x, skip, gamma, beta, bias. Outputs: y, mean and deviation (never given), the sum.
pub fn skip_layer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    skip(site, "LayerNormalization", 3)
}

/// Inputs: x, skip, gamma, bias.
pub fn skip_rms<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    skip(site, "SimplifiedLayerNormalization", 2)
}

fn skip<B: Kernels>(site: &Site<'_, B>, op: &str, scales: usize) -> Result<BoxOp<B>, String> {
    if site.has_output(1) || site.has_output(2) {
        return Err("mean and deviation as outputs are not supported".into());
    }
    let epsilon = site.node.attributes.float("epsilon", 1e-12)?;
    let mut body = Body::new(site);
    let sum = body.node("Add", &[body.input(0)?, body.input(1)?]);
    let sum = body.plus(sum, body.optional(2 + scales - 1));
    let mut inputs = vec![Some(sum), Some(body.input(2)?)];
    if scales == 3 {
        inputs.push(body.optional(3));
    }
    let y = normalised(&mut body, op, inputs, epsilon);
    let sum = body.node("Identity", &[sum]);
    // The two between are never read, as was checked.
    body.build(&[y, y, y, sum])
}

pub fn normalised<B: Kernels>(
    body: &mut Body<'_, '_, B>,
    op: &str,
    inputs: Vec<Option<ValueId>>,
    epsilon: f32,
) -> ValueId {
    let attributes = [("epsilon", Attribute::Float(epsilon)), ("axis", Attribute::Int(-1))];
    body.nodes(op, inputs, &attributes, 1)[0]
}
