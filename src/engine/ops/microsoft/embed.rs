//! EmbedLayerNormalization: the sum of word, position and segment embeddings, normalised.

use super::norm::normalised;
use crate::engine::backend::Kernels;
use crate::engine::onnx::Attribute;
use crate::engine::ops::body::Body;
use crate::engine::ops::{BoxOp, Site};

/// Inputs: ids, segment ids, word, position and segment embeddings, gamma, beta, mask, position ids.
/// Outputs: y, how many places of each row the mask opens, the sum.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let epsilon = site.node.attributes.float("epsilon", 1e-12)?;
    let mut body = Body::new(site);
    let ids = body.input(0)?;
    let words = body.node("Gather", &[body.input(2)?, ids]);
    let table = body.input(3)?;
    let places = match body.optional(8) {
        Some(places) => body.node("Gather", &[table, places]),
        None => {
            let length = body.node_with("Shape", &[ids], &[("start", Attribute::Int(1))]);
            let start = body.ints(&[0])?;
            body.node("Slice", &[table, start, length])
        }
    };
    let mut sum = body.node("Add", &[words, places]);
    if let (Some(segments), Some(table)) = (body.optional(1), body.optional(4)) {
        let segments = body.node("Gather", &[table, segments]);
        sum = body.node("Add", &[sum, segments]);
    }
    let inputs = vec![Some(sum), Some(body.input(5)?), body.optional(6)];
    let y = normalised(&mut body, "LayerNormalization", inputs, epsilon);
    // Without a mask the counts are zero.
    let mask = body.optional(7);
    let counted = match mask {
        Some(mask) => mask,
        None => body.node("Sub", &[ids, ids]),
    };
    let counted = body.node_with("Cast", &[counted], &[("to", Attribute::Int(6))]);
    let axes = body.ints(&[1])?;
    let open = body.node_with("ReduceSum", &[counted, axes], &[("keepdims", Attribute::Int(0))]);
    let sum = body.node("Identity", &[sum]);
    body.build(&[y, open, sum])
}
