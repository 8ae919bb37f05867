//! DeformConv over two spatial axes: each element of a window is read where an offset moves it, between pixels,
//! and weighed by a mask.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::nn::product;
use crate::engine::ops::nn::window::{Slide, Window};
use crate::engine::ops::real::{Real, for_real, from_reals, reals};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::Tensor;
use rayon::prelude::*;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let window = Window::read(attributes)?;
    let count = |name| -> Result<usize, String> {
        let given = attributes.int(name, 1)?;
        usize::try_from(given).ok().filter(|g| *g > 0).ok_or_else(|| format!("{name} is {given}"))
    };
    let (groups, offset_groups) = (count("group")?, count("offset_group")?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let weight = inputs.take(1)?;
        let offsets = inputs.take(2)?.into_host()?;
        let (bias, mask) = (inputs.optional(3), inputs.optional(4).map(Value::into_host).transpose()?);
        let (dtype, filter) = (x.dtype(), weight.dims());
        let ([batch, channels, height, width], [outputs, per_group, kernel @ ..]) = (x.shape(), &filter[..])
        else {
            return Err(format!("{x:?} has not two spatial axes").into());
        };
        if kernel.len() != 2
            || kernel.contains(&0)
            || per_group.checked_mul(groups) != Some(*channels)
            || outputs % groups != 0
            || channels % offset_groups != 0
        {
            return Err(format!("{x:?}, a weight {filter:?} and {groups} groups do not go together").into());
        }
        let slides = window.slides(&[*height, *width], kernel)?;
        let (taps, area) = (kernel[0] * kernel[1], slides[0].out * slides[1].out);
        let shifts = [*batch, offset_groups * 2 * taps, slides[0].out, slides[1].out];
        let masks = [*batch, offset_groups * taps, slides[0].out, slides[1].out];
        if offsets.shape() != shifts || mask.as_ref().is_some_and(|m| m.shape() != masks) {
            return Err(format!(
                "offsets {offsets:?} and a mask {mask:?} where {shifts:?} and {masks:?} should be"
            )
            .into());
        }
        let columns = vec![*batch, groups, per_group * taps, area];
        cx.check(dtype, &columns)?;
        // The columns as they are computed, and what they are computed from.
        for_real!(dtype, T => cx.work::<T>(host::count(&columns)?.saturating_add(x.len()))?);
        cx.work::<f64>(offsets.len().saturating_add(mask.as_ref().map_or(0, Tensor::len)))?;
        let read = Reading {
            size: [*height, *width],
            slides: [slides[0], slides[1]],
            channels: *channels,
            offset_groups,
        };
        let columns = for_real!(dtype, T => {
            from_reals(dtype, columns, read.columns::<T, B>(&x, &offsets.to_f64(), mask.as_ref(), cx))?
        });
        let weight = weight.reshaped(vec![1, groups, outputs / groups, per_group * taps])?;
        let mut y = product(weight, Value::Host(columns), cx)?.reshaped(vec![
            *batch,
            *outputs,
            slides[0].out,
            slides[1].out,
        ])?;
        if let Some(bias) = bias {
            y = arithmetic(Arithmetic::Add, y, bias.reshaped(vec![1, *outputs, 1, 1])?, cx)?;
        }
        one(y)
    }))
}

/// Windows between two looks at whether the run is to end.
const LOOK: usize = 1 << 12;

struct Reading {
    size: [usize; 2],
    slides: [Slide; 2],
    channels: usize,
    offset_groups: usize,
}

impl Reading {
    /// What every window reads: `[batch, channel, element of the window, window]`.
    fn columns<T: Real, B: Kernels>(
        &self,
        x: &Tensor,
        offsets: &[f64],
        mask: Option<&Tensor>,
        cx: &Context<B>,
    ) -> Vec<T> {
        let pixels = reals::<T>(x);
        let mask = mask.map(Tensor::to_f64);
        let [rows, columns] = self.slides;
        let (area, taps, plane) =
            (rows.out * columns.out, rows.kernel * columns.kernel, self.size[0] * self.size[1]);
        let shared = self.channels / self.offset_groups;
        let mut out = vec![T::default(); x.shape()[0] * self.channels * taps * area];
        if out.is_empty() {
            return out;
        }
        out.par_chunks_mut(area).enumerate().for_each(|(line, out)| {
            // What is left undone is never used.
            if cx.run.stop().is_set() {
                return;
            }
            let (map, tap) = (line / taps, line % taps);
            let (image, channel) = (map / self.channels, map % self.channels);
            let group = image * self.offset_groups + channel / shared;
            let pixels = &pixels[map * plane..][..plane];
            let shift = &offsets[(group * taps + tap) * 2 * area..][..2 * area];
            for (window, to) in out.iter_mut().enumerate() {
                if window % LOOK == LOOK - 1 && cx.run.stop().is_set() {
                    return;
                }
                let base = |slide: &Slide, out: usize, tap: usize| {
                    (out * slide.stride + tap * slide.dilation) as f64 - slide.pads.0 as f64
                };
                let y = base(&rows, window / columns.out, tap / columns.kernel) + shift[window];
                let x = base(&columns, window % columns.out, tap % columns.kernel) + shift[area + window];
                let weight = mask.as_ref().map_or(1.0, |m| m[(group * taps + tap) * area + window]);
                *to = self.blend(pixels, y, x) * T::of(weight);
            }
        });
        out
    }

    /// Between the four pixels around; those beside the image are 0.
    fn blend<T: Real>(&self, pixels: &[T], y: f64, x: f64) -> T {
        let [height, width] = self.size;
        let mut sum = T::default();
        if !(y > -1.0 && x > -1.0 && y < height as f64 && x < width as f64) {
            return sum;
        }
        let (top, left) = (y.floor(), x.floor());
        for (row, share) in [(top, 1.0 - (y - top)), (top + 1.0, y - top)] {
            for (column, part) in [(left, 1.0 - (x - left)), (left + 1.0, x - left)] {
                if row >= 0.0 && column >= 0.0 && row < height as f64 && column < width as f64 {
                    sum += pixels[row as usize * width + column as usize] * T::of(share * part);
                }
            }
        }
        sum
    }
}
