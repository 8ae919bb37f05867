//! Convolutions, pooling, normalisation and products.

mod attention;
mod batch_norm;
pub mod conv;
mod conv_transpose;
mod einsum;
pub mod fused_attention;
pub mod linear;
mod linear_attention;
mod local;
mod matmul;
mod norm;
mod pieces;
mod pool;
mod rotary;
mod state_conv;
mod unpool;
pub mod window;

pub use attention::repeat_heads;
pub use matmul::product;
pub use norm::{layer, rms};

use super::{Registry, inner};
use crate::engine::backend::Kernels;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("Conv", 1, conv::build);
    r.domain_op("com.microsoft", "FusedConv", conv::fused);
    r.op("ConvTranspose", 1, conv_transpose::build);
    r.op("MaxPool", 1, |site| pool::build(site, pool::Kind::Max));
    r.op("AveragePool", 1, |site| pool::build(site, pool::Kind::Average));
    r.op("GlobalAveragePool", 1, |_| pool::global(pool::Kind::Average));
    r.op("GlobalMaxPool", 1, |_| pool::global(pool::Kind::Max));
    r.op("BatchNormalization", 7, batch_norm::build);
    r.op("InstanceNormalization", 6, norm::instance);
    // ONNX Runtime writes it into models of any opset.
    r.op("LayerNormalization", 1, norm::layer);
    r.op("GroupNormalization", 18, norm::group);
    r.op("RMSNormalization", 23, norm::rms);
    r.op("MatMul", 1, |_| matmul::matmul());
    r.op("Attention", 23, attention::build);
    r.domain_op(inner::DOMAIN, inner::ATTEND, fused_attention::build);
    r.domain_op(inner::DOMAIN, inner::LINEAR, linear::build);
    r.op("RotaryEmbedding", 23, rotary::build);
    r.op("Einsum", 12, einsum::build);
    r.op("Gemm", 7, matmul::gemm);
    r.op("LRN", 1, local::response);
    r.op("LpNormalization", 1, local::lp);
    r.op("MeanVarianceNormalization", 9, local::mean_variance);
    r.op("LpPool", 2, pool::lp);
    r.op("GlobalLpPool", 2, pool::global_lp);
    r.op("MaxUnpool", 9, unpool::max_unpool);
    r.op("CausalConvWithState", 27, state_conv::build);
    r.op("LinearAttention", 27, linear_attention::build);
}
