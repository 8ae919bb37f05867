//! ArgMax and ArgMin.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::host::for_element;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

pub fn build<B: Kernels>(site: &Site<'_, B>, max: bool) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let given = attributes.int("axis", 0)?;
    let keep = attributes.int("keepdims", 1)? != 0;
    let last = attributes.flag("select_last_index")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let mut dims = x.dims();
        let axis = axis(given, dims.len())?;
        if dims[axis] == 0 {
            return Err("there is nothing to take the extreme of".into());
        }
        let x = x.into_host()?;
        dims[axis] = 1;
        cx.check(DType::I64, &dims)?;
        let found = on_host(&x, axis, max, last, cx)?;
        let found = host::tensor(DType::I64, dims.clone(), found)?;
        if !keep {
            dims.remove(axis);
        }
        one(Value::Host(found).reshaped(dims)?)
    }))
}

fn on_host<B: Kernels>(
    x: &Tensor,
    axis: usize,
    max: bool,
    last: bool,
    cx: &Context<B>,
) -> Result<Vec<i64>, OpError> {
    let dims = x.shape();
    let inner: usize = dims[axis + 1..].iter().product();
    let outer: usize = dims[..axis].iter().product();
    let size = dims[axis];
    for_element!(x.dtype(), T => {
        let cells = host::cells::<T>(x);
        let mut found = host::room(outer * inner)?;
        for row in 0..outer {
            for column in 0..inner {
                cx.run.go_on()?;
                let at = |i: usize| cells[(row * size + i) * inner + column];
                let mut best = 0;
                for i in 1..size {
                    let (new, old) = (at(i), at(best));
                    let [new_is_none, old_is_none] = [new, old].map(|v| v.partial_cmp(&v).is_none());
                    // What is not a number wins, as in NumPy.
                    let wins = new_is_none && !old_is_none || if max { new > old } else { new < old };
                    if wins || (last && (new == old || new_is_none && old_is_none)) {
                        best = i;
                    }
                }
                found.push(best as i64);
            }
        }
        Ok(found)
    })
}
