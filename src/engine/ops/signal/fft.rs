//! The discrete Fourier transform of any length: by halves where the length is a power of two, else as a
//! convolution of such a length (Bluestein).

use std::f64::consts::PI;

/// A complex number: its real and its imaginary part.
pub type Complex = (f64, f64);

fn times(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// e^(i·angle)
fn turn(angle: f64) -> Complex {
    (angle.cos(), angle.sin())
}

/// The factors that transforms of one length share.
pub struct Fft {
    length: usize,
    /// e^(-2πik/m) for the power of two that is computed with.
    turns: Vec<Complex>,
    chirp: Option<Chirp>,
}

struct Chirp {
    /// e^(-πik²/n)
    factors: Vec<Complex>,
    /// Their conjugates, wrapped around and transformed.
    filter: Vec<Complex>,
}

impl Fft {
    /// The longest that is computed.
    pub const MOST: usize = 1 << 26;

    /// REQUIRES a length of 1 to [`Fft::MOST`].
    pub fn new(length: usize) -> Self {
        let power = length.is_power_of_two();
        let size = if power { length } else { (2 * length - 1).next_power_of_two() };
        let turns = (0..size / 2).map(|k| turn(-2.0 * PI * k as f64 / size as f64)).collect();
        let mut fft = Self { length, turns, chirp: None };
        if !power {
            // k² modulo 2n keeps the angle small, and so exact.
            let angle = |k: usize| (k as u128 * k as u128 % (2 * length as u128)) as f64 * PI / length as f64;
            let factors: Vec<Complex> = (0..length).map(|k| turn(-angle(k))).collect();
            let mut filter = vec![(0.0, 0.0); size];
            for (k, (re, im)) in factors.iter().enumerate() {
                filter[k] = (*re, -im);
                filter[(size - k) % size] = (*re, -im);
            }
            fft.radix(&mut filter);
            fft.chirp = Some(Chirp { factors, filter });
        }
        fft
    }

    /// X[k] = Σ x[n] · e^(-2πikn/N), in place; with `inverse` the other sign, and divided by N.
    ///
    /// REQUIRES as many numbers as the length.
    pub fn run(&self, x: &mut [Complex], inverse: bool) {
        let flip = |x: &mut [Complex]| x.iter_mut().for_each(|v| v.1 = -v.1);
        if inverse {
            flip(x);
        }
        match &self.chirp {
            None => self.radix(x),
            Some(chirp) => {
                let size = chirp.filter.len();
                let mut padded = vec![(0.0, 0.0); size];
                for ((to, v), factor) in padded.iter_mut().zip(x.iter()).zip(&chirp.factors) {
                    *to = times(*v, *factor);
                }
                self.radix(&mut padded);
                padded.iter_mut().zip(&chirp.filter).for_each(|(v, f)| *v = times(*v, *f));
                // The inverse is the transform of the conjugate, conjugated.
                flip(&mut padded);
                self.radix(&mut padded);
                let scale = 1.0 / size as f64;
                for ((to, v), factor) in x.iter_mut().zip(&padded).zip(&chirp.factors) {
                    *to = times((v.0 * scale, -v.1 * scale), *factor);
                }
            }
        }
        if inverse {
            flip(x);
            let scale = 1.0 / self.length as f64;
            x.iter_mut().for_each(|v| *v = (v.0 * scale, v.1 * scale));
        }
    }

    fn radix(&self, x: &mut [Complex]) {
        let n = x.len();
        if n < 2 {
            return;
        }
        let bits = n.trailing_zeros();
        for i in 0..n {
            let j = i.reverse_bits() >> (usize::BITS - bits);
            if i < j {
                x.swap(i, j);
            }
        }
        let mut half = 1;
        while half < n {
            let step = n / (2 * half);
            for block in x.chunks_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let turned = times(*b, self.turns[k * step]);
                    *b = (a.0 - turned.0, a.1 - turned.1);
                    *a = (a.0 + turned.0, a.1 + turned.1);
                }
            }
            half *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sum_that_it_says_and_comes_back() {
        for n in [1usize, 2, 3, 5, 8, 12, 17, 64, 100] {
            let x: Vec<Complex> = (0..n).map(|i| ((i as f64).sin() + 0.5, (i * i % 7) as f64)).collect();
            let mut y = x.clone();
            Fft::new(n).run(&mut y, false);
            for (k, got) in y.iter().enumerate() {
                let sum = x.iter().enumerate().fold((0.0, 0.0), |s: Complex, (i, v)| {
                    let v = times(*v, turn(-2.0 * PI * (i * k % n) as f64 / n as f64));
                    (s.0 + v.0, s.1 + v.1)
                });
                assert!((got.0 - sum.0).abs() + (got.1 - sum.1).abs() < 1e-9, "{n} {k}: {got:?} {sum:?}");
            }
            Fft::new(n).run(&mut y, true);
            let off = x.iter().zip(&y).map(|(a, b)| (a.0 - b.0).abs() + (a.1 - b.1).abs());
            assert!(off.fold(0.0, f64::max) < 1e-9, "{n}");
        }
    }
}
