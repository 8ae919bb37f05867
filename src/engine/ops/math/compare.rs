//! Equal, Greater, Less and their like; And, Or, Xor, Not.

use super::binary::elementwise;
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, broadcast, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use burn::tensor::get_device_settings;

#[derive(Clone, Copy, Debug)]
pub enum Relation {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

pub fn build<B: Kernels>(op: Relation) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        broadcast::same_dtype(&a, &b)?;
        let (a, b) = broadcast::settled(a, b, cx);
        if let (Value::Host(a), Value::Host(b)) = (&a, &b) {
            if a.dtype() == DType::String {
                return one(Value::Host(strings(op, a, b, cx)?));
            }
            let result = elementwise(a, b, DType::Bool, cx, |a, b| {
                let holds = match op {
                    Relation::Equal => a == b,
                    Relation::Greater => a > b,
                    Relation::GreaterOrEqual => a >= b,
                    Relation::Less => a < b,
                    Relation::LessOrEqual => a <= b,
                };
                Ok(Number::Int(holds.into()))
            })?;
            return one(Value::Host(result));
        }
        let out = get_device_settings::<B>(&cx.device).bool_dtype;
        one(Value::Bool(match (op, broadcast::both(a, b, cx)?) {
            (Relation::Equal, (Value::Float(a), Value::Float(b))) => B::float_equal(a, b, out),
            (Relation::Greater, (Value::Float(a), Value::Float(b))) => B::float_greater(a, b, out),
            (Relation::GreaterOrEqual, (Value::Float(a), Value::Float(b))) => {
                B::float_greater_equal(a, b, out)
            }
            (Relation::Less, (Value::Float(a), Value::Float(b))) => B::float_lower(a, b, out),
            (Relation::LessOrEqual, (Value::Float(a), Value::Float(b))) => B::float_lower_equal(a, b, out),
            (Relation::Equal, (Value::Int(a), Value::Int(b))) => B::int_equal(a, b, out),
            (Relation::Greater, (Value::Int(a), Value::Int(b))) => B::int_greater(a, b, out),
            (Relation::GreaterOrEqual, (Value::Int(a), Value::Int(b))) => B::int_greater_equal(a, b, out),
            (Relation::Less, (Value::Int(a), Value::Int(b))) => B::int_lower(a, b, out),
            (Relation::LessOrEqual, (Value::Int(a), Value::Int(b))) => B::int_lower_equal(a, b, out),
            (Relation::Equal, (Value::Bool(a), Value::Bool(b))) => B::bool_equal(a, b),
            (_, (a, b)) => return Err(format!("{} and {} are not ordered", a.dtype(), b.dtype()).into()),
        }))
    }))
}

fn strings<B: Kernels>(op: Relation, a: &Tensor, b: &Tensor, cx: &Context<B>) -> Result<Tensor, OpError> {
    if !matches!(op, Relation::Equal) {
        return Err("strings are not ordered".into());
    }
    let dims = broadcast::shape(a.shape(), b.shape())?;
    cx.check(DType::Bool, &dims)?;
    let (left, right) = (host::strings(a)?, host::strings(b)?);
    let pairs = host::broadcast_indices(a.shape(), &dims).zip(host::broadcast_indices(b.shape(), &dims));
    let equal = pairs.map(|(l, r)| left[l] == right[r]).collect();
    Ok(Tensor::from_bools(dims, equal).map_err(|e| e.to_string())?)
}

#[derive(Clone, Copy, Debug)]
pub enum Logic {
    And,
    Or,
    Xor,
}

pub fn logic<B: Kernels>(op: Logic) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        if let (Value::Host(a), Value::Host(b)) = (&a, &b) {
            let result = elementwise(a, b, DType::Bool, cx, |a, b| {
                let (a, b) = (a.as_f64() != 0.0, b.as_f64() != 0.0);
                let holds = match op {
                    Logic::And => a && b,
                    Logic::Or => a || b,
                    Logic::Xor => a != b,
                };
                Ok(Number::Int(holds.into()))
            })?;
            return one(Value::Host(result));
        }
        let (a, b) = broadcast::both(a, b, cx)?;
        let (a, b) = (a.bool(&cx.device)?, b.bool(&cx.device)?);
        one(Value::Bool(match op {
            Logic::And => B::bool_and(a, b),
            Logic::Or => B::bool_or(a, b),
            Logic::Xor => B::bool_xor(a, b),
        }))
    }))
}

pub fn not<B: Kernels>() -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| match inputs.take(0)? {
        Value::Host(a) => {
            let flipped = host::collected(a.bytes().iter().map(|b| *b == 0))?;
            let tensor = crate::tensor::Tensor::from_bools(a.shape().to_vec(), flipped);
            one(Value::Host(tensor.map_err(|e| e.to_string())?))
        }
        a => one(Value::Bool(B::bool_not(a.bool(&cx.device)?))),
    }))
}
