//! What is done to scores at the end: `post_transform`.

use crate::engine::backend::Kernels;
use crate::engine::ops::Site;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl Transform {
    pub fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        site.node.attributes.choice(
            "post_transform",
            "NONE",
            &[
                ("NONE", Self::None),
                ("SOFTMAX", Self::Softmax),
                ("LOGISTIC", Self::Logistic),
                ("SOFTMAX_ZERO", Self::SoftmaxZero),
                ("PROBIT", Self::Probit),
            ],
        )
    }

    pub fn from_code(code: i64) -> Result<Self, String> {
        Ok(match code {
            0 => Self::None,
            1 => Self::Softmax,
            2 => Self::Logistic,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            other => return Err(format!("post_transform {other} is not known")),
        })
    }

    /// Transforms the scores of one row, in place.
    pub fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Softmax => softmax(scores, |_| true),
            Self::SoftmaxZero => softmax(scores, |score| score.is_nan() || score.abs() > 1e-7),
            Self::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Self::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
        }
    }

    /// The scores of both classes from the one of the second. `centred`: it is compared with 0, not 1/2.
    pub fn pair(self, score: f64, centred: bool) -> [f64; 2] {
        match self {
            Self::Probit => [-probit(score), probit(score)],
            Self::Logistic if centred => [logistic(-score), logistic(score)],
            _ if centred => [-score, score],
            _ => [1.0 - score, score],
        }
    }
}

/// The softmax of those scores that `counts`; the others become 0 (or stay so).
fn softmax(scores: &mut [f64], counts: impl Fn(f64) -> bool) {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = if counts(*score) { (*score - most).exp() } else { 0.0 };
        sum += *score;
    }
    if sum != 0.0 {
        scores.iter_mut().for_each(|s| *s /= sum);
    }
}

pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// √2 · erf⁻¹(2x - 1), by Winitzki's approximation, as ONNX Runtime has it.
fn probit(x: f64) -> f64 {
    let x = 2.0 * x - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let root = (v * v - log / 0.147).sqrt();
    std::f64::consts::SQRT_2 * sign * (root - v).sqrt()
}
