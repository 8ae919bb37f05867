//! Constant, ConstantOfShape, Range, EyeLike.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::onnx::{Attribute, Node};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

pub fn constant<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let tensor = value(site.node)?;
    Ok(Box::new(move |_: Inputs<B>, _: &Context<B>| one(Value::Host(tensor.clone()))))
}

/// What a Constant node holds.
fn value(node: &Node) -> Result<Tensor, String> {
    let Some((name, attribute)) = node.attributes.0.first() else { return Err("it has no value".into()) };
    let floats = |v: &[f32]| v.iter().map(|v| Number::Float(f64::from(*v))).collect::<Vec<_>>();
    match attribute {
        Attribute::Tensor(tensor) => Ok(tensor.clone()),
        Attribute::Int(v) => host::scalar(DType::I64, Number::Int(i128::from(*v))),
        Attribute::Ints(v) => host::from_ints(v),
        Attribute::Float(v) => host::scalar(DType::F32, Number::Float(f64::from(*v))),
        Attribute::Floats(v) => host::from_numbers(DType::F32, vec![v.len()], floats(v)),
        Attribute::Text(v) => host::texts(Vec::new(), vec![v.as_str().into()]),
        Attribute::Texts(v) => host::texts(vec![v.len()], v.clone()),
        _ => Err(format!("a constant of {name} is not supported")),
    }
}

pub fn of_shape<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (dtype, fill) = match site.node.attributes.find_tensor("value")? {
        Some(tensor) => (tensor.dtype(), host::only(tensor)?),
        None => (DType::F32, Number::Float(0.0)),
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let dims = inputs.ints(0)?;
        let dims = dims.iter().map(|d| usize::try_from(*d).map_err(|_| format!("{dims:?} is not a shape")));
        let dims = dims.collect::<Result<Vec<_>, _>>()?;
        cx.check(dtype, &dims)?;
        let count = host::count(&dims)?;
        one(Value::Host(host::pick(&host::scalar(dtype, fill)?, std::iter::repeat_n(0, count), dims)?))
    }))
}

pub fn range<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut bounds = Vec::with_capacity(3);
        let mut dtype = DType::F32;
        for index in 0..3 {
            let bound = inputs.take(index)?.into_host()?;
            dtype = bound.dtype();
            bounds.push(host::only(&bound)?);
        }
        let count = match bounds[..] {
            [Number::Int(start), Number::Int(limit), Number::Int(delta)] => {
                if delta == 0 {
                    return Err("a step of 0".into());
                }
                let span = limit - start;
                if span.signum() == delta.signum() { (span.abs() - 1) / delta.abs() + 1 } else { 0 }
            }
            _ => {
                let (start, limit, delta) = (bounds[0].as_f64(), bounds[1].as_f64(), bounds[2].as_f64());
                let count = ((limit - start) / delta).ceil();
                if count.is_nan() {
                    return Err("a step of 0".into());
                }
                count.max(0.0) as i128
            }
        };
        let count = usize::try_from(count).map_err(|_| "the result is too large")?;
        cx.check(dtype, &[count])?;
        let at = |i: usize| match (bounds[0], bounds[2]) {
            (Number::Int(start), Number::Int(delta)) => Number::Int(start + i as i128 * delta),
            (start, delta) => Number::Float(start.as_f64() + i as f64 * delta.as_f64()),
        };
        one(Value::Host(host::from_numbers(dtype, vec![count], (0..count).map(at))?))
    }))
}

pub fn eye_like<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let k = site.node.attributes.int("k", 0)?;
    let given = site.node.attributes.find_int("dtype")?.map(|code| host::dtype_of(*code)).transpose()?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let dims = x.dims();
        let [rows, columns] = dims[..] else { return Err(format!("{dims:?} is not a matrix").into()) };
        let dtype = given.unwrap_or(x.dtype());
        cx.check(dtype, &dims)?;
        let diagonal = |row: usize| (row as i64).checked_add(k).and_then(|c| usize::try_from(c).ok());
        let line = |row| (0..columns).map(move |column| Number::Int((diagonal(row) == Some(column)).into()));
        one(Value::Host(host::from_numbers(dtype, dims, (0..rows).flat_map(line))?))
    }))
}
