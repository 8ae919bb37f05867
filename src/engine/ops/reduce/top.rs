//! TopK. `k` is an attribute before opset 10, an input since.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::host::for_element;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis};
use crate::engine::value::Value;
use crate::tensor::DType;
use std::cmp::Ordering;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let given = attributes.int("axis", -1)?;
    let largest = attributes.int("largest", 1)? != 0;
    let known = attributes.find_int("k")?.copied();
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let k = match known {
            Some(k) => k,
            None => host::only(&inputs.take(1)?.into_host()?)?.as_i64(),
        };
        let mut dims = x.shape().to_vec();
        let axis = axis(given, dims.len())?;
        let k = usize::try_from(k).ok().filter(|k| *k <= dims[axis]);
        let k = k.ok_or_else(|| format!("k is not within the {} elements of the axis", dims[axis]))?;
        let inner: usize = dims[axis + 1..].iter().product();
        let outer: usize = dims[..axis].iter().product();
        let size = dims[axis];
        dims[axis] = k;
        cx.check(x.dtype(), &dims)?;
        cx.check(DType::I64, &dims)?;
        // Where each lies, and the order of one line with what sorting takes.
        cx.work::<usize>(host::count(&dims)?)?;
        cx.work::<[usize; 2]>(size)?;
        let (offsets, indices) = for_element!(x.dtype(), T => {
            let cells = host::cells::<T>(&x);
            let mut offsets = host::filled(0usize, outer * inner * k)?;
            let mut indices = host::filled(0i64, outer * inner * k)?;
            let mut order: Vec<usize> = host::room(size)?;
            for row in 0..outer {
                for column in 0..inner {
                    cx.run.go_on()?;
                    let at = |i: usize| (row * size + i) * inner + column;
                    let compare = |a: &usize, b: &usize| {
                        // Once nobody waits, in any order.
                        if cx.run.stop().is_set() {
                            return a.cmp(b);
                        }
                        let (x, y) = (cells[at(*a)], cells[at(*b)]);
                        let by_value = ordered(&x, &y);
                        let by_value = if largest { by_value.reverse() } else { by_value };
                        by_value.then(a.cmp(b))
                    };
                    order.clear();
                    order.extend(0..size);
                    if k < size && k > 0 {
                        order.select_nth_unstable_by(k - 1, compare);
                        order.truncate(k);
                    }
                    order.sort_by(compare);
                    for (rank, i) in order.iter().take(k).enumerate() {
                        let to = (row * k + rank) * inner + column;
                        offsets[to] = at(*i);
                        indices[to] = *i as i64;
                    }
                }
            }
            (offsets, indices)
        });
        let values = host::pick(&x, offsets, dims.clone())?;
        Ok(vec![Value::Host(values), Value::Host(host::tensor(DType::I64, dims, indices)?)])
    }))
}

/// The order of two elements. What is not a number comes behind every number, as NumPy sorts it.
fn ordered<T: PartialOrd>(x: &T, y: &T) -> Ordering {
    let is_number = |v: &T| v.partial_cmp(v).is_some();
    x.partial_cmp(y).unwrap_or_else(|| is_number(y).cmp(&is_number(x)))
}
