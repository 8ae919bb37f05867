//! Det: determinants of square matrices, by elimination in double precision.

use crate::engine::backend::Accelerator;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, one};
use crate::engine::value::Value;

pub fn build<B: Accelerator>() -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let (outer, size) = match x.shape() {
            [outer @ .., rows, columns] if rows == columns => (outer, *rows),
            _ => return Err(format!("{x:?} is not square").into()),
        };
        let cells = x.to_f64();
        let matrices: usize = outer.iter().product();
        let found: Vec<Number> = (0..matrices)
            .map(|i| Number::Float(determinant(cells[i * size * size..][..size * size].to_vec(), size)))
            .collect();
        one(Value::Host(host::from_numbers(x.dtype(), outer.to_vec(), &found)?))
    }))
}

fn determinant(mut m: Vec<f64>, n: usize) -> f64 {
    let mut product = 1.0;
    for step in 0..n {
        let size = |row: &usize| m[row * n + step].abs();
        let best = (step..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(step);
        if best != step {
            (0..n).for_each(|column| m.swap(best * n + column, step * n + column));
            product = -product;
        }
        let pivot = m[step * n + step];
        product *= pivot;
        if pivot == 0.0 {
            return 0.0;
        }
        for row in step + 1..n {
            let factor = m[row * n + step] / pivot;
            (step..n).for_each(|column| m[row * n + column] -= factor * m[step * n + column]);
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::determinant;

    #[test]
    fn rows_that_change_places_change_the_sign() {
        assert_eq!(determinant(vec![], 0), 1.0);
        assert_eq!(determinant(vec![0., 1., 1., 0.], 2), -1.0);
        assert_eq!(determinant(vec![1., 2., 2., 4.], 2), 0.0);
        assert!((determinant(vec![2., 0., 1., 1., 3., 2., 1., 1., 4.], 3) - 18.0).abs() < 1e-12);
    }
}
