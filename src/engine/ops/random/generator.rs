//! What the operators that draw numbers draw them from. Not for secrets.

use crate::random::SplitMix64;
use std::hash::{BuildHasher, RandomState};

/// The seed of a node's generators.
pub struct Seed(Option<u64>);

impl Seed {
    pub fn new(given: Option<f32>) -> Self {
        Self(given.map(|seed| u64::from(seed.to_bits())))
    }

    /// A generator: the same every time where a seed was given, else a new one.
    pub fn generator(&self) -> Generator {
        // Every `RandomState` has keys of its own.
        let seed = self.0.unwrap_or_else(|| RandomState::new().hash_one(0u64));
        Generator { random: SplitMix64(seed), spare: None }
    }
}

pub struct Generator {
    random: SplitMix64,
    spare: Option<f64>,
}

impl Generator {
    /// The next number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.random.unit()
    }

    /// The next number with mean 0 and deviation 1, by Box and Muller's transform, which makes two at a time.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_which_numbers_and_none_says_others() {
        let three = |seed: &Seed| {
            let mut g = seed.generator();
            [g.uniform(), g.uniform(), g.uniform()]
        };
        assert_eq!(three(&Seed::new(Some(7.0))), three(&Seed::new(Some(7.0))));
        assert_ne!(three(&Seed::new(Some(7.0))), three(&Seed::new(Some(8.0))));
        assert_ne!(three(&Seed::new(None)), three(&Seed::new(None)));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut g = Seed::new(Some(1.0)).generator();
        let moments = |draw: &mut dyn FnMut() -> f64| {
            let all: Vec<f64> = (0..40_000).map(|_| draw()).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            (mean, all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64)
        };
        let (mean, variance) = moments(&mut || g.uniform());
        assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.005, "{mean} {variance}");
        let (mean, variance) = moments(&mut || g.normal());
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
