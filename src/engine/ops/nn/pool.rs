//! MaxPool, AveragePool and the global pools.
//!
//! Pads are explicit here: the input is padded with what cannot win or count, then pooled without pads, so
//! that asymmetric pads, windows that hang over the end and dilation are one case.

use super::pieces::LONG;
use super::unpool;
use super::window::{Slide, Window, padded};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Cell, Number, for_element};
use crate::engine::kernels::pool;
use crate::engine::ops::make::cast;
use crate::engine::ops::reduce;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::{Value, from_burn};
use crate::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Slice, TensorMetadata};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Max,
    Average,
}

/// (Σ |x|^p)^(1/p) over each window.
pub fn lp<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    let kernel = window.kernel.clone().ok_or("attribute \"kernel_shape\" is missing")?;
    let p = power(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let shape = x.shape().to_vec();
        let [_, _, spatial @ ..] = &shape[..] else {
            return Err(format!("{shape:?} has no spatial axes").into());
        };
        let slides = window.slides(spatial, &kernel)?;
        if shape.contains(&0) {
            return one(nothing(&x, &slides, cx)?);
        }
        let powers = B::float_powf_scalar(B::float_abs(x), p.into());
        let sums = folded::<B>(padded::<B>(powers, &slides, 0.0, cx)?, &slides, B::float_sum_dim, cx)?;
        one(Value::Float(B::float_powf_scalar(sums, (1.0 / p).into())))
    }))
}

pub fn global_lp<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let p = power(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let rank = x.rank();
        if rank < 3 || x.shape().num_elements() == 0 {
            return Err(format!("{:?} has no spatial axes", x.shape().as_slice()).into());
        }
        let powers = B::float_powf_scalar(B::float_abs(x), p.into());
        let axes: Vec<usize> = (2..rank).collect();
        let sums = reduce::sum(Value::Float(powers), &axes, cx)?.float(&cx.device)?;
        one(Value::Float(B::float_powf_scalar(sums, (1.0 / p).into())))
    }))
}

fn power<B: Kernels>(site: &Site<'_, B>) -> Result<f64, String> {
    let p = site.node.attributes.int("p", 2)?;
    if p > 0 { Ok(p as f64) } else { Err(format!("p is {p}")) }
}

pub fn build<B: Kernels>(site: &Site<'_, B>, kind: Kind) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    let kernel = window.kernel.clone().ok_or("attribute \"kernel_shape\" is missing")?;
    let count_pads = site.node.attributes.flag("count_include_pad")?;
    if kind == Kind::Max && site.has_output(1) {
        return unpool::max_with_places(site, window);
    }
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let dtype = x.dtype();
        let x = if dtype.is_float() { x } else { cast(x, DType::F32, cx)? };
        let x = x.float(&cx.device)?;
        let shape = x.shape().to_vec();
        let [_, _, spatial @ ..] = &shape[..] else {
            return Err(format!("{shape:?} has no spatial axes").into());
        };
        let slides = window.slides(spatial, &kernel)?;
        if shape.contains(&0) {
            return one(cast(nothing(&x, &slides, cx)?, dtype, cx)?);
        }
        let y = match kind {
            Kind::Max => max::<B>(x, &slides, cx)?,
            Kind::Average => average::<B>(x, &slides, count_pads, cx)?,
        };
        one(cast(Value::Float(y), dtype, cx)?)
    }))
}

/// What a batch of nothing gives, or channels that are none.
fn nothing<B: Kernels>(x: &FloatTensor<B>, slides: &[Slide], cx: &Context<B>) -> Result<Value<B>, OpError> {
    let mut dims = x.shape()[..2].to_vec();
    dims.extend(slides.iter().map(|s| s.out));
    if !dims.contains(&0) {
        return Err(format!("{:?} is empty", x.shape().as_slice()).into());
    }
    Ok(Value::Float(B::float_zeros(dims.into(), &cx.device, x.dtype().into())))
}

