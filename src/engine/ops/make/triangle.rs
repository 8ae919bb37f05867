//! Trilu: the upper or lower triangle of matrices.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let upper = site.node.attributes.int("upper", 1)? != 0;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let k = match inputs.optional(1) {
            Some(k) => host::only(&k.into_host()?)?.as_i64(),
            None => 0,
        };
        let [.., rows, columns] = x.shape()[..] else { return Err(format!("{x:?} is not a matrix").into()) };
        cx.check(x.dtype(), x.shape())?;
        let kept = host::numbers(&x).enumerate().map(|(at, number)| {
            let (row, column) = (at / columns % rows, at % columns);
            let beyond = (column as i64).saturating_sub(row as i64).saturating_sub(k);
            if if upper { beyond < 0 } else { beyond > 0 } { Number::Int(0) } else { number }
        });
        one(Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), kept)?))
    }))
}
