//! Optional, OptionalHasElement, OptionalGetElement. An optional that is not empty is its value.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;

pub fn make<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| one(inputs.optional(0).unwrap_or(Value::Nothing))))
}

pub fn has<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| {
        let has = inputs.optional(0).is_some_and(|value| !matches!(value, Value::Nothing));
        one(Value::Host(host::scalar(DType::Bool, Number::Int(has.into()))?))
    }))
}

pub fn get<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| match inputs.take(0)? {
        Value::Nothing => Err("the optional is empty".into()),
        value => one(value),
    }))
}
