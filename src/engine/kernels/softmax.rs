//! Softmax of rows, with the greatest element taken off before the exponential.

use super::arch;
use super::share::{share_chunks, threads_for};
use super::vector::weights;
use pulp::{Simd, WithSimd};

/// Elements of a piece of work for a thread.
const PIECE: usize = 1 << 12;

/// Softmax of each row of `width` elements, in place.
///
/// REQUIRES whole rows.
pub fn rows(values: &mut [f32], width: usize) {
    let row = |row: &mut [f32]| arch().dispatch(Row(row));
    let width = width.max(1);
    let threads = threads_for(values.len(), 4 * PIECE);
    share_chunks(values, (PIECE / width).max(1) * width, threads, &|_, rows| {
        rows.chunks_exact_mut(width).for_each(row);
    });
}

/// One row.
struct Row<'a>(&'a mut [f32]);

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (_, sum) = weights(simd, self.0, 1.0, None);
        let inverse = 1.0 / sum;
        self.0.iter_mut().for_each(|v| *v *= inverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_as_in_double_precision(width in 1usize..300, spread in 0.1f32..60.0) {
            let given: Vec<f32> = (0..width * 3).map(|i| ((i * 7919) % 1009) as f32 / 1009.0 * spread).collect();
            let mut got = given.clone();
            rows(&mut got, width);
            for (got, given) in got.chunks(width).zip(given.chunks(width)) {
                let most = given.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = given.iter().map(|v| f64::from(v - most).exp()).sum();
                for (got, given) in got.iter().zip(given) {
                    let wanted = f64::from(given - most).exp() / sum;
                    prop_assert!((f64::from(*got) - wanted).abs() < 2e-6 * wanted + 1e-30, "{got} for {wanted}");
                }
            }
        }
    }

    #[test]
    fn what_is_closed_has_no_weight_and_what_is_no_number_stays_so() {
        let mut row = [0.0, f32::NEG_INFINITY, 0.0, -1e4];
        rows(&mut row, 4);
        assert_eq!(row, [0.5, 0.0, 0.5, 0.0]);
        for hostile in [[f32::NAN, 1.0], [f32::NEG_INFINITY, f32::NEG_INFINITY], [f32::INFINITY, 1.0]] {
            let mut row = hostile;
            rows(&mut row, 2);
            assert!(row[0].is_nan(), "{hostile:?} gave {row:?}");
        }
    }
}
