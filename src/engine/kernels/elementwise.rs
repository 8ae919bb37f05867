//! Functions of each element. Those of one element, for loops that do more, are written so that the compiler turns
//! them into vector code.

use super::activation::{Activation, Applied};
use super::arch;
use super::share::{share_chunks, threads_for};
use super::vector::Each;
pub use super::vector::Map;

/// Elements of a piece of work for a thread.
const PIECE: usize = 1 << 13;

/// Applies a function to every element, in place.
pub fn apply(map: Map, values: &mut [f32]) {
    let threads = threads_for(values.len(), 4 * PIECE);
    share_chunks(values, PIECE, threads, &|_, values| {
        arch().dispatch(Each { map, values });
    });
}

/// Applies an activation to every element, in place.
pub fn activate(activation: Activation, values: &mut [f32]) {
    let threads = threads_for(values.len(), 4 * PIECE);
    share_chunks(values, PIECE, threads, &|_, values| {
        arch().dispatch(Applied { activation, values });
    });
}

/// Calls `f` for `per` elements after the other, on several threads.
pub fn in_pieces<T: Send>(values: &mut [T], per: usize, f: &(dyn Fn(&mut [T]) + Sync)) {
    let threads = threads_for(values.len(), per);
    share_chunks(values, per, threads, &|_, values| f(values));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest of |a - b| / max(|b|, floor) over a range.
    fn error(map: Map, reference: impl Fn(f64) -> f64, range: f32, floor: f64) -> f64 {
        let xs: Vec<f32> = (-20_000..=20_000).map(|i| i as f32 / 20_000.0 * range).collect();
        let mut ys = xs.clone();
        apply(map, &mut ys);
        let error = |(x, y): (&f32, &f32)| {
            let wanted = reference(f64::from(*x));
            (f64::from(*y) - wanted).abs() / wanted.abs().max(floor)
        };
        xs.iter().zip(&ys).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_as_near_as_floats_allow() {
        assert!(error(Map::Exp, f64::exp, 80.0, 0.0) < 1e-6);
        assert!(error(Map::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 80.0, 0.0) < 1e-6);
        assert!(error(Map::Silu, |x| x / (1.0 + (-x).exp()), 80.0, 1e-30) < 1e-6);
        assert!(error(Map::Tanh, f64::tanh, 20.0, 1e-6) < 2e-6);
        assert!(error(Map::HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0), 8.0, 1.0) < 1e-6);
        // Known values of erf (Abramowitz and Stegun, table 7.1).
        let mut values = [0.1f32, 0.5, 1.0, 2.0, -1.5, 0.0];
        apply(Map::Erf, &mut values);
        let wanted = [0.112_462_92f32, 0.520_499_9, 0.842_700_8, 0.995_322_3, -0.966_105_16, 0.0];
        values.iter().zip(wanted).for_each(|(v, w)| assert!((v - w).abs() < 3e-7, "{v} {w}"));
    }

    /// Every activation by its definition, in double precision.
    fn defined(activation: Activation, x: f64) -> f64 {
        let clip = |x: f64, low: f64, high: f64| {
            if x < low {
                low
            } else if x > high {
                high
            } else {
                x
            }
        };
        match activation {
            Activation::None => x,
            Activation::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Activation::Clip { min, max } => clip(x, f64::from(min), f64::from(max)),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::HardSwish => x * clip(x / 6.0 + 0.5, 0.0, 1.0),
            Activation::HardSigmoid { alpha, beta } => clip(f64::from(alpha) * x + f64::from(beta), 0.0, 1.0),
            Activation::LeakyRelu { alpha } => {
                if x < 0.0 {
                    x * f64::from(alpha)
                } else {
                    x
                }
            }
            Activation::ThresholdedRelu { alpha } => {
                if x > f64::from(alpha) {
                    x
                } else {
                    0.0
                }
            }
            Activation::Exponential { scale, alpha, width } => {
                let below = f64::from(alpha) * (x / f64::from(width)).exp_m1();
                f64::from(scale) * if x < 0.0 { below } else { x }
            }
            Activation::Tanh => x.tanh(),
        }
    }

    #[test]
    fn activations_are_as_defined_wherever_a_number_that_is_none_lies() {
        let all = [
            Activation::None,
            Activation::Relu,
            Activation::Clip { min: -1.0, max: 6.0 },
            Activation::Sigmoid,
            Activation::Silu,
            Activation::HardSwish,
            Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Activation::LeakyRelu { alpha: 0.1 },
            Activation::ThresholdedRelu { alpha: 0.4 },
            Activation::Exponential { scale: 1.05, alpha: 1.67, width: 0.8 },
            Activation::Tanh,
        ];
        let special =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45];
        for activation in all {
            for width in 1..=33 {
                for (place, value) in (0..width).flat_map(|place| special.map(|value| (place, value))) {
                    let mut values: Vec<f32> = (0..width).map(|i| (i as f32 - 16.0) * 0.37).collect();
                    values[place] = value;
                    let wanted: Vec<f64> =
                        values.iter().map(|v| defined(activation, f64::from(*v))).collect();
                    activate(activation, &mut values);
                    for (got, wanted) in values.iter().zip(wanted) {
                        let near = (f64::from(*got) - wanted).abs() <= 1e-6 * wanted.abs().max(1.0);
                        let same = near || *got == wanted as f32 || (got.is_nan() && wanted.is_nan());
                        // -∞ · sigmoid(-∞) is no number, but -∞ · e^-∞ / 1 may be either.
                        let open = activation == Activation::Silu && wanted.is_nan();
                        assert!(same || open, "{activation:?} of {value}: {got} for {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        apply(Map::Sigmoid, &mut values);
        assert!(values[0].is_nan());
        assert!(values[1] == 1.0 && (0.0..1e-37).contains(&values[2]), "{values:?}");
        let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 100.0, -120.0];
        apply(Map::Exp, &mut values);
        assert!(values[0].is_nan());
        assert_eq!(values[1..], [f32::INFINITY, 0.0, f32::INFINITY, 0.0]);
        let mut values = [f32::NAN; 3];
        [Map::Gelu, Map::Tanh, Map::Erf]
            .iter()
            .zip(&mut values)
            .for_each(|(m, v)| apply(*m, std::slice::from_mut(v)));
        assert!(values.iter().all(|v| v.is_nan()));
    }
}
