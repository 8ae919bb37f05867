//! Conv with one, two or three spatial axes.

use super::window::Window;
use crate::engine::backend::Accelerator;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use burn::tensor::ops::{ConvOptions, FloatTensor};
use burn::tensor::{Slice, TensorMetadata};

pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    let groups = site.node.attributes.int("group", 1)?;
    let groups =
        usize::try_from(groups).ok().filter(|g| *g > 0).ok_or_else(|| format!("group is {groups}"))?;
    let prepare = |input| -> Result<Option<FloatTensor<B>>, String> {
        site.absorb(input).map(|t| Value::<B>::Host(t.clone()).float(site.device)).transpose()
    };
    let (weight, bias) = (prepare(1)?, prepare(2)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let weight = match &weight {
            Some(weight) => weight.clone(),
            None => inputs.take(1)?.float(&cx.device)?,
        };
        let bias = match (&bias, inputs.optional(2)) {
            (Some(bias), _) => Some(bias.clone()),
            (None, bias) => bias.map(|b| b.float(&cx.device)).transpose()?,
        };
        one(Value::Float(conv::<B>(x.float(&cx.device)?, weight, bias, &window, groups, cx)?))
    }))
}

fn conv<B: Accelerator>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    window: &Window,
    groups: usize,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, String> {
    let (shape, filter) = (x.shape().to_vec(), weight.shape().to_vec());
    let ([_, channels, spatial @ ..], [outputs, per_group, kernel @ ..]) = (&shape[..], &filter[..]) else {
        return Err(format!("an input {shape:?} and a weight {filter:?} do not make a convolution"));
    };
    let bias_fits = bias.as_ref().is_none_or(|b| b.shape().as_slice() == [*outputs]);
    if per_group.checked_mul(groups) != Some(*channels) || outputs % groups != 0 || !bias_fits {
        return Err(format!(
            "an input {shape:?}, a weight {filter:?} and {groups} groups do not go together"
        ));
    }
    if weight.dtype() != x.dtype() {
        return Err("input and weight differ in type".into());
    }
    let slides = window.slides(spatial, kernel)?;
    let mut out = vec![shape[0], *outputs];
    out.extend(slides.iter().map(|s| s.out));
    let dtype = crate::engine::value::from_burn(x.dtype());
    cx.check(dtype, &out)?;
    if out.contains(&0) || *channels == 0 {
        return Ok(B::float_zeros(out.into(), &cx.device, x.dtype().into()));
    }
    let padded: Vec<usize> = shape[..2]
        .iter()
        .copied()
        .chain(slides.iter().zip(spatial).map(|(s, d)| d + s.pads.0 + s.pads.1))
        .collect();
    cx.check(dtype, &padded)?;
    let x = if slides.iter().all(|s| s.pads.0 == s.pads.1) {
        x
    } else {
        // Burn pads both ends alike.
        let place: Vec<Slice> = std::iter::repeat_n(0, 2)
            .chain(slides.iter().map(|s| s.pads.0))
            .zip(&shape)
            .map(|(start, d)| Slice::new(start as isize, Some((start + d) as isize), 1))
            .collect();
        let zeros = B::float_zeros(padded.into(), &cx.device, x.dtype().into());
        B::float_slice_assign(zeros, &place, x)
    };
    let even = slides.iter().all(|s| s.pads.0 == s.pads.1);
    let at = |axis: usize| {
        let s = slides[axis];
        (s.stride, if even { s.pads.0 } else { 0 }, s.dilation)
    };
    fn options<const N: usize>(at: impl Fn(usize) -> (usize, usize, usize), groups: usize) -> ConvOptions<N> {
        ConvOptions::new(
            std::array::from_fn(|a| at(a).0),
            std::array::from_fn(|a| at(a).1),
            std::array::from_fn(|a| at(a).2),
            groups,
        )
    }
    match slides.len() {
        1 => Ok(B::conv1d(x, weight, bias, options(at, groups))),
        2 => Ok(B::conv2d(x, weight, bias, options(at, groups))),
        3 => Ok(B::conv3d(x, weight, bias, options(at, groups))),
        axes => Err(format!("a convolution over {axes} axes is not supported")),
    }
}
