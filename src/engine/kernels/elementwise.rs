//! Functions of each element. Those of one element, for loops that do more, are written so that the compiler turns
//! them into vector code.

use super::arch;
use super::share::{share_chunks, threads_for};
use super::vector::Each;

/// A function that is applied to each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// x / (1 + e^-x)
    Silu,
    /// x/2 · (1 + erf(x / √2))
    Gelu,
    /// x · min(max(x/6 + 1/2, 0), 1)
    HardSwish,
    Tanh,
    Erf,
    Exp,
}

/// Elements of a piece of work for a thread.
const PIECE: usize = 1 << 13;

/// Applies a function to every element, in place.
pub fn apply(map: Map, values: &mut [f32]) {
    let threads = threads_for(values.len(), 4 * PIECE);
    share_chunks(values, PIECE, threads, &|_, values| {
        arch().dispatch(Each { map, values });
    });
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
