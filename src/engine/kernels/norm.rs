//! Normalisation of rows: (x - mean) / √(variance + ε) · scale + bias.

use super::arch;
use super::share::{share_chunks, threads_for};

/// Elements of a piece of work for a thread.
const PIECE: usize = 1 << 13;

/// Normalises each row of `width` elements in place.
///
/// Without `centred`, the mean is taken for zero (RMS normalisation). `scale` and `bias`, where there are
/// any, have `width` elements.
///
/// REQUIRES `values` to be whole rows, and those lengths.
pub fn rows(
    values: &mut [f32],
    width: usize,
    epsilon: f32,
    centred: bool,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
) {
    let row = |row: &mut [f32]| {
        arch().dispatch(
            #[inline(always)]
            || normalise(row, epsilon, centred, scale, bias),
        );
    };
    let width = width.max(1);
    let threads = threads_for(values.len(), 4 * PIECE);
    share_chunks(values, (PIECE / width).max(1) * width, threads, &|_, rows| {
        rows.chunks_exact_mut(width).for_each(row);
    });
}

#[inline(always)]
fn normalise(row: &mut [f32], epsilon: f32, centred: bool, scale: Option<&[f32]>, bias: Option<&[f32]>) {
    let count = row.len() as f32;
    if centred {
        let mean = sum(row, |v| v) / count;
        row.iter_mut().for_each(|v| *v -= mean);
    }
    let variance = sum(row, |v| v * v) / count;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    match (scale, bias) {
        (Some(scale), Some(bias)) => {
            for ((v, s), b) in row.iter_mut().zip(scale).zip(bias) {
                *v = *v * inverse * s + b;
            }
        }
        (Some(scale), None) => row.iter_mut().zip(scale).for_each(|(v, s)| *v *= inverse * s),
        (None, Some(bias)) => row.iter_mut().zip(bias).for_each(|(v, b)| *v = *v * inverse + b),
        (None, None) => row.iter_mut().for_each(|v| *v *= inverse),
    }
}

/// Sums in sixteen sums side by side, which a vector holds; a single one would be added up in order.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; 16];
    let chunks = row.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|v| f(*v)).sum();
    for chunk in chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *sum += f(*v);
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn rows_have_mean_zero_and_deviation_one() {
        for width in [1usize, 5, 16, 33, 200] {
            let mut values: Vec<f32> = (0..width * 3).map(|i| ((i * 7) % 13) as f32 + 100.0).collect();
            rows(&mut values, width, 1e-5, true, None, None);
            for row in values.chunks(width) {
                let mean = row.iter().sum::<f32>() / width as f32;
                let square = row.iter().map(|v| v * v).sum::<f32>() / width as f32;
                assert!(
                    mean.abs() < 1e-4 && (square - 1.0).abs() < 1e-2 || width == 1,
                    "{width}: {mean} {square}"
                );
            }
        }
    }

    #[test]
    fn scale_and_bias_come_after() {
        let mut values = vec![3.0f32, -3.0];
        rows(&mut values, 2, 0.0, false, Some(&[2.0, 4.0]), Some(&[1.0, 0.0]));
        assert_eq!(values, [3.0, -4.0]);
    }
}
