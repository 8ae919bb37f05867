//! Sequences of tensors, and optionals.

mod join;
mod optional;

use super::{BoxOp, Context, Inputs, OpError, Registry, Site, one};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::value::{List, Value};
use crate::tensor::DType;
use std::sync::Arc;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("SequenceEmpty", 11, empty);
    r.op("SequenceConstruct", 11, construct);
    r.op("SequenceAt", 11, at);
    r.op("SequenceInsert", 11, insert);
    r.op("SequenceErase", 11, erase);
    r.op("SequenceLength", 11, length);
    r.op("SplitToSequence", 11, join::split);
    r.op("ConcatFromSequence", 11, join::concat);
    r.op("Optional", 15, optional::make);
    r.op("OptionalHasElement", 15, optional::has);
    r.op("OptionalGetElement", 15, optional::get);
}

fn empty<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|_: Inputs<B>, _: &Context<B>| one(Value::Sequence(List::default().into()))))
}

fn construct<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut list = List::default();
        for index in 0..inputs.0.len() {
            list.insert(index, inputs.take(index)?, cx.max_bytes)?;
        }
        one(Value::Sequence(list.into()))
    }))
}

/// A position that may count from the end, up to `limit`.
fn position<B: Kernels>(given: Value<B>, length: usize, limit: usize) -> Result<usize, OpError> {
    let at = host::only(&given.into_host()?)?.as_i64();
    let from_start = if at < 0 { at.saturating_add(length as i64) } else { at };
    match usize::try_from(from_start) {
        Ok(from_start) if from_start < limit => Ok(from_start),
        _ => Err(format!("position {at} of a sequence of {length}").into()),
    }
}

fn at<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| {
        let list = inputs.take(0)?.into_sequence()?;
        let length = list.items.len();
        let index = position(inputs.take(1)?, length, length)?;
        one(list.items.get(index).cloned().ok_or("there is no such element")?)
    }))
}

fn insert<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (mut list, value) = (inputs.take(0)?.into_sequence()?, inputs.take(1)?);
        let length = list.items.len();
        let index = match inputs.optional(2) {
            Some(given) => position(given, length, length + 1)?,
            None => length,
        };
        // In place where nothing else holds the sequence, so that a loop that fills one takes linear time.
        Arc::make_mut(&mut list).insert(index, value, cx.max_bytes)?;
        one(Value::Sequence(list))
    }))
}

fn erase<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| {
        let mut list = inputs.take(0)?.into_sequence()?;
        let length = list.items.len();
        let index = match inputs.optional(1) {
            Some(given) => position(given, length, length)?,
            None => length.checked_sub(1).ok_or("the sequence is empty")?,
        };
        Arc::make_mut(&mut list).remove(index);
        one(Value::Sequence(list))
    }))
}

fn length<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| {
        let length = inputs.take(0)?.into_sequence()?.items.len();
        one(Value::Host(host::scalar(DType::I64, Number::Int(length as i128))?))
    }))
}
