//! What a fused operation applies to each output last.
//!
//! Every activation is what ONNX defines it as for what is not a number too: a NaN stays one wherever the definition
//! compares it (`x < 0 ? .. : x`), which neither the minimum nor the maximum of a processor sees to.

use super::vector::{Map, at_least, at_most, each, over, slope_below_zero};
use pulp::{Simd, WithSimd};

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
    /// x above alpha, else 0, which is what NaN becomes too.
    ThresholdedRelu {
        alpha: f32,
    },
    /// scale · x above zero, scale · alpha · (e^(x / width) - 1) below: Elu, Selu and Celu.
    Exponential {
        scale: f32,
        alpha: f32,
        width: f32,
    },
    Tanh,
}

impl Activation {
    /// Applies the function to a slice. To be called where the instructions of the machine are switched on already, for
    /// those that are not simple.
    #[inline(always)]
    pub(super) fn each<S: Simd>(self, simd: S, values: &mut [f32]) {
        let map = match self {
            Self::Sigmoid => Map::Sigmoid,
            Self::Silu => Map::Silu,
            Self::Tanh => Map::Tanh,
            Self::Exponential { scale, alpha, width } => {
                return over(
                    simd,
                    values,
                    #[inline(always)]
                    |x| slope_below_zero(simd, x, [scale, alpha, width]),
                );
            }
            // Those that are: for whoever does not ask.
            _ => {
                return over(
                    simd,
                    values,
                    #[inline(always)]
                    |x| self.simple(simd, x),
                );
            }
        };
        each(simd, map, values);
    }

    /// Applies the function to one vector, where that takes no more than a few instructions; [`Activation::is_simple`].
    #[inline(always)]
    pub(super) fn simple<S: Simd>(self, simd: S, v: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        match self {
            Self::Relu => at_least(simd, v, zero),
            Self::Clip { min, max } => {
                at_most(simd, at_least(simd, v, simd.splat_f32s(min)), simd.splat_f32s(max))
            }
            Self::HardSwish => {
                let line = simd.mul_add_e_f32s(v, simd.splat_f32s(1.0 / 6.0), simd.splat_f32s(0.5));
                simd.mul_f32s(v, at_most(simd, at_least(simd, line, zero), one))
            }
            Self::HardSigmoid { alpha, beta } => {
                let line = simd.mul_add_e_f32s(v, simd.splat_f32s(alpha), simd.splat_f32s(beta));
                at_most(simd, at_least(simd, line, zero), one)
            }
            Self::LeakyRelu { alpha } => {
                let below = simd.mul_f32s(v, simd.splat_f32s(alpha));
                simd.select_f32s(simd.less_than_f32s(v, zero), below, v)
            }
            Self::ThresholdedRelu { alpha } => {
                simd.select_f32s(simd.less_than_f32s(simd.splat_f32s(alpha), v), v, zero)
            }
            Self::None | Self::Sigmoid | Self::Silu | Self::Tanh | Self::Exponential { .. } => v,
        }
    }

    #[inline(always)]
    pub(super) fn is_simple(self) -> bool {
        !matches!(self, Self::Sigmoid | Self::Silu | Self::Tanh | Self::Exponential { .. })
    }
}

/// An activation of values, as a call of its own.
pub(super) struct Applied<'a> {
    pub activation: Activation,
    pub values: &'a mut [f32],
}

impl WithSimd for Applied<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.activation.each(simd, self.values);
    }
}
