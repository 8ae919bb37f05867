//! ReduceSum, ReduceMean and their like. The axes are an attribute at first, an input since opset 13
//! (ReduceSum) or 18.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number, Reader};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axes, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use burn::tensor::{TensorMetadata, get_device_settings, ops::FloatTensor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

pub fn build<B: Kernels>(site: &Site<'_, B>, kind: Kind) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let keep = attributes.int("keepdims", 1)? != 0;
    let noop = attributes.flag("noop_with_empty_axes")?;
    let known = match attributes.find_ints("axes")? {
        Some(axes) => Some(axes.clone()),
        None => site.absorb_ints(1)?,
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let dims = x.dims();
        let given = match &known {
            Some(axes) => Some(axes.clone()),
            None => inputs.optional_ints(1)?,
        };
        let axes = match given {
            Some(given) if !given.is_empty() => axes(&given, dims.len())?,
            _ if noop => Vec::new(),
            _ => (0..dims.len()).collect(),
        };
        let mut out = dims.clone();
        for axis in axes.iter().rev() {
            if keep {
                out[*axis] = 1;
            } else {
                out.remove(*axis);
            }
        }
        match x {
            Value::Float(x) if x.shape().num_elements() > 0 && !dims.is_empty() => {
                one(Value::Float(reduce::<B>(x, &axes, kind)).reshaped(out)?)
            }
            x => one(Value::Host(on_host(&x.into_host()?, &axes, kind, cx)?).reshaped(out)?),
        }
    }))
}

fn reduce<B: Kernels>(x: FloatTensor<B>, axes: &[usize], kind: Kind) -> FloatTensor<B> {
    let sum = |x| along::<B>(x, axes, B::float_sum_dim);
    let squared = |x: FloatTensor<B>| B::float_mul(x.clone(), x);
    match kind {
        Kind::Sum => sum(x),
        Kind::Mean => mean::<B>(x, axes),
        Kind::Max => along::<B>(x, axes, B::float_max_dim),
        Kind::Min => along::<B>(x, axes, B::float_min_dim),
        Kind::Prod => along::<B>(x, axes, B::float_prod_dim),
        Kind::L1 => sum(B::float_abs(x)),
        Kind::L2 => B::float_sqrt(sum(squared(x))),
        Kind::SumSquare => sum(squared(x)),
        Kind::LogSum => B::float_log(sum(x)),
        Kind::LogSumExp => {
            let max = along::<B>(x.clone(), axes, B::float_max_dim);
            // Where the greatest is infinite there is nothing to scale by.
            let out = get_device_settings::<B>(&B::float_device(&max)).bool_dtype;
            let infinite = B::float_equal_elem(B::float_abs(max.clone()), f64::INFINITY.into(), out);
            let max = B::float_mask_fill(max, infinite, 0.0.into());
            let shape = x.shape();
            let shifted = B::float_sub(x, B::float_expand(max.clone(), shape));
            B::float_add(B::float_log(sum(B::float_exp(shifted))), max)
        }
    }
}

/// Axes that lie together are reduced as one.
fn along<B: Kernels>(
    mut x: FloatTensor<B>,
    axes: &[usize],
    f: fn(FloatTensor<B>, usize) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = x.shape();
    let mut dims = shape.to_vec();
    let mut left = axes;
    while let Some(last) = left.last() {
        let run = left.iter().rev().enumerate().take_while(|(i, a)| **a + i == *last).count();
        let first = last + 1 - run;
        let joined: usize = dims[first..=*last].iter().product();
        let merged: Vec<usize> =
            dims[..first].iter().chain([&joined]).chain(&dims[last + 1..]).copied().collect();
        x = f(B::float_reshape(x, merged.into()), first);
        dims[first..=*last].fill(1);
        x = B::float_reshape(x, dims.clone().into());
        left = &left[..left.len() - run];
    }
    x
}

/// Means over axes, which stay as axes of 1. Of nothing the mean is no number.
pub fn mean<B: Kernels>(x: FloatTensor<B>, axes: &[usize]) -> FloatTensor<B> {
    let mut dims = x.shape().to_vec();
    if axes.iter().any(|axis| dims[*axis] == 0) {
        axes.iter().for_each(|axis| dims[*axis] = 1);
        let (device, dtype) = (B::float_device(&x), x.dtype());
        return B::float_full(dims.into(), f64::NAN.into(), &device, dtype.into());
    }
    along::<B>(x, axes, B::float_mean_dim)
}

