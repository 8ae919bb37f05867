//! Pools of tensors in blocks.

use super::{dims_of, refused};
use crate::engine::backend::Kernels;
use crate::engine::kernels::blocked::{self, BLOCK, Pool, view};
use crate::engine::ops::nn::window::Window;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use burn::tensor::TensorMetadata;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Max,
    Average,
}

/// Attributes as of the operator in planes.
pub fn build<B: Kernels>(site: &Site<'_, B>, kind: Kind) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    let kernel = window.kernel.clone().ok_or("attribute \"kernel_shape\" is missing")?;
    let kind = match kind {
        Kind::Max => Pool::Max,
        Kind::Average => Pool::Average { pads: site.node.attributes.flag("count_include_pad")? },
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let [batch, blocks, height, width] = dims_of(x.shape().as_slice())?;
        let slides = window.slides(&[height, width], &kernel)?;
        let [rows, columns] = slides[..] else { return Err("two spatial axes are needed".into()) };
        let both = |get: fn(&crate::engine::ops::nn::window::Slide) -> usize| [get(&rows), get(&columns)];
        let slide = blocked::Window {
            kernel: both(|s| s.kernel),
            stride: both(|s| s.stride),
            dilation: both(|s| s.dilation),
            pad_begin: both(|s| s.pads.0),
            pad_end: both(|s| s.pads.1),
            out: both(|s| s.out),
        };
        let out = [batch, blocks, slide.out[0], slide.out[1], BLOCK];
        cx.check(DType::F32, &out)?;
        if out.contains(&0) {
            return one(Value::Float(B::float_zeros(out.into(), &cx.device, x.dtype().into())));
        }
        if height * width == 0 {
            return Err(format!("{:?} has no pixels", x.shape().as_slice()).into());
        }
        let y = B::compute(&[&x], &out, &|given| {
            Ok(blocked::pool(view(given[0]), [height, width], &slide, kind))
        });
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(x)))?))
    }))
}

pub fn global_average<B: Kernels>() -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let [batch, blocks, height, width] = dims_of(x.shape().as_slice())?;
        let out = [batch, blocks, 1, 1, BLOCK];
        if height * width == 0 {
            return Err(format!("{:?} has no spatial axes", x.shape().as_slice()).into());
        }
        if out.contains(&0) {
            return one(Value::Float(B::float_zeros(out.into(), &cx.device, x.dtype().into())));
        }
        let y = B::compute(&[&x], &out, &|given| Ok(blocked::global_average(view(given[0]), height * width)));
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(x)))?))
    }))
}
