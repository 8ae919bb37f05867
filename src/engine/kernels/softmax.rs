//! Softmax of rows, with the greatest element taken off before the exponential.

use super::arch;
use super::elementwise::exp;
use rayon::prelude::*;

/// Elements above which threads pay.
const PARALLEL_FROM: usize = 1 << 16;

/// Softmax of each row of `width` elements, in place.
///
/// REQUIRES whole rows.
pub fn rows(values: &mut [f32], width: usize) {
    let row = |row: &mut [f32]| {
        arch().dispatch(
            #[inline(always)]
            || {
                let (_, sum) = weights(row, 1.0, None);
                let inverse = 1.0 / sum;
                row.iter_mut().for_each(|v| *v *= inverse);
            },
        );
    };
    if values.len() < PARALLEL_FROM || rayon::current_num_threads() == 1 {
        values.chunks_exact_mut(width.max(1)).for_each(row);
    } else {
        values.par_chunks_exact_mut(width.max(1)).with_min_len((1 << 13) / width.max(1) + 1).for_each(row);
    }
}

/// Makes a row of scores x into e^(x · scale + mask - greatest); gives the greatest, and their sum.
#[inline(always)]
pub(super) fn weights(row: &mut [f32], scale: f32, mask: Option<&[f32]>) -> (f32, f32) {
    match mask {
        Some(mask) => row.iter_mut().zip(mask).for_each(|(v, m)| *v = *v * scale + m),
        None if scale != 1.0 => row.iter_mut().for_each(|v| *v *= scale),
        None => {}
    }
    let greatest = greatest(row);
    let mut sums = [0f32; 16];
    let (chunks, rest) = row.as_chunks_mut::<16>();
    for chunk in chunks {
        for (v, sum) in chunk.iter_mut().zip(&mut sums) {
            *v = weight(*v - greatest);
            *sum += *v;
        }
    }
    for (v, sum) in rest.iter_mut().zip(&mut sums) {
        *v = weight(*v - greatest);
        *sum += *v;
    }
    (greatest, sums.iter().sum())
}

/// e^x for x up to 0; nothing where that is less than a float holds.
#[inline(always)]
fn weight(x: f32) -> f32 {
    let y = exp(x.max(-87.0));
    // What is not a number stays so: it is neither less nor more.
    if x < -87.0 {
        0.0
    } else if x.is_nan() {
        x
    } else {
        y
    }
}

/// Of sixteen side by side, which a vector holds. What is not a number is passed over.
#[inline(always)]
fn greatest(row: &[f32]) -> f32 {
    let more = |a: f32, b: f32| if b > a { b } else { a };
    let mut most = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        most.iter_mut().zip(chunk).for_each(|(most, v)| *most = more(*most, *v));
    }
    most.iter_mut().zip(rest).for_each(|(most, v)| *most = more(*most, *v));
    most.into_iter().fold(f32::NEG_INFINITY, more)
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
