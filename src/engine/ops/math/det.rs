//! Det: determinants of square matrices, by elimination in double precision.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, one};
use crate::engine::value::Value;

pub fn build<B: Kernels>() -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let (outer, size) = match x.shape() {
            [outer @ .., rows, columns] if rows == columns => (outer, *rows),
            _ => return Err(format!("{x:?} is not square").into()),
        };
        cx.check(x.dtype(), outer)?;
        cx.work::<f64>(x.len().saturating_add(size * size))?;
        let cells = x.to_f64();
        let found = (0..host::count(outer)?).map(|i| {
            let matrix = cells[i * size * size..][..size * size].to_vec();
            Ok::<_, OpError>(Number::Float(determinant(matrix, size, cx)?))
        });
        one(Value::Host(host::try_from_numbers(x.dtype(), outer.to_vec(), found)?))
    }))
}

fn determinant<B: Kernels>(mut m: Vec<f64>, n: usize, cx: &Context<B>) -> Result<f64, OpError> {
    let mut product = 1.0;
    for step in 0..n {
        cx.run.go_on()?;
        let size = |row: &usize| m[row * n + step].abs();
        let best = (step..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(step);
        if best != step {
            (0..n).for_each(|column| m.swap(best * n + column, step * n + column));
            product = -product;
        }
        let pivot = m[step * n + step];
        product *= pivot;
        if pivot == 0.0 {
            return Ok(0.0);
        }
        for row in step + 1..n {
            let factor = m[row * n + step] / pivot;
            (step..n).for_each(|column| m[row * n + column] -= factor * m[step * n + column]);
        }
    }
    Ok(product)
}

#[cfg(test)]
mod tests {
    use super::{Context, determinant};
    use burn_flex::{Flex, FlexDevice};

    #[test]
    fn rows_that_change_places_change_the_sign() {
        let cx = Context::<Flex>::alone(FlexDevice, 1 << 20);
        let determinant = |cells: &[f64], size| determinant(cells.to_vec(), size, &cx).unwrap();
        assert_eq!(determinant(&[], 0), 1.0);
        assert_eq!(determinant(&[0., 1., 1., 0.], 2), -1.0);
        assert_eq!(determinant(&[1., 2., 2., 4.], 2), 0.0);
        assert!((determinant(&[2., 0., 1., 1., 3., 2., 1., 1., 4.], 3) - 18.0).abs() < 1e-12);
    }
}
