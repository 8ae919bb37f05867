//! Normalisations without weights: LRN over neighbouring channels, LpNormalization along an axis,
//! MeanVarianceNormalization over axes.

use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axes, axis, one, reduce};
use crate::engine::value::{Value, from_burn};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Slice, TensorMetadata, get_device_settings};

/// x / (bias + alpha / size · Σ x²)^beta, the sum over `size` channels around each.
pub fn response<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let float = |name, default| attributes.float(name, default).map(f64::from);
    let (alpha, beta, bias) = (float("alpha", 1e-4)?, float("beta", 0.75)?, float("bias", 1.0)?);
    let size = attributes.int("size", 0)?;
    let size = usize::try_from(size).ok().filter(|s| *s > 0).ok_or_else(|| format!("size is {size}"))?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let dims = x.shape().to_vec();
        if dims.len() < 2 {
            return Err(format!("{dims:?} has no channels").into());
        }
        if dims.contains(&0) {
            return one(Value::Float(x));
        }
        // Channels before and after; more than there are add nothing.
        let before = ((size - 1) / 2).min(dims[1] - 1);
        let after = (size / 2).min(dims[1] - 1);
        let squares = B::float_mul(x.clone(), x.clone());
        let mut padded = dims.clone();
        padded[1] += before + after;
        cx.check(from_burn(x.dtype()), &padded)?;
        let channels = |start: usize| {
            let mut slices: Vec<Slice> = dims.iter().map(|d| Slice::new(0, Some(*d as isize), 1)).collect();
            slices[1] = Slice::new(start as isize, Some((start + dims[1]) as isize), 1);
            slices
        };
        let zeros = B::float_zeros(padded.into(), &cx.device, x.dtype().into());
        let squares = B::float_slice_assign(zeros, &channels(before), squares);
        let mut sum = B::float_slice(squares.clone(), &channels(0));
        for start in 1..=before + after {
            cx.run.go_on()?;
            sum = B::float_add(sum, B::float_slice(squares.clone(), &channels(start)));
        }
        let base = B::float_add_scalar(B::float_mul_scalar(sum, (alpha / size as f64).into()), bias.into());
        one(Value::Float(B::float_div(x, B::float_powf_scalar(base, beta.into()))))
    }))
}

/// x over its norm along an axis; 0 where the norm is.
pub fn lp<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", -1)?;
    let square = match site.node.attributes.int("p", 2)? {
        1 => false,
        2 => true,
        p => return Err(format!("p is {p}, not 1 or 2")),
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let shape = x.shape();
        let axis = axis(given, shape.num_dims())?;
        if shape.num_elements() == 0 {
            return one(Value::Float(x));
        }
        let sizes = if square { B::float_mul(x.clone(), x.clone()) } else { B::float_abs(x.clone()) };
        let sum = reduce::sum(Value::Float(sizes), &[axis], cx)?.float(&cx.device)?;
        let norm: FloatTensor<B> = B::float_expand(if square { B::float_sqrt(sum) } else { sum }, shape);
        let out = get_device_settings::<B>(&cx.device).bool_dtype;
        let nothing = B::float_equal_elem(norm.clone(), 0.0.into(), out);
        one(Value::Float(B::float_mask_fill(B::float_div(x, norm), nothing, 0.0.into())))
    }))
}

/// (x - mean) / (deviation + 1e-9)
pub fn mean_variance<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_ints("axes")?.cloned().unwrap_or_else(|| vec![0, 2, 3]);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let shape = x.shape();
        let axes = axes(&given, shape.num_dims())?;
        if shape.num_elements() == 0 {
            return one(Value::Float(x));
        }
        if axes.is_empty() {
            return Err(format!("{:?} over axes {axes:?}", shape.as_slice()).into());
        }
        let off = B::float_sub(x.clone(), reduce::mean::<B>(x, &axes));
        let variance = reduce::mean::<B>(B::float_mul(off.clone(), off.clone()), &axes);
        let deviation = B::float_add_scalar(B::float_sqrt(variance), 1e-9.into());
        one(Value::Float(B::float_div(off, deviation)))
    }))
}
