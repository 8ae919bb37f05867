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

pub use mask::INNER;

use super::Registry;
use crate::engine::backend::Accelerator;
use crate::engine::kernels::elementwise::Map;

const DOMAIN: &str = "com.microsoft";

pub fn register<B: Accelerator>(r: &mut Registry<B>) {
    let mut op = |name, build| r.domain_op(DOMAIN, name, build);
    op("Gelu", |_| super::activation::map(Map::Gelu));
    op("QuickGelu", activation::quick_gelu);
    op("FastGelu", activation::fast_gelu);
    op("BiasGelu", activation::bias_gelu);
    op("BiasSoftmax", activation::bias_softmax);
    op("BiasAdd", activation::bias_add);
    op("BiasSplitGelu", activation::bias_split_gelu);
    op("FusedMatMul", product::fused_matmul);
    op("TransposeMatMul", product::fused_matmul);
    op("FusedGemm", product::fused_gemm);
    op("FusedMatMulActivation", product::fused_matmul_activation);
    op("GemmFastGelu", product::gemm_fast_gelu);
    op("SkipLayerNormalization", norm::skip_layer);
    op("SkipSimplifiedLayerNormalization", norm::skip_rms);
    op("EmbedLayerNormalization", embed::build);
    op("Attention", attention::packed);
    op("MultiHeadAttention", attention::multi_head);
    op("QuantizeLinear", |site| qlinear::alias(site, "QuantizeLinear"));
    op("DequantizeLinear", |site| qlinear::alias(site, "DequantizeLinear"));
    op("QLinearAdd", add::build);
    op("QLinearMul", |site| qlinear::binary(site, "Mul"));
    op("QLinearSigmoid", |site| qlinear::unary(site, "Sigmoid"));
    op("QLinearLeakyRelu", qlinear::leaky_relu);
    op("QLinearSoftmax", qlinear::softmax);
    op("QLinearConv", qlinear::conv);
    op("NhwcMaxPool", qlinear::max_pool);
    op("QLinearAveragePool", qlinear::average_pool);
    op("QLinearGlobalAveragePool", qlinear::global_average_pool);
    op("QLinearReduceMean", qlinear::reduce_mean);
    op("QLinearConcat", qlinear::concat);
    op("QLinearWhere", qlinear::choose);
    op("QGemm", integer::gemm);
    op("MatMulIntegerToFloat", integer::matmul_to_float);
    op("DynamicQuantizeMatMul", integer::dynamic_matmul);
    op("DynamicQuantizeLSTM", integer::lstm);
    // ONNX Runtime's optimiser writes these two into the standard domain.
    r.op("SimplifiedLayerNormalization", 1, norm::rms);
    r.domain_op(DOMAIN, "SimplifiedLayerNormalization", norm::rms);
    r.domain_op(DOMAIN, "LayerNormalization", norm::layer);
    r.domain_op(mask::INNER, mask::NAME, mask::build);
}
