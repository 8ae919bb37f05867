//! Two-dimensional convolution with bias, residual and activation in one pass, NCHW in and out.
//!
//! The input is copied once into zero-padded planes, one for each phase of the stride, so that every tap
//! of the kernel reads consecutive elements at a fixed offset. What remains is a matrix product whose
//! right-hand side is addressed by those offsets instead of being materialised (no im2col): a tile of
//! output channels by consecutive positions stays in registers while it runs over all taps. Positions are
//! counted along the padded width; the few between two rows are computed and thrown away.

mod planes;
mod tile;

use super::memory::{grown, left};
use super::share::share_chunks;
use super::{Activation, arch};
use crate::scheduler::is_stopped;
use planes::{Fill, MAX_TILE, Planes};
use pulp::Arch;
use std::cell::RefCell;
use tile::Channels;

/// Output channels that share a pass over the input; the weights are packed in blocks of as many.
const BLOCK: usize = 8;

/// Multiply-adds under which threads cost more than they bring.
const PARALLEL_FROM: usize = 500_000;

/// A copy of a few elements, for which a call would cost more than it does.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    let (from_eights, from_rest) = from.as_chunks::<8>();
    let (to_eights, to_rest) = to.as_chunks_mut::<8>();
    to_eights.iter_mut().zip(from_eights).for_each(|(to, from)| *to = *from);
    to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = *from);
}

/// The geometry of a convolution: `[height, width]` throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Rows and columns of zeros before the first.
    pub pad_begin: [usize; 2],
    /// And after the last.
    pub pad_end: [usize; 2],
    pub groups: usize,
}

impl Geometry {
    /// The output's height and width; `None` where the kernel does not fit in.
    pub fn output_size(&self, kernel: [usize; 2], input: [usize; 2]) -> Option<[usize; 2]> {
        let mut size = [0; 2];
        for axis in 0..2 {
            let padded = input[axis].checked_add(self.pad_begin[axis])?.checked_add(self.pad_end[axis])?;
            let reach = (kernel[axis] - 1).checked_mul(self.dilation[axis])?.checked_add(1)?;
            size[axis] = padded.checked_sub(reach)? / self.stride[axis] + 1;
        }
        Some(size)
    }

    /// Whether weights of that shape, and so many biases, make a convolution.
    pub(super) fn check(
        &self,
        shape: [usize; 4],
        weights: usize,
        biases: Option<usize>,
    ) -> Result<(), ShapeError> {
        let [out, channels_in, kh, kw] = shape;
        let (taps, groups) = (channels_in * kh * kw, self.groups);
        if out == 0 || taps == 0 || groups == 0 || out % groups != 0 || weights != out * taps {
            return Err(ShapeError(format!("weights of shape {shape:?} do not make {groups} groups")));
        }
        if biases.is_some_and(|b| b != out) {
            return Err(ShapeError(format!("the bias does not have one element for each of {out} channels")));
        }
        if self.stride.contains(&0) || self.dilation.contains(&0) {
            return Err(ShapeError("stride and dilation start at 1".into()));
        }
        Ok(())
    }
}

/// A convolution whose weights are packed.
#[derive(Debug)]
pub struct Conv2d {
    geometry: Geometry,
    /// Input channels of one group.
    channels_in: usize,
    /// Output channels of one group.
    channels_out: usize,
    kernel: [usize; 2],
    /// Per group and block of output channels: `[tap][BLOCK]`, taps in the order channel, row, column.
    weights: Vec<f32>,
    /// Per output channel.
    bias: Vec<f32>,
}

/// The shapes do not make a convolution.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(String);

impl ShapeError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl Conv2d {
    /// `weight` is `[channels out, channels in / groups, kernel height, kernel width]` in C order; `bias`
    /// has an element for each output channel.
    pub fn new(
        weight: &[f32],
        shape: [usize; 4],
        bias: Option<&[f32]>,
        geometry: Geometry,
    ) -> Result<Self, ShapeError> {
        let [out, channels_in, kh, kw] = shape;
        let (taps, groups) = (channels_in * kh * kw, geometry.groups);
        geometry.check(shape, weight.len(), bias.map(<[f32]>::len))?;
        let channels_out = out / groups;
        let blocks = channels_out.div_ceil(BLOCK);
        let mut weights = vec![0.0; groups * blocks * taps * BLOCK];
        for (channel, row) in weight.chunks_exact(taps).enumerate() {
            let (group, within) = (channel / channels_out, channel % channels_out);
            let base = (group * blocks + within / BLOCK) * taps * BLOCK + within % BLOCK;
            for (tap, value) in row.iter().enumerate() {
                weights[base + tap * BLOCK] = *value;
            }
        }
        let bias = bias.map_or_else(|| vec![0.0; out], <[f32]>::to_vec);
        Ok(Self { geometry, channels_in, channels_out, kernel: [kh, kw], weights, bias })
    }

    /// Bytes that packed weights of that shape take, at most; `None` where no number is so large.
    pub fn packed_bytes(shape: &[usize], groups: usize) -> Option<usize> {
        let (out, taps) = shape.split_first()?;
        let outputs = (out / groups.max(1)).checked_next_multiple_of(BLOCK)?.checked_mul(groups)?;
        let floats = taps.iter().try_fold(outputs, |floats, dim| floats.checked_mul(*dim))?;
        floats.checked_mul(size_of::<f32>())
    }

