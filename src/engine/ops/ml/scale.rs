//! Scaler, Normalizer, Imputer, Binarizer: features made alike.

use super::{Matrix, float32, floats};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// The value for a column: there is one for all, or one for each.
fn column<T: Copy>(values: &[T], index: usize) -> Option<T> {
    if values.len() == 1 { values.first().copied() } else { values.get(index).copied() }
}

pub fn scaler<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (offset, scale) = (floats(site, "offset")?, floats(site, "scale")?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let dims = inputs.0.first().and_then(Option::as_ref).map(Value::dims).unwrap_or_default();
        let mut x = Matrix::take(&mut inputs, cx)?;
        for list in [&offset, &scale] {
            if list.len() > 1 {
                x.expect(list.len())?;
            }
        }
        let width = x.width.max(1);
        for (index, value) in x.values.iter_mut().enumerate() {
            let offset = column(&offset, index % width).unwrap_or(0.0);
            *value = (*value - offset) * column(&scale, index % width).unwrap_or(1.0);
        }
        one(float32(dims, x.values)?)
    }))
}

pub fn normalizer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let norm: fn(&[f64]) -> f64 = match site.node.attributes.text("norm", "MAX")? {
        "MAX" => |row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "L1" => |row| row.iter().map(|v| v.abs()).sum(),
        "L2" => |row| row.iter().map(|v| v * v).sum::<f64>().sqrt(),
        other => return Err(format!("norm {other:?} is not known")),
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let dims = inputs.0.first().and_then(Option::as_ref).map(Value::dims).unwrap_or_default();
        let mut x = Matrix::take(&mut inputs, cx)?;
        for row in x.values.chunks_exact_mut(x.width.max(1)) {
            let norm = norm(row);
            if norm != 0.0 {
                row.iter_mut().for_each(|v| *v /= norm);
            }
        }
        one(float32(dims, x.values)?)
    }))
}

pub fn binarizer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let threshold = f64::from(site.node.attributes.float("threshold", 0.0)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        cx.check(x.dtype(), x.shape())?;
        let bits = host::numbers(&x).map(|v| Number::Int(i128::from(v.as_f64() > threshold)));
        one(Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), bits)?))
    }))
}

/// Values that are missing (NaN, or a number that stands for it) replaced, column by column.
pub fn imputer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let floats: Vec<Number> = floats(site, "imputed_value_floats")?.into_iter().map(Number::Float).collect();
    let ints: Vec<Number> =
        super::ints(site, "imputed_value_int64s")?.into_iter().map(|v| Number::Int(v.into())).collect();
    let missing_float = f64::from(attributes.float("replaced_value_float", 0.0)?);
    let missing_int = attributes.int("replaced_value_int64", 0)?;
    if floats.is_empty() == ints.is_empty() {
        return Err("it has to have values of one kind, floats or integers, to put in".into());
    }
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let width = x.shape().last().copied().unwrap_or(1).max(1);
        let values = if x.dtype().is_float() { &floats } else { &ints };
        if x.dtype() == DType::String || values.is_empty() || (values.len() > 1 && values.len() != width) {
            return Err(format!("{} values to put into {x:?}", values.len()).into());
        }
        let missing = |number: Number| match number {
            Number::Float(v) => v == missing_float || (v.is_nan() && missing_float.is_nan()),
            Number::Int(v) => v == i128::from(missing_int),
        };
        cx.check(x.dtype(), x.shape())?;
        let filled = host::numbers(&x).enumerate().map(|(index, number)| {
            let other = if missing(number) { column(values, index % width) } else { None };
            other.unwrap_or(number)
        });
        one(Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), filled)?))
    }))
}
