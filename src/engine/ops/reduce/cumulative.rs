//! CumSum and CumProd.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number, Reader, Writer};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis, one};
use crate::engine::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sum,
    Product,
}

impl Kind {
    fn with(self, so_far: Number, next: Number) -> Number {
        match (self, so_far, next) {
            (Self::Sum, Number::Int(a), Number::Int(b)) => Number::Int(a.wrapping_add(b)),
            (Self::Product, Number::Int(a), Number::Int(b)) => Number::Int(a.wrapping_mul(b)),
            (Self::Sum, a, b) => Number::Float(a.as_f64() + b.as_f64()),
            (Self::Product, a, b) => Number::Float(a.as_f64() * b.as_f64()),
        }
    }
}

pub fn build<B: Kernels>(site: &Site<'_, B>, kind: Kind) -> Result<BoxOp<B>, String> {
    let exclusive = site.node.attributes.flag("exclusive")?;
    let reverse = site.node.attributes.flag("reverse")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let given = host::only(&inputs.take(1)?.into_host()?)?.as_i64();
        let dims = x.shape();
        let axis = axis(given, dims.len())?;
        let inner: usize = dims[axis + 1..].iter().product();
        let outer: usize = dims[..axis].iter().product();
        let size = dims[axis];
        let start = Number::Int(if kind == Kind::Sum { 0 } else { 1 });
        cx.check(x.dtype(), dims)?;
        let numbers = Reader::new(&x);
        let mut sums = Writer::zeros(x.dtype(), numbers.len())?;
        for row in 0..outer {
            for column in 0..inner {
                cx.run.go_on()?;
                let mut so_far = start;
                for i in 0..size {
                    let i = if reverse { size - 1 - i } else { i };
                    let at = (row * size + i) * inner + column;
                    let with = kind.with(so_far, numbers.at(at));
                    sums.put(at, if exclusive { so_far } else { with });
                    so_far = with;
                }
            }
        }
        one(Value::Host(sums.finish(dims.to_vec())?))
    }))
}
