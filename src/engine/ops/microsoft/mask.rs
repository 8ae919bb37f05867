//! The mask of `com.microsoft` attention, in any of its shapes, as what is added to the scores.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, ints, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// Inputs: the mask, the keys `[batch, length, width]` or `[batch, heads, length, size]`, those of before.
///
/// A mask is `[batch]` (lengths), `[2 batch]` (ends, then beginnings), `[batch, keys]` or
/// `[batch, queries, keys]` (1 is open). The result is `[batch, 1, 1 or queries, keys]`: 0 where open,
/// `filter` where not.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let filter = f64::from(site.node.attributes.float("filter", -10_000.0)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mask = inputs.take(0)?.into_host()?;
        let keys = inputs.take(1)?.dims();
        let (batch, length) = match keys[..] {
            [batch, length, _] | [batch, _, length, _] => (batch, length),
            _ => return Err(format!("keys of shape {keys:?}").into()),
        };
        let before = inputs.optional(2).map_or(0, |past| past.dims().get(2).copied().unwrap_or_default());
        let total = length + before;
        cx.work::<(i64, bool)>(mask.len())?;
        let given = ints(&mask)?;
        let (open, dims): (Vec<bool>, Vec<usize>) = match *mask.shape() {
            [rows] if rows == batch || rows == 2 * batch => {
                cx.check(DType::F32, &[batch, total])?;
                let ends = given.iter().take(batch);
                let starts = given.iter().skip(batch).copied().chain(std::iter::repeat(0));
                let open = ends
                    .zip(starts)
                    .flat_map(|(end, start)| (0..total as i64).map(move |key| key >= start && key < *end));
                (open.collect(), vec![batch, 1, 1, total])
            }
            [rows, keys] => (given.iter().map(|m| *m != 0).collect(), vec![rows, 1, 1, keys]),
            [rows, queries, keys] => (given.iter().map(|m| *m != 0).collect(), vec![rows, 1, queries, keys]),
            ref other => return Err(format!("a mask of shape {other:?} is not supported").into()),
        };
        cx.check(DType::F32, &dims)?;
        let bias = open.into_iter().map(|open| Number::Float(if open { 0.0 } else { filter }));
        one(Value::Host(host::from_numbers(DType::F32, dims, bias)?))
    }))
}
