//! Into blocks and out of them, shapes, channels after one another, and products of whole channels.

use super::{channels, check_channels, dims_of, refused};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::kernels::blocked::{BLOCK, blocks, from_planes, join_channels, to_planes, to_space, view};
use crate::engine::ops::make::shape::dimensions;
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use burn::tensor::TensorMetadata;

pub fn blocked<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let wanted = channels(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let dims = x.shape().to_vec();
        let [batch, channels, height, width] = dims[..] else {
            return Err(format!("{dims:?} where [N, {wanted}, H, W] should be").into());
        };
        if channels != wanted {
            return Err(format!("{dims:?} where [N, {wanted}, H, W] should be").into());
        }
        let out = [batch, blocks(channels), height, width, BLOCK];
        cx.check(DType::F32, &out)?;
        if out.contains(&0) {
            return one(Value::Float(B::float_zeros(out.into(), &cx.device, x.dtype().into())));
        }
        let y = B::compute(&[&x], &out, &|given| Ok(from_planes(given[0], batch, channels, height * width)));
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(x)))?))
    }))
}

pub fn planes<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let channels = channels(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let [batch, found, height, width] = dims_of(x.shape().as_slice())?;
        check_channels(found, channels)?;
        let out = [batch, channels, height, width];
        cx.check(DType::F32, &out)?;
        if out.contains(&0) {
            return one(Value::Float(B::float_zeros(out.into(), &cx.device, x.dtype().into())));
        }
        if height * width == 1 && channels % BLOCK == 0 {
            return one(Value::Float(x).reshaped(out.to_vec())?);
        }
        let y = B::compute_planes(&[&x], &out, &|given| {
            Ok(to_planes(view(given[0]), batch, channels, height * width))
        });
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(x)))?))
    }))
}

/// Channels of a position side by side in planes.
pub fn space<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let channels = channels(site)?;
    let given = site.node.attributes.find_ints("sides")?.cloned().unwrap_or_default();
    let side = |axis: usize| usize::try_from(*given.get(axis)?).ok().filter(|side| *side > 0);
    let sides = side(0).zip(side(1)).ok_or("sides are two numbers from 1 on")?;
    let sides = <[usize; 2]>::from(sides);
    let all =
        sides.iter().try_fold(channels, |all, side| all.checked_mul(*side)).ok_or("too many channels")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let [batch, found, height, width] = dims_of(x.shape().as_slice())?;
        check_channels(found, all)?;
        let larger =
            |axis: usize, size: usize| size.checked_mul(sides[axis]).ok_or("the result is too large");
        let out = [batch, channels, larger(0, height)?, larger(1, width)?];
        cx.check(DType::F32, &out)?;
        if out.contains(&0) {
            return one(Value::Float(B::float_zeros(out.into(), &cx.device, x.dtype().into())));
        }
        let y = B::compute_planes(&[&x], &out, &|given| {
            Ok(to_space(view(given[0]), batch, channels, sides, [height, width]))
        });
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(x)))?))
    }))
}

pub fn shape<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (channels, dimensions) = (channels(site)?, dimensions(site)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let [batch, found, height, width] = dims_of(&inputs.take(0)?.dims())?;
        check_channels(found, channels)?;
        one(dimensions(&[batch, channels, height, width])?)
    }))
}

/// Along the channels.
pub fn concat<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_ints("channels")?.ok_or("attribute \"channels\" is missing")?;
    let parts: Vec<usize> =
        given.iter().filter_map(|c| usize::try_from(*c).ok().filter(|c| *c > 0)).collect();
    if parts.len() != site.node.inputs.len() || parts.len() != given.len() || parts.is_empty() {
        return Err(format!("{given:?} are not the channels of {} inputs", site.node.inputs.len()));
    }
    let channels = parts.iter().try_fold(0usize, |sum, c| sum.checked_add(*c)).ok_or("too many channels")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut given = Vec::with_capacity(parts.len());
        for index in 0..parts.len() {
            given.push(inputs.take(index)?.float(&cx.device)?);
        }
        let [batch, _, height, width] = dims_of(given[0].shape().as_slice())?;
        for (tensor, channels) in given.iter().zip(&parts) {
            let dims = tensor.shape().to_vec();
            if dims != [batch, blocks(*channels), height, width, BLOCK] {
                return Err(format!("{dims:?} and {:?} do not join", given[0].shape().as_slice()).into());
            }
        }
        let out = [batch, blocks(channels), height, width, BLOCK];
        cx.check(DType::F32, &out)?;
        let y = B::compute(&given.iter().collect::<Vec<_>>(), &out, &|given| {
            let parts: Vec<_> = given.iter().zip(&parts).map(|(t, c)| (view(t), *c)).collect();
            Ok(join_channels(&parts, batch, height * width))
        });
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(given.swap_remove(0))))?))
    }))
}

/// A product; of every channel with a number of its own in one pass.
pub fn mul<B: Kernels>() -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        one(product(a, b, cx)?)
    }))
}

pub fn product<B: Kernels>(a: Value<B>, b: Value<B>, cx: &Context<B>) -> Result<Value<B>, OpError> {
    let ([n, c, ..], [m, d, ..]) = (dims_of(&a.dims())?, dims_of(&b.dims())?);
    if (n, c) != (m, d) || a.dims() == b.dims() || a.elements() == 0 || b.elements() == 0 {
        return arithmetic(Arithmetic::Mul, a, b, cx);
    }
    let (x, scale) = if b.elements() == n * c * BLOCK { (a, b) } else { (b, a) };
    if scale.elements() != n * c * BLOCK {
        return arithmetic(Arithmetic::Mul, x, scale, cx);
    }
    let (mut x, scale) = (x.float(&cx.device)?, scale.float(&cx.device)?);
    match B::scale_channels(&mut x, &scale) {
        Some(()) => Ok(Value::Float(x)),
        None => arithmetic(Arithmetic::Mul, Value::Float(x), Value::Float(scale), cx),
    }
}
