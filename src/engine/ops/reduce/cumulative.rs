//! CumSum.

use crate::engine::backend::Accelerator;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis, one};
use crate::engine::value::Value;

pub fn sum<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let exclusive = site.node.attributes.flag("exclusive")?;
    let reverse = site.node.attributes.flag("reverse")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let given = host::only(&inputs.take(1)?.into_host()?)?.as_i64();
        let dims = x.shape();
        let axis = axis(given, dims.len())?;
        let inner: usize = dims[axis + 1..].iter().product();
        let outer: usize = dims[..axis].iter().product();
        let size = dims[axis];
        let mut numbers = host::numbers(&x);
        for row in 0..outer {
            for column in 0..inner {
                let mut sum = Number::Int(0);
                for i in 0..size {
                    let i = if reverse { size - 1 - i } else { i };
                    let cell = &mut numbers[(row * size + i) * inner + column];
                    let with = match (sum, *cell) {
                        (Number::Int(a), Number::Int(b)) => Number::Int(a + b),
                        (a, b) => Number::Float(a.as_f64() + b.as_f64()),
                    };
                    *cell = if exclusive { sum } else { with };
                    sum = with;
                }
            }
        }
        one(Value::Host(host::from_numbers(x.dtype(), dims.to_vec(), &numbers)?))
    }))
}
