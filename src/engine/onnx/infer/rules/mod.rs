//! What each operator makes of the lengths of its inputs: a function an operator or a tight group of them.
//!
//! A rule is a refinement: where an operator has none, or a rule gives up, nothing is known of what it gives. A rule
//! says `Err` only of what could not run whatever the inputs' symbols stand for.

mod control;
mod elementwise;
mod layout;
mod learning;
mod make;
mod pick;
mod product;
mod recurrent;
mod reduce;
mod sequence;
mod typed;
mod window;

use super::Walk;
use super::dim::Dim;
use super::fact::Fact;
use crate::engine::onnx::{Attribute, Node, ValueId, element};
use crate::tensor::{DType, Tensor};
use std::collections::HashMap;

/// What is known of the outputs of a node; fewer than it has where nothing is known of the last ones.
pub type Ruled = Result<Vec<Fact>, String>;
pub type Rule = fn(&mut Call<'_, '_>) -> Ruled;

/// A node whose outputs are being inferred.
pub struct Call<'a, 'w> {
    pub node: &'a Node,
    /// What is known of its inputs, with nothing known of one that is left out.
    pub inputs: &'a [Fact],
    /// The constants of the graph.
    pub constants: &'a HashMap<ValueId, Tensor>,
    pub walk: &'a mut Walk<'w>,
}

impl Call<'_, '_> {
    /// Says that the node's types do not go together, whatever their lengths are.
    pub fn mistyped(&mut self, why: String) {
        super::add(self.walk.mistyped, self.node, why);
    }

    pub fn fact(&self, input: usize) -> Fact {
        self.inputs.get(input).cloned().unwrap_or_default()
    }

    pub fn dims(&self, input: usize) -> Option<Vec<Dim>> {
        self.inputs.get(input)?.dims.clone()
    }

    pub fn has(&self, input: usize) -> bool {
        self.node.input(input).is_some()
    }

    pub fn constant(&self, input: usize) -> Option<&Tensor> {
        self.constants.get(&self.node.input(input)?)
    }

    /// The elements of a list of integers, where all are known.
    pub fn integers(&self, input: usize) -> Option<Vec<i64>> {
        let known = self.inputs.get(input)?.integers();
        known.or_else(|| super::fact::integers(self.constant(input)?))
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.node.attributes.int(name, default).unwrap_or(default)
    }

    /// The element type that an attribute names by its code.
    pub fn dtype_named(&self, name: &str, default: i64) -> Option<DType> {
        element::dtype(i32::try_from(self.int(name, default)).ok()?)
    }

    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.node.attributes.find_ints(name).ok()?.cloned()
    }

    pub fn text(&self, name: &str) -> &str {
        self.node.attributes.text(name, "").unwrap_or_default()
    }

    /// A list that newer versions of an operator take as an input and older ones as an attribute: `None` where it is
    /// left out, and within that where its elements are not known.
    pub fn ints_at(&self, name: &str, input: usize) -> Option<Option<Vec<i64>>> {
        match self.node.attributes.get(name) {
            Some(Attribute::Ints(ints)) => Some(Some(ints.clone())),
            Some(_) => Some(None),
            None => self.has(input).then(|| self.integers(input)),
        }
    }

    /// The length that two axes have which must be equal; an error where they certainly are not.
    pub fn equal(&mut self, a: &Dim, b: &Dim) -> Result<Dim, String> {
        if a.differs(b) {
            return Err(format!("lengths of {} and {} do not go together", self.show(a), self.show(b)));
        }
        if a == b {
            return Ok(a.clone());
        }
        Ok(match (a, b) {
            (Dim::Fixed(_), _) | (_, Dim::Unknown) => a.clone(),
            _ => b.clone(),
        })
    }

    /// The shape that values broadcast to.
    pub fn broadcast(&mut self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
        let rank = a.len().max(b.len());
        let at = |dims: &[Dim], axis: usize| {
            (axis + dims.len()).checked_sub(rank).map_or(Dim::Fixed(1), |axis| dims[axis].clone())
        };
        (0..rank)
            .map(|axis| match (at(a, axis), at(b, axis)) {
                (x, y) if x == y => Ok(x),
                (Dim::Fixed(1), y) => Ok(y),
                (x, Dim::Fixed(1)) => Ok(x),
                (Dim::Fixed(x), Dim::Fixed(y)) => {
                    Err(format!("lengths of {x} and {y} along axis {axis} do not broadcast"))
                }
                // The other is as long as this one, or 1.
                (fixed @ Dim::Fixed(_), _) | (_, fixed @ Dim::Fixed(_)) => Ok(fixed),
                (x, y) => Ok(self.walk.symbols.derived("broadcast", &[x, y])),
            })
            .collect()
    }

    fn show(&self, dim: &Dim) -> String {
        self.walk.symbols.show(dim)
    }
}

