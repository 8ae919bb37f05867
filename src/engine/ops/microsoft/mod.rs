//! `com.microsoft`: what ONNX Runtime's optimiser and quantiser write into the models that they save.

mod activation;
mod add;
mod attention;
mod embed;
mod integer;
mod mask;
mod norm;
mod product;
mod qlinear;

use super::{Registry, inner};
use crate::engine::backend::Kernels;
use crate::engine::kernels::elementwise::Map;

const DOMAIN: &str = "com.microsoft";

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.domain_op(DOMAIN, "Gelu", |_| super::activation::map(Map::Gelu)).elementwise().finite();
    r.domain_op(DOMAIN, "QuickGelu", activation::quick_gelu).elementwise();
    r.domain_op(DOMAIN, "FastGelu", activation::fast_gelu).elementwise();
    r.domain_op(DOMAIN, "BiasGelu", activation::bias_gelu);
    r.domain_op(DOMAIN, "BiasSoftmax", activation::bias_softmax);
    r.domain_op(DOMAIN, "BiasAdd", activation::bias_add);
    r.domain_op(DOMAIN, "BiasSplitGelu", activation::bias_split_gelu);
    r.domain_op(DOMAIN, "FusedMatMul", product::fused_matmul);
    r.domain_op(DOMAIN, "TransposeMatMul", product::fused_matmul);
    r.domain_op(DOMAIN, "FusedGemm", product::fused_gemm);
    r.domain_op(DOMAIN, "FusedMatMulActivation", product::fused_matmul_activation);
    r.domain_op(DOMAIN, "GemmFastGelu", product::gemm_fast_gelu);
    r.domain_op(DOMAIN, "SkipLayerNormalization", norm::skip_layer);
    r.domain_op(DOMAIN, "SkipSimplifiedLayerNormalization", norm::skip_rms);
    r.domain_op(DOMAIN, "EmbedLayerNormalization", embed::build);
    r.domain_op(DOMAIN, "Attention", attention::packed);
    r.domain_op(DOMAIN, "MultiHeadAttention", attention::multi_head);
    r.domain_op(DOMAIN, "QuantizeLinear", |site| qlinear::alias(site, "QuantizeLinear")).elementwise();
    r.domain_op(DOMAIN, "DequantizeLinear", |site| qlinear::alias(site, "DequantizeLinear")).elementwise();
    r.domain_op(DOMAIN, "QLinearAdd", add::build);
    r.domain_op(DOMAIN, "QLinearMul", |site| qlinear::binary(site, "Mul"));
    r.domain_op(DOMAIN, "QLinearSigmoid", |site| qlinear::unary(site, "Sigmoid"));
    r.domain_op(DOMAIN, "QLinearLeakyRelu", qlinear::leaky_relu);
    r.domain_op(DOMAIN, "QLinearSoftmax", qlinear::softmax);
    r.domain_op(DOMAIN, "QLinearConv", qlinear::conv);
    r.domain_op(DOMAIN, "NhwcMaxPool", qlinear::max_pool);
    r.domain_op(DOMAIN, "QLinearAveragePool", qlinear::average_pool);
    r.domain_op(DOMAIN, "QLinearGlobalAveragePool", qlinear::global_average_pool);
    r.domain_op(DOMAIN, "QLinearReduceMean", qlinear::reduce_mean);
    r.domain_op(DOMAIN, "QLinearConcat", qlinear::concat);
    r.domain_op(DOMAIN, "QLinearWhere", qlinear::choose);
    r.domain_op(DOMAIN, "QGemm", integer::gemm);
    r.domain_op(DOMAIN, "MatMulIntegerToFloat", integer::matmul_to_float);
    r.domain_op(DOMAIN, "DynamicQuantizeMatMul", integer::dynamic_matmul);
    r.domain_op(DOMAIN, "DynamicQuantizeLSTM", integer::lstm);
    // ONNX Runtime's optimiser writes these two into the standard domain.
    r.op("SimplifiedLayerNormalization", 1, norm::rms);
    r.domain_op(DOMAIN, "SimplifiedLayerNormalization", norm::rms);
    r.domain_op(DOMAIN, "LayerNormalization", norm::layer);
    r.domain_op(inner::DOMAIN, inner::ATTENTION_MASK, mask::build);
}
