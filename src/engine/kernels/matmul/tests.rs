//! Against sums in double precision, over random shapes; and rows alone against rows together.

use super::*;
use proptest::prelude::*;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn products_are_the_sums_that_they_should_be(
        rows in 0usize..30, inner in 0usize..70, columns in 0usize..150, transposed: bool,
        biased: bool, with_residual: bool, clipped: bool,
    ) {
        let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
        let (bias, residual) = (numbers(columns, 3), numbers(rows * columns, 4));
        let packed = Packed::new(&b, [inner, columns], transposed);
        let mut out = vec![f32::NAN; rows * columns];
        let after = After {
            bias: biased.then_some(&bias),
            residual: with_residual.then_some(&residual),
            activation: if clipped { Activation::Clip { min: -0.5, max: 0.75 } } else { Activation::None },
        };
        multiply(&a, rows, &packed, after, &mut out);
        for row in 0..rows {
            for column in 0..columns {
                let b = |k: usize| b[if transposed { column * inner + k } else { k * columns + column }];
                let mut wanted: f64 = (0..inner).map(|k| f64::from(a[row * inner + k]) * f64::from(b(k))).sum();
                wanted += if biased { f64::from(bias[column]) } else { 0.0 };
                wanted += if with_residual { f64::from(residual[row * columns + column]) } else { 0.0 };
                wanted = if clipped { wanted.clamp(-0.5, 0.75) } else { wanted };
                let got = f64::from(out[row * columns + column]);
                // Single precision loses up to a rounding for each term.
                prop_assert!((got - wanted).abs() < 1e-6 * (10 + inner) as f64, "{row}, {column}: {got} for {wanted}");
            }
        }
    }
}

/// Large enough for threads, and of a height that leaves tiles of several sizes.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let (rows, inner, columns) = (61, 300, 517);
    let (a, b, bias) = (numbers(rows * inner, 5), numbers(inner * columns, 6), numbers(columns, 7));
    let packed = Packed::new(&b, [inner, columns], false);
    let after = After { bias: Some(&bias), activation: Activation::Map(Map::Gelu), ..After::default() };
    let mut together = vec![0.0; rows * columns];
    multiply(&a, rows, &packed, after, &mut together);
    for count in [1, 2, 5, 20] {
        for (a, wanted) in a.chunks(count * inner).zip(together.chunks(count * columns)) {
            let mut alone = vec![0.0; wanted.len()];
            multiply(a, a.len() / inner, &packed, after, &mut alone);
            assert!(alone == wanted);
        }
    }
}