/// Sums over axes, which stay as axes of 1.
pub fn sum<B: Kernels>(x: Value<B>, axes: &[usize], cx: &Context<B>) -> Result<Value<B>, OpError> {
    match x {
        Value::Float(x) if x.shape().num_elements() > 0 => Ok(Value::Float(reduce::<B>(x, axes, Kind::Sum))),
        x => Ok(Value::Host(on_host(&x.into_host()?, axes, Kind::Sum, cx)?)),
    }
}

/// Exact for integers; also what an empty tensor or a scalar reduces to.
fn on_host<B: Kernels>(x: &Tensor, axes: &[usize], kind: Kind, cx: &Context<B>) -> Result<Tensor, OpError> {
    let dims = x.shape();
    if x.strings().is_some() {
        return Err("strings are not reduced".into());
    }
    let out: Vec<usize> =
        dims.iter().enumerate().map(|(a, d)| if axes.contains(&a) { 1 } else { *d }).collect();
    // The places of a group's first elements, and from there those of its others, in order.
    let own = host::strides(dims);
    let of = |reduced: bool| -> (Vec<usize>, Vec<usize>) {
        (0..dims.len()).filter(|a| axes.contains(a) == reduced).map(|a| (dims[a], own[a])).unzip()
    };
    let ((kept, kept_steps), (reduced, steps)) = (of(false), of(true));
    let numbers = Reader::new(x);
    let of_group = host::walk(&reduced, &steps, 0);
    let folded = host::walk(&kept, &kept_steps, 0).map(|start| {
        cx.run.go_on()?;
        let group = of_group.clone().map(|at| numbers.at(start + at));
        Ok::<_, OpError>(fold(group, kind, x)?)
    });
    host::try_from_numbers(x.dtype(), out, folded)
}

/// The least and the greatest integer of a type.
fn bounds(dtype: DType) -> (i128, i128) {
    let bits = dtype.size() as u32 * 8;
    match dtype {
        DType::Bool => (0, 1),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => (0, (1 << bits) - 1),
        _ => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
    }
}

fn fold(
    group: impl ExactSizeIterator<Item = Number> + Clone,
    kind: Kind,
    x: &Tensor,
) -> Result<Number, String> {
    let floats = || group.clone().map(Number::as_f64);
    let int = !x.dtype().is_float();
    if int {
        let ints = || group.clone().map(|n| if let Number::Int(v) = n { v } else { 0 });
        let sum = |ints: &mut dyn Iterator<Item = i128>| ints.fold(0i128, i128::wrapping_add);
        let exact = match kind {
            Kind::Sum => Some(sum(&mut ints())),
            Kind::Prod => Some(ints().fold(1i128, i128::wrapping_mul)),
            Kind::L1 => Some(sum(&mut ints().map(i128::abs))),
            Kind::SumSquare => Some(sum(&mut ints().map(|v| v.wrapping_mul(v)))),
            Kind::Max => ints().max(),
            Kind::Min => ints().min(),
            Kind::Mean if group.len() > 0 => Some(sum(&mut ints()) / group.len() as i128),
            _ => None,
        };
        if let Some(exact) = exact {
            return Ok(Number::Int(exact));
        }
    }
    let nan_first = |pick: fn(f64, f64) -> f64, start: f64| {
        floats().fold(start, |m, v| if m.is_nan() || v.is_nan() { f64::NAN } else { pick(m, v) })
    };
    Ok(Number::Float(match kind {
        Kind::Sum => floats().sum(),
        Kind::Mean => floats().sum::<f64>() / group.len() as f64,
        Kind::Prod => floats().product(),
        Kind::L1 => floats().map(f64::abs).sum(),
        Kind::L2 => floats().map(|v| v * v).sum::<f64>().sqrt(),
        Kind::SumSquare => floats().map(|v| v * v).sum(),
        Kind::LogSum => floats().sum::<f64>().ln(),
        Kind::LogSumExp => {
            let max = nan_first(f64::max, f64::NEG_INFINITY);
            if max.is_infinite() { max } else { floats().map(|v| (v - max).exp()).sum::<f64>().ln() + max }
        }
        // Of nothing: the least or greatest that the type has.
        Kind::Max | Kind::Min if group.len() == 0 && int => {
            let (least, greatest) = bounds(x.dtype());
            return Ok(Number::Int(if kind == Kind::Max { least } else { greatest }));
        }
        Kind::Max => nan_first(f64::max, f64::NEG_INFINITY),
        Kind::Min => nan_first(f64::min, f64::INFINITY),
    }))
}
