//! Layer, Instance, Group and RMS normalisation: each is (x - mean) / √(variance + ε) over some axes.

use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis, broadcast, one, reduce};
use crate::engine::value::Value;
use burn::tensor::TensorMetadata;
use burn::tensor::ops::FloatTensor;

/// x, its mean and the inverse of its deviation over the last axes; the last two with those axes at 1.
fn statistics<B: Kernels>(
    x: &FloatTensor<B>,
    axes: &[usize],
    epsilon: f64,
    centred: bool,
) -> (FloatTensor<B>, Option<FloatTensor<B>>, FloatTensor<B>) {
    let mean = centred.then(|| reduce::mean::<B>(x.clone(), axes));
    let off = match &mean {
        Some(mean) => B::float_sub(x.clone(), mean.clone()),
        None => x.clone(),
    };
    let variance = reduce::mean::<B>(B::float_mul(off.clone(), off.clone()), axes);
    let inverse = B::float_recip(B::float_sqrt(B::float_add_scalar(variance, epsilon.into())));
    (off, mean, inverse)
}

pub fn layer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    over_last(site, true)
}

pub fn rms<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    over_last(site, false)
}

fn over_last<B: Kernels>(site: &Site<'_, B>, centred: bool) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let given = attributes.int("axis", -1)?;
    let epsilon = f64::from(attributes.float("epsilon", 1e-5)?);
    let statistics_wanted = (1..3).any(|output| site.has_output(output));
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut x = inputs.take(0)?.float(&cx.device)?;
        let dims = x.shape().to_vec();
        let axes: Vec<usize> = (axis(given, dims.len())?..dims.len()).collect();
        if dims.contains(&0) {
            let mut kept = dims.clone();
            axes.iter().for_each(|a| kept[*a] = 1);
            let zeros = B::float_zeros(kept.into(), &cx.device, x.dtype().into());
            return Ok(vec![Value::Float(x), Value::Float(zeros.clone()), Value::Float(zeros)]);
        }
        if !statistics_wanted {
            let width = axes.iter().map(|a| dims[*a]).product();
            let whole = |v: Option<Value<B>>| v.map(|v| v.float(&cx.device)).transpose();
            let (scale, bias) = (whole(inputs.optional(1))?, whole(inputs.optional(2))?);
            if B::normalise_rows(&mut x, width, epsilon, centred, scale.as_ref(), bias.as_ref()).is_some() {
                return one(Value::Float(x));
            }
            inputs.0.resize_with(3, || None);
            inputs.0[1] = scale.map(Value::Float);
            inputs.0[2] = bias.map(Value::Float);
        }
        let (off, mean, inverse) = statistics::<B>(&x, &axes, epsilon, centred);
        let mut y = Value::Float(B::float_mul(off, inverse.clone()));
        if let Some(scale) = inputs.optional(1) {
            let scale = broadcast::to(scale, &dims, cx)?.float(&cx.device)?;
            y = Value::Float(B::float_mul(y.float(&cx.device)?, scale));
        }
        if let Some(bias) = inputs.optional(2) {
            let bias = broadcast::to(bias, &dims, cx)?.float(&cx.device)?;
            y = Value::Float(B::float_add(y.float(&cx.device)?, bias));
        }
        let mut outputs = vec![y];
        outputs.extend(mean.map(Value::Float));
        outputs.push(Value::Float(inverse));
        Ok(outputs)
    }))
}

pub fn instance<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let epsilon = f64::from(site.node.attributes.float("epsilon", 1e-5)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let dims = x.shape().to_vec();
        if dims.len() < 3 {
            return Err(format!("{dims:?} has no spatial axes").into());
        }
        let axes: Vec<usize> = (2..dims.len()).collect();
        let (off, _, inverse) = statistics::<B>(&x, &axes, epsilon, true);
        let y = B::float_mul(off, inverse);
        one(Value::Float(by_channel::<B>(y, &dims, inputs.take(1)?, inputs.take(2)?, cx)?))
    }))
}

/// y · scale + bias, each of them one number for each channel.
fn by_channel<B: Kernels>(
    y: FloatTensor<B>,
    dims: &[usize],
    scale: Value<B>,
    bias: Value<B>,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let mut shape = vec![1; dims.len()];
    shape[1] = dims[1];
    let scale = scale.reshaped(shape.clone())?.float(&cx.device)?;
    let bias = bias.reshaped(shape)?.float(&cx.device)?;
    Ok(B::float_add(B::float_mul(y, scale), bias))
}

/// Scale and bias are for each group in opset 18, for each channel since 21.
pub fn group<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let epsilon = f64::from(attributes.float("epsilon", 1e-5)?);
    let groups = attributes.int("num_groups", 0)?;
    let groups = usize::try_from(groups).ok().filter(|g| *g > 0).ok_or("num_groups is not positive")?;
    let per_group = site.node.version < 21;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let dims = x.shape().to_vec();
        if dims.len() < 2 || dims[1] % groups != 0 || dims.contains(&0) {
            return Err(format!("{dims:?} for {groups} groups").into());
        }
        let inner = dims[1..].iter().product::<usize>() / groups;
        let grouped = vec![dims[0], groups, inner];
        let x = B::float_reshape(x, grouped.clone().into());
        let (off, _, inverse) = statistics::<B>(&x, &[2], epsilon, true);
        let y = B::float_mul(off, inverse);
        let (scale, bias) = (inputs.take(1)?, inputs.take(2)?);
        one(Value::Float(if per_group {
            let y = by_channel::<B>(y, &grouped, scale, bias, cx)?;
            B::float_reshape(y, dims.into())
        } else {
            let y = B::float_reshape(y, dims.clone().into());
            by_channel::<B>(y, &dims, scale, bias, cx)?
        }))
    }))
}
