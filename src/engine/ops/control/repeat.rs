//! Loop: a body that is run until its condition or its trip count ends it.

use super::{Gathered, inner};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site};
use crate::engine::value::Value;
use crate::tensor::DType;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let body = inner(site, "body")?;
    let carried = body.declared.checked_sub(2).ok_or("its body takes fewer than two inputs")?;
    let given = body.results.len().checked_sub(1).ok_or("its body gives no condition")?;
    let scanned = given.checked_sub(carried).ok_or("its body gives fewer outputs than it carries")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let trips = inputs.optional(0).map(|v| v.into_host()).transpose()?;
        let trips = trips.map(|v| host::only(&v).map(Number::as_i64)).transpose()?;
        let mut go = match inputs.optional(1) {
            Some(condition) => host::only(&condition.into_host()?)?.as_f64() != 0.0,
            None => true,
        };
        let mut state = (0..carried).map(|i| inputs.take(i + 2)).collect::<Result<Vec<_>, _>>()?;
        let captured = body.captures.clone().map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        let mut scans = Gathered::new(scanned);
        let scope = cx.run.scope();
        let mut trip = 0;
        while go && trips.is_none_or(|trips| trip < trips) {
            cx.run.count_round()?;
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
            scans.push(results, cx)?;
            super::hold(&scope, &state, scans.bytes, cx)?;
            trip += 1;
        }
        let declared = &body.results[1 + carried..];
        for (scan, declared) in scans.parts.into_iter().zip(declared) {
            state.push(super::stack(scan, 0, declared, cx)?);
        }
        Ok(state)
    }))
}
