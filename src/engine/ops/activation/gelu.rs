//! Gelu, exact or by tanh.

use super::smooth;
use crate::engine::backend::Kernels;
use crate::engine::kernels::elementwise::Map;
use crate::engine::ops::{BoxOp, Site};
use burn::tensor::ops::FloatTensor;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    match site.node.attributes.text("approximate", "none")? {
        "none" => smooth::map(Map::Gelu),
        "tanh" => smooth::build(by_tanh::<B>),
        other => Err(format!("approximate is {other:?}, not \"none\" or \"tanh\"")),
    }
}

/// x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))
fn by_tanh<B: Kernels>(x: FloatTensor<B>) -> FloatTensor<B> {
    let cube = B::float_mul(B::float_mul(x.clone(), x.clone()), x.clone());
    let inner = B::float_add(x.clone(), B::float_mul_scalar(cube, 0.044715.into()));
    let inner = B::float_mul_scalar(inner, (2.0 / std::f64::consts::PI).sqrt().into());
    // Halved first: the double of a large number is infinite.
    let outer = B::float_mul_scalar(B::float_add_scalar(B::float_tanh(inner), 1.0.into()), 0.5.into());
    B::float_mul(outer, x)
}
