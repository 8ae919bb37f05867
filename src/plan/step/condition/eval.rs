//! Whether a condition holds for the values of one item. Pure.

use super::{Comparison, Condition, Expression, Literal, Operand};
use crate::tensor::{DType, Tensor};
use std::cmp::Ordering;
use std::sync::Arc;

/// The value of a source for one item.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A float, and the type that it was computed in. Numbers of the condition are rounded to that type before they are
    /// compared with it, so that a float32 of 0.85 is 0.85.
    Float(f64, DType),
    Int(i128),
    Bool(bool),
    Text(Arc<str>),
    /// A class, with its label where the classes have labels.
    Class(i128, Option<Arc<str>>),
}

impl Scalar {
    /// The one element of a tensor; `None` where it has none or several, or one of a type that nothing computes with.
    pub fn of(tensor: &Tensor) -> Option<Self> {
        if tensor.len() != 1 {
            return None;
        }
        let wide = |tensor: &Tensor| {
            let unsigned = tensor.elements::<u64>().and_then(|all| all.first().copied().map(i128::from));
            unsigned.or_else(|| tensor.elements::<i64>().and_then(|all| all.first().copied().map(i128::from)))
        };
        Some(match tensor.dtype() {
            DType::String => Self::Text(tensor.strings()?.first()?.clone()),
            DType::Bool => Self::Bool(*tensor.bytes().first()? != 0),
            DType::I64 | DType::U64 => Self::Int(wide(tensor)?),
            dtype if dtype.is_float() => Self::Float(*tensor.to_f64().first()?, dtype),
            dtype if dtype.is_number() => Self::Int(*tensor.to_f64().first()? as i128),
            _ => return None,
        })
    }
}

/// What is compared, seen alike whether it is a value or written in the condition.
enum Side<'a> {
    /// Written in the condition with a point, and takes the type of what it is compared with.
    Written(f64),
    Float(f64, DType),
    Int(i128),
    Bool(bool),
    Text(&'a str),
    Class(i128, Option<&'a str>),
}

impl Condition {
    /// Whether the condition holds. `values` are those of [`Condition::sources`], in that order, of the kinds that were
    /// checked. Not-a-number compares as in IEEE 754: it differs from everything. So does what is not of the kind that
    /// it is compared with.
    pub fn evaluate(&self, values: &[Scalar]) -> bool {
        holds(&self.root, values)
    }
}

fn holds(expression: &Expression, values: &[Scalar]) -> bool {
    match expression {
        Expression::Flag(source) => matches!(values.get(source.source), Some(Scalar::Bool(true))),
        Expression::Compare { left, by, right } => {
            let Some(left) = values.get(left.source) else { return false };
            let right = match right {
                Operand::Literal(literal) => Some(of_literal(&literal.literal)),
                Operand::Source(source) => values.get(source.source).map(of_scalar),
            };
            right.is_some_and(|right| compares(*by, &of_scalar(left), &right))
        }
        Expression::Among { left, negated, list } => {
            let Some(left) = values.get(left.source) else { return false };
            let left = of_scalar(left);
            let mut list = list.iter().map(|item| of_literal(&item.literal));
            list.any(|item| compares(Comparison::Equal, &left, &item)) != *negated
        }
        Expression::Not(inner) => !holds(inner, values),
        Expression::All(parts) => parts.iter().all(|part| holds(part, values)),
        Expression::Any(parts) => parts.iter().any(|part| holds(part, values)),
    }
}

fn of_scalar(scalar: &Scalar) -> Side<'_> {
    match scalar {
        Scalar::Float(value, dtype) => Side::Float(*value, *dtype),
        Scalar::Int(value) => Side::Int(*value),
        Scalar::Bool(value) => Side::Bool(*value),
        Scalar::Text(text) => Side::Text(text),
        Scalar::Class(index, label) => Side::Class(*index, label.as_deref()),
    }
}

fn of_literal(literal: &Literal) -> Side<'_> {
    match literal {
        Literal::Int(value) => Side::Int(*value),
        Literal::Float(value) => Side::Written(*value),
        Literal::Bool(value) => Side::Bool(*value),
        Literal::Text(text) => Side::Text(text),
    }
}

fn compares(by: Comparison, left: &Side<'_>, right: &Side<'_>) -> bool {
    let order = order(left, right);
    match by {
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::Different => order != Some(Ordering::Equal),
    }
}

/// `None` where the two do not compare: not-a-number, and what is not of one kind.
fn order(left: &Side<'_>, right: &Side<'_>) -> Option<Ordering> {
    use Side::{Bool, Class, Float, Int, Text, Written};
    match (left, right) {
        (Float(left, dtype), Written(right)) => left.partial_cmp(&rounded(*right, *dtype)),
        (Written(left), Float(right, dtype)) => rounded(*left, *dtype).partial_cmp(right),
        (Float(left, _) | Written(left), Float(right, _) | Written(right)) => left.partial_cmp(right),
        (Int(left), Float(right, _) | Written(right)) => exact(*left, *right),
        (Float(left, _) | Written(left), Int(right)) => exact(*right, *left).map(Ordering::reverse),
        (Int(left), Int(right)) => Some(left.cmp(right)),
        (Bool(left), Bool(right)) => Some(left.cmp(right)),
        (Text(left), Text(right)) => Some(left.cmp(right)),
        (Class(_, Some(left)), Text(right)) => Some((**left).cmp(right)),
        (Text(left), Class(_, Some(right))) => Some((**left).cmp(right)),
        (Class(_, Some(left)), Class(_, Some(right))) => Some(left.cmp(right)),
        (Class(left, _), Class(right, _)) => Some(left.cmp(right)),
        (Class(left, _), Int(right)) => Some(left.cmp(right)),
        (Int(left), Class(right, _)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// The number of `dtype` that is nearest; the number itself where that one would be infinite.
fn rounded(value: f64, dtype: DType) -> f64 {
    let rounded = match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::BF16 => half::bf16::from_f64(value).to_f64(),
        _ => value,
    };
    if rounded.is_finite() { rounded } else { value }
}

/// An integer and a float, compared as the numbers that they are: 2^53 + 1 is more than 2^53.
fn exact(int: i128, float: f64) -> Option<Ordering> {
    const BEYOND: f64 = i128::MAX as f64;
    if float.is_nan() {
        return None;
    }
    // The greatest integer rounds up to 2^127, which none of them reaches.
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    let rest = 0.0f64.partial_cmp(&(float - whole))?;
    Some(int.cmp(&(whole as i128)).then(rest))
}