fn max<B: Kernels>(x: FloatTensor<B>, slides: &[Slide], cx: &Context<B>) -> Result<FloatTensor<B>, OpError> {
    if B::ON_HOST {
        return max_on_host::<B>(x, slides, cx);
    }
    match slides {
        [a, b] => {
            // The backend's own pads are never taken, and never cost a copy.
            let plain = slides.iter().zip(&x.shape()[2..]).all(|(s, d)| {
                s.pads.0 == s.pads.1 && s.pads.0 * 2 <= s.kernel && out_of(s, d + s.pads.0 * 2) == s.out
            });
            if plain {
                return Ok(B::max_pool2d(
                    x,
                    [a.kernel, b.kernel],
                    [a.stride, b.stride],
                    [a.pads.0, b.pads.0],
                    [a.dilation, b.dilation],
                    false,
                ));
            }
            let x = padded::<B>(x, slides, f64::NEG_INFINITY, cx)?;
            let (kernel, stride) = ([a.kernel, b.kernel], [a.stride, b.stride]);
            Ok(B::max_pool2d(x, kernel, stride, [0, 0], [a.dilation, b.dilation], false))
        }
        _ => folded::<B>(padded::<B>(x, slides, f64::NEG_INFINITY, cx)?, slides, B::float_max_dim, cx),
    }
}

/// The maximum by the kernel, in which what is not a number loses wherever it lies.
fn max_on_host<B: Kernels>(
    x: FloatTensor<B>,
    slides: &[Slide],
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let shape = x.shape().to_vec();
    let mut dims = shape[..2].to_vec();
    dims.extend(slides.iter().map(|s| s.out));
    cx.check(from_burn(x.dtype()), &dims)?;
    for slide in slides {
        cx.work::<pool::Window>(slide.out)?;
    }
    let axes: Vec<pool::Axis> = slides
        .iter()
        .zip(&shape[2..])
        .map(|(slide, size)| {
            let window = |out: usize| {
                let taps = slide.taps(out, slide.pads.0..slide.pads.0 + size);
                let first = out * slide.stride + taps.start * slide.dilation;
                pool::Window { first: first.saturating_sub(slide.pads.0), count: taps.len() }
            };
            pool::Axis {
                size: *size,
                dilation: slide.dilation,
                windows: (0..slide.out).map(window).collect(),
            }
        })
        .collect();
    let total = dims.iter().product();
    let single = B::compute_planes(&[&x], &dims, &|given| {
        let mut out = host::filled(0.0, total)?;
        pool::max(given[0], &axes, f32::NEG_INFINITY, &mut out);
        Ok(out)
    });
    if let Some(y) = single {
        return Ok(y?);
    }
    let device = B::float_device(&x);
    let x = Value::<B>::Float(x).into_host()?;
    let y = for_element!(x.dtype(), T => {
        let least = <T as Cell>::from_number(Number::Float(f64::NEG_INFINITY));
        let mut out = host::filled(least, total)?;
        pool::max(&host::cells::<T>(&x), &axes, least, &mut out);
        host::tensor::<T>(x.dtype(), dims, out)?
    });
    Value::<B>::Host(y).float(&device)
}

fn out_of(slide: &Slide, padded: usize) -> usize {
    (padded - ((slide.kernel - 1) * slide.dilation + 1)) / slide.stride + 1
}

