//! Scan: a body that is run for each slice of its inputs, with a state from one to the next.

use super::{Gathered, Inner, inner};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::ops::shape::concat;
use crate::engine::ops::shape::slice::{Part, slice};
use crate::engine::ops::{BoxOp, Context, Inputs, OpResult, Site, axis};
use crate::engine::value::Value;

struct Scan<B: Kernels> {
    body: Inner<B>,
    /// States, which come before the inputs that are sliced.
    states: usize,
    scanned: usize,
    input_axes: Vec<i64>,
    output_axes: Vec<i64>,
    /// Whether an input is read, or an output written, from its end.
    input_backwards: Vec<bool>,
    output_backwards: Vec<bool>,
}

impl<B: Kernels> Scan<B> {
    fn read(site: &Site<'_, B>) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        let body = inner(site, "body")?;
        let scanned = attributes.find_int("num_scan_inputs")?.copied().unwrap_or(0);
        let scanned = usize::try_from(scanned).ok().filter(|n| *n > 0 && *n <= body.declared);
        let scanned = scanned.ok_or("num_scan_inputs is not a number of the body's inputs")?;
        let states = body.declared - scanned;
        let outputs =
            body.results.len().checked_sub(states).ok_or("its body gives fewer outputs than states")?;
        let list = |name: &str, count: usize| {
            let given = attributes.find_ints(name)?.cloned().unwrap_or_else(|| vec![0; count]);
            if given.len() == count { Ok(given) } else { Err(format!("{name} are {given:?}, for {count}")) }
        };
        let backwards = |list: Vec<i64>| list.into_iter().map(|d| d == 1).collect();
        let directions = if site.node.version < 9 { "directions" } else { "scan_input_directions" };
        Ok(Self {
            states,
            scanned,
            input_axes: list("scan_input_axes", scanned)?,
            output_axes: list("scan_output_axes", outputs)?,
            input_backwards: backwards(list(directions, scanned)?),
            output_backwards: backwards(list("scan_output_directions", outputs)?),
            body,
        })
    }

    fn run(
        &self,
        mut state: Vec<Value<B>>,
        slices: &[Value<B>],
        captured: &[Value<B>],
        cx: &Context<B>,
    ) -> OpResult<B> {
        let axes = self.input_axes.iter().zip(slices).map(|(a, x)| axis(*a, x.rank()));
        let axes = axes.collect::<Result<Vec<_>, _>>()?;
        let lengths: Vec<usize> = axes.iter().zip(slices).map(|(a, x)| x.dims()[*a]).collect();
        let length = lengths.first().copied().unwrap_or(0);
        if lengths.iter().any(|l| *l != length) {
            return Err(format!("its inputs have {lengths:?} slices").into());
        }
        let mut scans = Gathered::new(self.output_axes.len());
        let scope = cx.run.scope();
        for round in 0..length {
            cx.run.count_round()?;
            let mut given = std::mem::take(&mut state);
            for ((x, axis), backwards) in slices.iter().zip(&axes).zip(&self.input_backwards) {
                given.push(at(x, *axis, if *backwards { length - 1 - round } else { round })?);
            }
            given.extend(captured.iter().cloned());
            let mut results = self.body.program.run(given, cx)?.into_iter();
            state = results.by_ref().take(self.states).collect();
            scans.push(results, cx)?;
            super::hold(&scope, &state, scans.bytes, cx)?;
        }
        let declared = &self.body.results[self.states..];
        for (index, mut parts) in scans.parts.into_iter().enumerate() {
            if self.output_backwards[index] {
                parts.reverse();
            }
            state.push(super::stack(parts, self.output_axes[index], &declared[index], cx)?);
        }
        Ok(state)
    }
}

/// Takes one slice, without its axis.
fn at<B: Kernels>(x: &Value<B>, axis: usize, index: usize) -> Result<Value<B>, OpError> {
    let mut dims = x.dims();
    let mut parts: Vec<Part> = dims.iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
    parts[axis] = Part { start: index, count: 1, step: 1 };
    dims.remove(axis);
    slice(x.clone(), &parts)?.reshaped(dims)
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let scan = Scan::read(site)?;
    if site.node.version < 9 {
        return batched(scan);
    }
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let state = (0..scan.states).map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        let slices =
            (0..scan.scanned).map(|i| inputs.take(scan.states + i)).collect::<Result<Vec<_>, _>>()?;
        let captured = scan.body.captures.clone().map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        scan.run(state, &slices, &captured, cx)
    }))
}

/// The form before opset 9: everything has a batch axis first, and items may be of different lengths.
fn batched<B: Kernels>(scan: Scan<B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let lengths = inputs.optional_ints(0)?;
        let given = (0..scan.body.declared).map(|i| inputs.take(i + 1)).collect::<Result<Vec<_>, _>>()?;
        let captured = scan.body.captures.clone().map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        if given.iter().any(|x| x.rank() == 0) {
            return Err("an input has no batch axis".into());
        }
        let batch = given.first().map_or(0, |x| x.dims()[0]);
        let longest = given.get(scan.states).and_then(|x| x.dims().get(1).copied()).unwrap_or(0);
        if given.iter().any(|x| x.dims()[0] != batch) {
            return Err("its inputs differ in their batch axis".into());
        }
        if lengths.is_some_and(|l| l.iter().any(|l| usize::try_from(*l) != Ok(longest))) {
            return Err("items of different lengths are not supported; Scan of opset 9 has none".into());
        }
        let mut columns: Vec<Vec<Value<B>>> = Vec::new();
        for item in 0..batch {
            let mut own = given.iter().map(|x| at(x, 0, item)).collect::<Result<Vec<_>, _>>()?;
            let slices = own.split_off(scan.states);
            let results = scan.run(own, &slices, &captured, cx)?;
            columns.resize_with(results.len(), Vec::new);
            for (column, value) in columns.iter_mut().zip(results) {
                let dims: Vec<usize> = std::iter::once(1).chain(value.dims()).collect();
                column.push(value.reshaped(dims)?);
            }
        }
        columns.into_iter().map(|column| concat::join(column, 0, cx)).collect()
    }))
}