/// An axis that may count from the end, as an index.
pub fn index(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

/// The rule of an operator, where there is one.
pub fn find(node: &Node) -> Option<Rule> {
    let op = node.op.as_str();
    match node.domain.as_str() {
        "" => standard(op),
        "ai.onnx.ml" => learning::find(op),
        "com.microsoft" => microsoft(op),
        _ => None,
    }
}

fn standard(op: &str) -> Option<Rule> {
    Some(match op {
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Min" | "Max" | "Mean" | "Sum" | "BitShift"
        | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "And" | "Or" | "Xor" | "Equal" | "Less" | "Greater"
        | "LessOrEqual" | "GreaterOrEqual" | "PRelu" | "StringConcat" => elementwise::broadcast,
        "Where" => elementwise::choose,
        "Cast" | "Identity" => elementwise::cast,
        "CastLike" => elementwise::cast_like,
        "BitCast" => elementwise::bit_cast,
        "Abs"
        | "Acos"
        | "Acosh"
        | "Asin"
        | "Asinh"
        | "Atan"
        | "Atanh"
        | "BitwiseNot"
        | "Ceil"
        | "Celu"
        | "Clip"
        | "Cos"
        | "Cosh"
        | "Elu"
        | "Erf"
        | "Exp"
        | "Floor"
        | "Gelu"
        | "HardSigmoid"
        | "HardSwish"
        | "IsInf"
        | "IsNaN"
        | "LeakyRelu"
        | "Log"
        | "Mish"
        | "Neg"
        | "Not"
        | "Reciprocal"
        | "Relu"
        | "Round"
        | "Selu"
        | "Shrink"
        | "Sigmoid"
        | "Sign"
        | "Sin"
        | "Sinh"
        | "Softplus"
        | "Softsign"
        | "Sqrt"
        | "Swish"
        | "Tan"
        | "Tanh"
        | "ThresholdedRelu"
        | "Softmax"
        | "LogSoftmax"
        | "Hardmax"
        | "CumSum"
        | "CumProd"
        | "LpNormalization"
        | "LRN"
        | "MeanVarianceNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "RMSNormalization"
        | "Trilu"
        | "ReverseSequence"
        | "ScatterElements"
        | "ScatterND"
        | "Scatter"
        | "TensorScatter"
        | "RegexFullMatch"
        | "RotaryEmbedding" => elementwise::same,
        "EyeLike" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" => typed::like,
        "QuantizeLinear" => typed::quantized,
        "DequantizeLinear" => typed::dequantized,
        "MelWeightMatrix" => typed::mel,
        "LayerNormalization" => elementwise::layer_norm,
        "BatchNormalization" => elementwise::batch_norm,
        "Dropout" => elementwise::dropout,
        "DynamicQuantizeLinear" => elementwise::dynamic_quantize,
        "Reshape" => layout::reshape,
        "Flatten" => layout::flatten,
        "Transpose" => layout::transpose,
        "Squeeze" => layout::squeeze,
        "Unsqueeze" => layout::unsqueeze,
        "Expand" => layout::expand,
        "Tile" => layout::tile,
        "Concat" => layout::concat,
        "Split" => layout::split,
        "Pad" => layout::pad,
        "DepthToSpace" => layout::depth_to_space,
        "SpaceToDepth" => layout::space_to_depth,
        "Shape" => layout::shape,
        "Size" => layout::size,
        "Slice" => pick::slice,
        "Gather" => pick::gather,
        "GatherElements" => pick::gather_elements,
        "GatherND" => pick::gather_nd,
        "Compress" => pick::compress,
        "NonZero" => pick::non_zero,
        "NonMaxSuppression" => pick::suppress,
        "Unique" => pick::unique,
        "TopK" => pick::top_k,
        "OneHot" => pick::one_hot,
        "ArgMax" | "ArgMin" => reduce::arg,
        _ if op.starts_with("Reduce") => reduce::reduce,
        "Constant" => make::constant,
        "ConstantOfShape" => make::of_shape,
        "Range" => make::range,
        "RandomNormal" | "RandomUniform" => make::random,
        "BlackmanWindow" | "HammingWindow" | "HannWindow" => make::window,
        "Multinomial" => make::multinomial,
        "MatMul" | "MatMulInteger" => product::mat_mul,
        "QLinearMatMul" => product::quantized,
        "Gemm" => product::gemm,
        "Einsum" => product::einsum,
        "Attention" => product::attention,
        "Det" => product::determinant,
        "Conv" | "ConvInteger" => window::conv,
        "QLinearConv" => window::quantized_conv,
        "DeformConv" => window::deform_conv,
        "ConvTranspose" => window::conv_transpose,
        "MaxPool" | "AveragePool" | "LpPool" => window::pool,
        "GlobalMaxPool" | "GlobalAveragePool" | "GlobalLpPool" => window::global_pool,
        "Resize" | "Upsample" => window::resize,
        "GridSample" => window::grid_sample,
        "AffineGrid" => window::affine_grid,
        "RoiAlign" => window::roi_align,
        "LSTM" | "GRU" | "RNN" => recurrent::layer,
        "If" => control::branch,
        "Loop" => control::repeat,
        "Scan" => control::scan,
        _ if sequence::find(op).is_some() => return sequence::find(op),
        "StringNormalizer" => make::normalized_strings,
        "StringSplit" => make::split_strings,
        "TfIdfVectorizer" => make::ngrams,
        _ => return None,
    })
}

fn microsoft(op: &str) -> Option<Rule> {
    Some(match op {
        "QuantizeLinear" => typed::quantized,
        "QGemm" => typed::quantized_gemm,
        "Gelu" | "FastGelu" | "BiasGelu" | "QuickGelu" | "BiasSoftmax" | "DequantizeLinear"
        | "QLinearLeakyRelu" | "QLinearSigmoid" | "QLinearSoftmax" | "BiasAdd" => elementwise::same,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => elementwise::skip_norm,
        "FusedMatMul" | "TransposeMatMul" => product::fused_mat_mul,
        "FusedGemm" | "GemmFastGelu" => product::gemm,
        "FusedConv" => window::conv,
        "QLinearConv" => window::quantized_conv,
        "QLinearAdd" | "QLinearMul" => elementwise::quantized_pair,
        "DynamicQuantizeMatMul" => product::mat_mul,
        "DynamicQuantizeLSTM" => recurrent::layer,
        "EmbedLayerNormalization" => product::embed,
        "Attention" => product::fused_attention,
        "Tokenizer" => make::tokens,
        _ => return None,
    })
}
