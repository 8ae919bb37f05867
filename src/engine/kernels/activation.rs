//! What a fused operation applies to each output last.

use super::elementwise::Map;
use super::vector::each;
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
    Tanh,
}

impl Activation {
    /// To be called where the instructions of the machine are switched on already, for those that are not simple.
    #[inline(always)]
    pub(super) fn each<S: Simd>(self, simd: S, values: &mut [f32]) {
        let map = match self {
            Self::Sigmoid => Map::Sigmoid,
            Self::Silu => Map::Silu,
            Self::Tanh => Map::Tanh,
            _ => {
                // Those that are: for whoever does not ask.
                let (vectors, rest) = S::as_mut_simd_f32s(values);
                vectors.iter_mut().for_each(|v| *v = self.simple(simd, *v));
                if !rest.is_empty() {
                    let y = self.simple(simd, simd.partial_load_f32s(rest));
                    simd.partial_store_f32s(rest, y);
                }
                return;
            }
        };
        each(simd, map, values);
    }

    /// To one vector, where that takes no more than a few instructions; [`Activation::is_simple`].
    #[inline(always)]
    pub(super) fn simple<S: Simd>(self, simd: S, v: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        match self {
            Self::Relu => simd.max_f32s(v, zero),
            Self::Clip { min, max } => {
                simd.min_f32s(simd.max_f32s(v, simd.splat_f32s(min)), simd.splat_f32s(max))
            }
            Self::HardSwish => {
                let line = simd.mul_add_e_f32s(v, simd.splat_f32s(1.0 / 6.0), simd.splat_f32s(0.5));
                simd.mul_f32s(v, simd.min_f32s(simd.max_f32s(line, zero), one))
            }
            Self::HardSigmoid { alpha, beta } => {
                let line = simd.mul_add_e_f32s(v, simd.splat_f32s(alpha), simd.splat_f32s(beta));
                simd.min_f32s(simd.max_f32s(line, zero), one)
            }
            Self::LeakyRelu { alpha } => {
                let below = simd.mul_f32s(v, simd.splat_f32s(alpha));
                simd.select_f32s(simd.less_than_f32s(v, zero), below, v)
            }
            Self::None | Self::Sigmoid | Self::Silu | Self::Tanh => v,
        }
    }

    #[inline(always)]
    pub(super) fn is_simple(self) -> bool {
        !matches!(self, Self::Sigmoid | Self::Silu | Self::Tanh)
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