    /// The output's height and width for an input of that size; `None` where the kernel does not fit in.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        self.geometry.output_size(self.kernel, input)
    }

    pub fn channels_out(&self) -> usize {
        self.channels_out * self.geometry.groups
    }

    /// Bytes that a run needs beside its result, at most; `None` where no number is so large, or the kernel does not fit
    /// in.
    pub fn scratch(&self, input: [usize; 2]) -> Option<usize> {
        let wanted = Planes::wanted(self, self.output_size(input)?)?;
        wanted.checked_mul(size_of::<f32>())?.checked_mul(rayon::current_num_threads())
    }

    /// `input` is `[batch, channels, height, width]`, as is the result (with the output's channels and
    /// size), as is `residual`, which is added before the activation.
    pub fn run(
        &self,
        input: &[f32],
        shape: [usize; 4],
        residual: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Vec<f32>, ShapeError> {
        let [batch, channels, height, width] = shape;
        let groups = self.geometry.groups;
        if channels != self.channels_in * groups {
            let wanted = self.channels_in * groups;
            return Err(ShapeError(format!("the input has {channels} channels, the weights take {wanted}")));
        }
        let size = self
            .output_size([height, width])
            .ok_or_else(|| ShapeError(format!("a kernel of {:?} does not fit in {shape:?}", self.kernel)))?;
        // Whoever calls this has asked for both; nothing is multiplied here that is not known to fit.
        let image_out =
            size[0].checked_mul(size[1]).and_then(|pixels| pixels.checked_mul(self.channels_out()));
        let total = image_out.and_then(|image| image.checked_mul(batch));
        let (Some(_), Some(image_out), Some(total)) = (self.scratch([height, width]), image_out, total)
        else {
            return Err(ShapeError("it would need more memory than there is".into()));
        };
        let planes = Planes::new(self, [height, width], size);
        let image_in = channels * height * width;
        if input.len() != batch * image_in || residual.is_some_and(|r| r.len() != total) {
            return Err(ShapeError("the elements do not fit their shape".into()));
        }
        let mut out = Vec::new();
        grown(&mut out, total, 0.0);
        if total == 0 {
            return Ok(out);
        }
        let arch = arch();
        let part = |image: usize| residual.map(|r| &r[image * image_out..(image + 1) * image_out]);
        let work = image_out * self.channels_in * self.kernel[0] * self.kernel[1];
        let threads = rayon::current_num_threads();
        let image = |(index, (input, out)): (usize, (&[f32], &mut [f32])), split: usize| {
            self.image(arch, &planes, input, part(index), activation, out, split)
        };
        let images = input.chunks_exact(image_in.max(1)).zip(out.chunks_exact_mut(image_out)).enumerate();
        if work * batch < PARALLEL_FROM || threads == 1 {
            images.for_each(|i| image(i, 1));
        } else if batch >= threads {
            share_chunks(&mut out, image_out, threads, &|index, out| {
                image((index, (&input[index * image_in..(index + 1) * image_in], out)), 1);
            });
        } else {
            images.for_each(|i| image(i, threads));
        }
        Ok(out)
    }

    /// Computes one image; its output channels are split among up to `split` threads.
    #[expect(clippy::too_many_arguments, reason = "one call, all of it the image's own")]
    fn image(
        &self,
        arch: Arch,
        planes: &Planes,
        input: &[f32],
        residual: Option<&[f32]>,
        activation: Activation,
        out: &mut [f32],
        split: usize,
    ) {
        let pixels = planes.size[0] * planes.size[1];
        let taps = planes.offsets.len();
        let group_in = self.channels_in * planes.input[0] * planes.input[1];
        let blocks = self.channels_out.div_ceil(BLOCK);
        // Taken out while it is used.
        let mut scratch = SCRATCH.take();
        for group in 0..self.geometry.groups {
            if is_stopped() {
                return;
            }
            let input = &input[group * group_in..(group + 1) * group_in];
            let source = if planes.direct && planes.positions() >= MAX_TILE {
                input
            } else {
                arch.dispatch(Fill { planes, input, scratch: &mut scratch });
                &scratch[..]
            };
            let first = group * self.channels_out;
            let out = &mut out[first * pixels..(first + self.channels_out) * pixels];
            let weights = &self.weights[group * blocks * taps * BLOCK..][..blocks * taps * BLOCK];
            let run = |index: usize, per: usize, out: &mut [f32]| {
                let channel = first + index * per * BLOCK;
                let count = out.len() / pixels;
                arch.dispatch(Channels {
                    planes,
                    source,
                    weights: &weights[index * per * taps * BLOCK..],
                    bias: &self.bias[channel..channel + count],
                    residual: residual.map(|r| &r[channel * pixels..(channel + count) * pixels]),
                    activation,
                    out,
                });
            };
            let per = blocks.div_ceil(split);
            if split == 1 || per == blocks {
                run(0, blocks, out);
            } else {
                share_chunks(out, per * BLOCK * pixels, split, &|index, out| run(index, per, out));
            }
        }
        SCRATCH.set(left(scratch));
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
pub(super) mod reference;
#[cfg(test)]
mod tests;
