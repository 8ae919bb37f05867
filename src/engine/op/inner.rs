//! Operators that only the optimiser and bodies write: their domain and names.
//!
//! No model should hold them; a file that names them is held to the same checks as any other.

use crate::engine::kernels::elementwise::Map;

pub const DOMAIN: &str = "rserve";

/// The mask of `com.microsoft` attention as what is added to the scores.
pub const ATTENTION_MASK: &str = "AttentionMask";
/// softmax(q · k · scale + mask) · v.
pub const ATTEND: &str = "Attend";
/// A product with constant weights, and what follows it.
pub const LINEAR: &str = "Linear";

/// The activations of [`LINEAR`] by the name that the attribute `activation` has.
pub const LINEAR_ACTIVATIONS: [(&str, Map); 6] = [
    ("Sigmoid", Map::Sigmoid),
    ("Swish", Map::Silu),
    ("Gelu", Map::Gelu),
    ("HardSwish", Map::HardSwish),
    ("Tanh", Map::Tanh),
    ("Erf", Map::Erf),
];

/// Operators on tensors whose channels lie in blocks.
pub mod blocked {
    pub const CONV: &str = "BlockedConv";
    pub const MAX_POOL: &str = "BlockedMaxPool";
    pub const AVERAGE_POOL: &str = "BlockedAveragePool";
    pub const GLOBAL_AVERAGE_POOL: &str = "BlockedGlobalAveragePool";
    pub const MUL: &str = "BlockedMul";
    /// Attribute `channels`: a list, one for each input.
    pub const CONCAT: &str = "BlockedConcat";
    pub const CONV_TRANSPOSE: &str = "BlockedConvTranspose";
    /// Attributes `op`, `opset` and `channels`.
    pub const RESIZE: &str = "BlockedResize";
    /// The shape as it would be in planes; attribute `channels`.
    pub const SHAPE: &str = "BlockedShape";
    /// `[batch, channels, height, width]` into blocks; attribute `channels`.
    pub const BLOCKED: &str = "Blocked";
    /// Blocks back into `[batch, channels, height, width]`.
    pub const PLANES: &str = "Planes";
    /// The channels of each position become pixels of larger planes; attributes `channels` (of the result) and `sides`.
    pub const SPACE: &str = "Space";
}
