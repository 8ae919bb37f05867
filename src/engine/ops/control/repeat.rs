//! Loop: a body that is run until its condition or its trip count ends it.

use super::inner;
use crate::engine::backend::Accelerator;
use crate::engine::host::{self, Number};
use crate::engine::ops::shape::concat;
use crate::engine::ops::{BoxOp, Context, Inputs, Site};
use crate::engine::value::Value;
use crate::tensor::DType;

/// A loop that does not end by itself is ended.
const MAX_TRIPS: i64 = 1 << 20;

pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let body = inner(site, "body")?;
    let carried = body.declared.checked_sub(2).ok_or("its body takes fewer than two inputs")?;
    let scanned =
        site.node.outputs.len().checked_sub(carried).ok_or("it gives fewer outputs than it carries")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let trips =
            inputs.optional(0).map(|v| host::only(&v.into_host()?).map(Number::as_i64)).transpose()?;
        let mut go = match inputs.optional(1) {
            Some(condition) => host::only(&condition.into_host()?)?.as_f64() != 0.0,
            None => true,
        };
        let mut state = (0..carried).map(|i| inputs.take(i + 2)).collect::<Result<Vec<_>, _>>()?;
        let captured = body.captures.clone().map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        let mut scans: Vec<Vec<Value<B>>> = (0..scanned).map(|_| Vec::new()).collect();
        let mut taken = 0usize;
        let mut trip = 0;
        while go && trips.is_none_or(|trips| trip < trips) {
            if trip >= MAX_TRIPS {
                return Err(format!("it has not ended after {MAX_TRIPS} rounds"));
            }
            let mut given = vec![
                Value::Host(host::scalar(DType::I64, Number::Int(trip.into()))?),
                Value::Host(host::scalar(DType::Bool, Number::Int(1))?),
            ];
            given.append(&mut state);
            given.extend(captured.iter().cloned());
            let mut results = body.program.run(given, cx)?.into_iter();
            let next = results.next().ok_or("its body gives no condition")?;
            go = host::only(&next.into_host()?)?.as_f64() != 0.0;
            state = results.by_ref().take(carried).collect();
            for (scan, value) in scans.iter_mut().zip(results) {
                let dims: Vec<usize> = std::iter::once(1).chain(value.dims()).collect();
                taken = taken.saturating_add(value.elements().saturating_mul(value.dtype().size()));
                if taken > cx.max_bytes {
                    return Err("what it gathers takes more memory than one tensor may".into());
                }
                scan.push(value.reshaped(dims)?);
            }
            trip += 1;
        }
        for scan in scans {
            state.push(if scan.is_empty() {
                Value::Host(host::tensor::<f32>(DType::F32, vec![0], Vec::new())?)
            } else {
                concat::join(scan, 0, cx)?
            });
        }
        Ok(state)
    }))
}
