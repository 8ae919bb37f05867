//! Products of 8-bit matrices.
//!
//! Elements less their zero points are integers of nine bits, which float32 holds and multiplies exactly; a
//! sum of their products is exact to 2^24, and beyond that as near as float32 is.

use super::qlinear::quantised;
use crate::engine::backend::Kernels;
use crate::engine::onnx::{Attribute, ValueId};
use crate::engine::ops::body::Body;
use crate::engine::ops::{BoxOp, Site};

fn float<B: Kernels>(body: &mut Body<'_, '_, B>, x: ValueId) -> ValueId {
    body.node_with("Cast", &[x], &[("to", Attribute::Int(1))])
}

/// x less its zero point, in float32.
fn centred<B: Kernels>(body: &mut Body<'_, '_, B>, x: ValueId, zero: Option<ValueId>) -> ValueId {
    let x = float(body, x);
    match zero {
        Some(zero) => {
            let zero = float(body, zero);
            body.node("Sub", &[x, zero])
        }
        None => x,
    }
}

/// Inputs: A, B, their scales, their zero points, bias.
pub fn matmul_to_float<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let (a, b) = (body.input(0)?, body.input(1)?);
    let (a_zero, b_zero) = (body.optional(4), body.optional(5));
    let (a, b) = (centred(&mut body, a, a_zero), centred(&mut body, b, b_zero));
    let y = body.node("MatMul", &[a, b]);
    let scale = body.node("Mul", &[body.input(2)?, body.input(3)?]);
    let y = body.node("Mul", &[y, scale]);
    let y = body.plus(y, body.optional(6));
    body.build(&[y])
}

/// Inputs: A in float32, B, the scale and zero point of B, bias.
pub fn dynamic_matmul<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let mut body = Body::new(site);
    let quantised = body.nodes("DynamicQuantizeLinear", vec![Some(body.input(0)?)], &[], 3);
    let (b, b_zero) = (body.input(1)?, body.optional(3));
    let (a, b) = (centred(&mut body, quantised[0], Some(quantised[2])), centred(&mut body, b, b_zero));
    let y = body.node("MatMul", &[a, b]);
    let scale = body.node("Mul", &[quantised[1], body.input(2)?]);
    let y = body.node("Mul", &[y, scale]);
    let y = body.plus(y, body.optional(4));
    body.build(&[y])
}

/// Inputs: A, its scale and zero point, B with its own, C (of the scale of the product), scale and zero
/// point of the result. Without these the result is float32.
pub fn gemm<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let alpha = f64::from(attributes.float("alpha", 1.0)?);
    let (flip_a, flip_b) = (attributes.flag("transA")?, attributes.flag("transB")?);
    let (to_float, columns) = (!site.has_input(7), site.has_input(5));
    let mut body = Body::new(site);
    let (a, a_zero) = (body.input(0)?, body.optional(2));
    let a = centred(&mut body, a, a_zero);
    let a = if flip_a { body.node("Transpose", &[a]) } else { a };
    let b = float_weight(&mut body, flip_b, columns)?;
    let mut y = body.node("MatMul", &[a, b]);
    let mut scale = body.node("Mul", &[body.input(1)?, body.input(4)?]);
    if let Some(c) = body.optional(6) {
        let c = float(&mut body, c);
        y = body.node("Add", &[y, c]);
    }
    if alpha != 1.0 {
        let alpha = body.float(alpha)?;
        scale = body.node("Mul", &[scale, alpha]);
    }
    y = body.node("Mul", &[y, scale]);
    if !to_float {
        y = quantised(&mut body, y, 7)?;
    }
    body.build(&[y])
}

/// B as `[inner, columns]`, so that zero points of columns line up with the last axis.
fn float_weight<B: Kernels>(body: &mut Body<'_, '_, B>, flip: bool, zero: bool) -> Result<ValueId, String> {
    let b = body.input(3)?;
    let b = if flip { body.node("Transpose", &[b]) } else { b };
    let zero = if zero { body.optional(5) } else { None };
    Ok(centred(body, b, zero))
}

/// An LSTM with weights of 8 bits, `[directions, input, 4 · hidden]` and `[directions, hidden, 4 · hidden]`.
///
/// Inputs: X, W, R, B, lengths, first hidden and cell state, P, the scale and zero point of W, those of R;
/// scales are for each direction, or each of its columns. The weights become numbers when the model is
/// loaded, and the inputs are not quantised.
pub fn lstm<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes: Vec<(&str, Attribute)> =
        site.node.attributes.0.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let outputs = site.node.outputs.len().clamp(1, 3);
    let mut body = Body::new(site);
    let mut weight = |place: usize, scale: usize| -> Result<ValueId, String> {
        let aligned = body.ints(&[0, 1, -1])?;
        let x = body.input(place)?;
        let zero = body.optional(scale + 1).map(|zero| body.node("Reshape", &[zero, aligned]));
        let x = centred(&mut body, x, zero);
        let scale = body.input(scale)?;
        let scale = body.node("Reshape", &[scale, aligned]);
        let x = body.node("Mul", &[x, scale]);
        Ok(body.node_with("Transpose", &[x], &[("perm", Attribute::Ints(vec![0, 2, 1]))]))
    };
    let (w, r) = (weight(1, 8)?, weight(2, 10)?);
    let mut inputs = vec![Some(body.input(0)?), Some(w), Some(r)];
    inputs.extend((3..8).map(|place| body.optional(place)));
    let given = body.nodes("LSTM", inputs, &attributes, outputs);
    body.build(&given)
}
