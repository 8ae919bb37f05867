//! What a fused operation applies to each output last.

use super::elementwise::{hard_swish, sigmoid, silu, tanh};
use pulp::Simd;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    None,
    Relu,
    Clip {
        min: f32,
        max: f32,
    },
    Sigmoid,
    /// x · sigmoid(x)
    Silu,
    /// x · min(max(x/6 + 1/2, 0), 1)
    HardSwish,
    /// min(max(alpha · x + beta, 0), 1)
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    /// x above zero, alpha · x below.
    LeakyRelu {
        alpha: f32,
    },
    Tanh,
}

impl Activation {
    /// To be called where the instructions of the machine are switched on already.
    #[inline(always)]
    pub(super) fn each(self, values: &mut [f32]) {
        let values = values.iter_mut();
        match self {
            Self::None => {}
            Self::Relu => values.for_each(|v| *v = v.max(0.0)),
            Self::Clip { min, max } => values.for_each(|v| *v = v.max(min).min(max)),
            Self::Sigmoid => values.for_each(|v| *v = sigmoid(*v)),
            Self::Silu => values.for_each(|v| *v = silu(*v)),
            Self::HardSwish => values.for_each(|v| *v = hard_swish(*v)),
            Self::HardSigmoid { alpha, beta } => {
                values.for_each(|v| *v = (*v * alpha + beta).clamp(0.0, 1.0));
            }
            Self::LeakyRelu { alpha } => values.for_each(|v| *v = if *v < 0.0 { *v * alpha } else { *v }),
            Self::Tanh => values.for_each(|v| *v = tanh(*v)),
        }
    }

    /// To one vector, where that takes no more than two instructions; [`Activation::is_simple`].
    #[inline(always)]
    pub(super) fn simple<S: Simd>(self, simd: S, v: S::f32s) -> S::f32s {
        match self {
            Self::Relu => simd.max_f32s(v, simd.splat_f32s(0.0)),
            Self::Clip { min, max } => {
                simd.min_f32s(simd.max_f32s(v, simd.splat_f32s(min)), simd.splat_f32s(max))
            }
            _ => v,
        }
    }

    #[inline(always)]
    pub(super) fn is_simple(self) -> bool {
        matches!(self, Self::None | Self::Relu | Self::Clip { .. })
    }
}