fn average<B: Kernels>(
    x: FloatTensor<B>,
    slides: &[Slide],
    count_pads: bool,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let shape = x.shape().to_vec();
    // How many elements each window counts, axis by axis.
    let outs: Vec<usize> = slides.iter().map(|s| s.out).collect();
    cx.check(from_burn(x.dtype()), &[&shape[..2], &outs].concat())?;
    cx.work::<[f64; 2]>(host::count(&outs)?)?;
    let counts = slides.iter().zip(&shape[2..]).map(|(s, d)| {
        let counted = if count_pads { 0..d + s.pads.0 + s.pads.1 } else { s.pads.0..s.pads.0 + d };
        (0..s.out).map(move |o| s.taps(o, counted.clone()).len() as f64)
    });
    let area: f64 = slides.iter().map(|s| s.kernel as f64).product();
    let mut divisors = vec![1.0f64];
    for axis in counts {
        let axis: Vec<f64> = axis.collect();
        divisors = divisors.iter().flat_map(|d| axis.iter().map(move |c| d * c)).collect();
    }
    let padded = padded::<B>(x, slides, 0.0, cx)?;
    // One call of the backend, where it does not take long: it does not look at whether the run is to end.
    let work = outs.iter().chain(&shape[..2]).copied().chain(slides.iter().map(|s| s.kernel));
    let is_short = !B::ON_HOST || work.fold(1, usize::saturating_mul) <= LONG;
    let mean = match slides {
        [a, b] if a.dilation == 1 && b.dilation == 1 && is_short => {
            B::avg_pool2d(padded, [a.kernel, b.kernel], [a.stride, b.stride], [0, 0], true, false)
        }
        _ => {
            let sum = folded::<B>(padded, slides, B::float_sum_dim, cx)?;
            B::float_div_scalar(sum, area.into())
        }
    };
    if divisors.iter().all(|d| *d == area) {
        return Ok(mean);
    }
    let scale = divisors.iter().map(|d| Number::Float(area / d.max(1.0)));
    let mut dims = vec![1, 1];
    dims.extend(slides.iter().map(|s| s.out));
    let dtype = from_burn(mean.dtype());
    let scale = Value::<B>::Host(host::from_numbers(dtype, dims, scale)?).float(&cx.device)?;
    Ok(B::float_mul(mean, scale))
}

/// Elements of a window that are laid side by side at once.
const SIDE_BY_SIDE: usize = 16;

/// Any number of axes, one after the other: some elements of each window side by side, then folded, together with what
/// those before them gave.
fn folded<B: Kernels>(
    mut x: FloatTensor<B>,
    slides: &[Slide],
    fold: fn(FloatTensor<B>, usize) -> FloatTensor<B>,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    for (index, slide) in slides.iter().enumerate() {
        let axis = index + 2;
        let mut out = x.shape().to_vec();
        let rank = out.len();
        out[axis] = slide.out;
        cx.check(from_burn(x.dtype()), &[&out[..], &[slide.kernel.min(SIDE_BY_SIDE) + 1]].concat())?;
        out.push(1);
        let tap = |k: usize| {
            let start = k * slide.dilation;
            let end = start + (slide.out - 1) * slide.stride + 1;
            let every = |dim: usize| Slice::new(0, Some(dim as isize), 1);
            let along = Slice::new(start as isize, Some(end as isize), slide.stride as isize);
            let dims = x.shape();
            let slices: Vec<Slice> =
                dims.iter().enumerate().map(|(a, dim)| if a == axis { along } else { every(*dim) }).collect();
            B::float_reshape(B::float_slice(x.clone(), &slices), out.clone().into())
        };
        let mut folded = None;
        for start in (0..slide.kernel).step_by(SIDE_BY_SIDE) {
            cx.run.go_on()?;
            let taps = (start..slide.kernel.min(start + SIDE_BY_SIDE)).map(tap);
            let parts: Vec<_> = folded.take().into_iter().chain(taps).collect();
            folded = Some(fold(B::float_cat(parts, rank), rank));
        }
        out.pop();
        x = B::float_reshape(folded.ok_or("a window of nothing")?, out.into());
    }
    Ok(x)
}

pub fn global<B: Kernels>(kind: Kind) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let mut dims = x.shape().to_vec();
        if dims.len() < 3 || dims[2..].contains(&0) {
            return Err(format!("{dims:?} has no spatial axes").into());
        }
        if dims.contains(&0) {
            dims[2..].fill(1);
            return one(Value::Float(B::float_zeros(dims.into(), &cx.device, x.dtype().into())));
        }
        let area: usize = dims[2..].iter().product();
        let flat = B::float_reshape(x, vec![dims[0], dims[1], area].into());
        let y = match kind {
            Kind::Max => B::float_max_dim(flat, 2),
            Kind::Average => reduce::mean::<B>(flat, &[2]),
        };
        dims[2..].fill(1);
        one(Value::Float(B::float_reshape(y, dims.into())))
    }))
}
