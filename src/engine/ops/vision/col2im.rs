//! Col2Im: blocks that were laid out as columns are added up to an image again.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::nn::window::{Slide, Window};
use crate::engine::ops::real::{for_real, from_reals, reals};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;

/// `[N, C · block, blocks]` gives `[N, C, image]`.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let sizes = |given: Vec<i64>| -> Result<Vec<usize>, String> {
            let size = |v: &i64| usize::try_from(*v).ok().filter(|v| *v > 0);
            given.iter().map(size).collect::<Option<_>>().ok_or_else(|| format!("{given:?} is not a size"))
        };
        let (image, block) = (sizes(inputs.ints(1)?)?, sizes(inputs.ints(2)?)?);
        let dtype = x.dtype();
        cx.check(dtype, &image)?;
        cx.check(dtype, &block)?;
        let slides = window.slides(&image, &block)?;
        let outs: Vec<usize> = slides.iter().map(|s| s.out).collect();
        cx.check(dtype, &outs)?;
        let (taps, blocks): (usize, usize) = (block.iter().product(), outs.iter().product());
        let refused = || format!("{x:?} does not make an image {image:?} of blocks {block:?}");
        let [batch, rows, columns] = x.shape()[..] else { return Err(refused().into()) };
        if rows % taps != 0 || columns != blocks {
            return Err(refused().into());
        }
        let channels = rows / taps;
        let dims = [&[batch, channels], &image[..]].concat();
        cx.check(dtype, &dims)?;
        let plane = host::count(&image)?;
        for_real!(dtype, T => cx.work::<T>(host::count(&dims)?.saturating_add(x.len()))?);
        cx.work::<[Option<usize>; 2]>(blocks)?;
        one(Value::Host(for_real!(dtype, T => {
            let from = reals::<T>(&x);
            let mut to = host::filled(T::default(), host::count(&dims)?)?;
            for tap in 0..taps {
                cx.run.go_on()?;
                let places = places(tap, &block, &slides, &image);
                for map in 0..batch * channels {
                    let column = &from[(map * taps + tap) * blocks..][..blocks];
                    let to = &mut to[map * plane..][..plane];
                    for (place, v) in places.iter().zip(column) {
                        if let Some(place) = place {
                            to[*place] += *v;
                        }
                    }
                }
            }
            from_reals(dtype, dims, to)?
        })))
    }))
}

/// Where in the image one element of each block lies; `None` in the pads.
fn places(tap: usize, block: &[usize], slides: &[Slide], image: &[usize]) -> Vec<Option<usize>> {
    let strides = host::strides(image);
    let mut rest = tap;
    let mut places = vec![Some(0usize)];
    let mut along: Vec<Vec<Option<usize>>> = Vec::new();
    for axis in (0..block.len()).rev() {
        let (slide, offset) = (slides[axis], rest % block[axis]);
        rest /= block[axis];
        let at = |out: usize| {
            let from_pad = out * slide.stride + offset * slide.dilation;
            from_pad.checked_sub(slide.pads.0).filter(|at| *at < image[axis]).map(|at| at * strides[axis])
        };
        along.push((0..slide.out).map(at).collect());
    }
    for axis in along.iter().rev() {
        let sum = |place: &Option<usize>, step: &Option<usize>| Some((*place)? + (*step)?);
        places = places.iter().flat_map(|p| axis.iter().map(move |s| sum(p, s))).collect();
    }
    places
}
