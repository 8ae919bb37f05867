//! Convolution of planes with few channels into blocks, as the first of a network is.
//!
//! For each row of the output, the input rows that its kernel reads are copied side by side with their pads, one
//! line for each phase of the stride, so that neighbouring positions read neighbouring elements at every tap.

use super::convolution::Convolution;
use super::tile::{self, Lines, Writes};
use super::{BLOCK, blocks};
use crate::engine::kernels::memory::{grown, left};
use crate::scheduler::is_stopped;
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// Some rows of one image of the output.
pub(super) struct Rows<'a> {
    pub conv: Convolution<'a>,
    pub input: &'a [f32],
    pub image: usize,
    pub rows: Range<usize>,
}

/// What is used from one piece to the next.
#[derive(Default)]
struct Scratch {
    lines: Vec<f32>,
    places: Vec<usize>,
    spreads: Vec<Spread>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Rows<'_> {
    /// Elements of one line, and lines for each row of the kernel: as many as there are phases.
    fn lines(&self) -> (usize, usize) {
        let g = self.conv.geometry;
        let reach = (self.conv.kernel[1] - 1) * g.dilation[1];
        (self.conv.to.size[1] + reach / g.stride[1], g.stride[1].min(reach + 1))
    }

    /// Finds where the first position has its input, for each tap in the order of the weights.
    fn places(&self, places: &mut Vec<usize>) {
        let ((length, phases), g) = (self.lines(), self.conv.geometry);
        places.clear();
        for line in 0..self.conv.from.channels * self.conv.kernel[0] {
            places.extend((0..self.conv.kernel[1]).map(|column| {
                let element = column * g.dilation[1];
                (line * phases + element % g.stride[1]) * length + element / g.stride[1]
            }));
        }
    }

    /// Where each phase's line has its elements from.
    fn spreads(&self, spreads: &mut Vec<Spread>) {
        let ((length, phases), g, width) = (self.lines(), self.conv.geometry, self.conv.from.size[1]);
        spreads.clear();
        spreads
            .extend((0..phases).map(|phase| Spread::new(width, length, phase, g.pad_begin[1], g.stride[1])));
    }

    #[inline(always)]
    fn lay(&self, y: usize, spreads: &[Spread], scratch: &mut [f32]) {
        let ((length, _), g, [height, width]) = (self.lines(), self.conv.geometry, self.conv.from.size);
        let image = self.conv.from.channels * height * width;
        let input = &self.input[self.image * image..(self.image + 1) * image];
        let mut lines = scratch.chunks_exact_mut(length);
        for channel in input.chunks_exact(height * width) {
            for row in 0..self.conv.kernel[0] {
                let from = (y * g.stride[0] + row * g.dilation[0]).wrapping_sub(g.pad_begin[0]);
                let source = channel.get(from.wrapping_mul(width)..).filter(|_| from < height);
                for (spread, line) in spreads.iter().zip(&mut lines) {
                    match source {
                        Some(source) => spread.copy(&source[..width], line, g.stride[1]),
                        None => line.fill(0.0),
                    }
                }
            }
        }
    }
}

/// What a line has of a row of the input: element `x` of the line is element `x * stride + phase - pad` of the row,
/// 0 outside it.
#[derive(Clone, Copy)]
struct Spread {
    /// Zeros before.
    first: usize,
    count: usize,
    /// Where the first of them lies.
    start: usize,
}

impl Spread {
    fn new(width: usize, length: usize, phase: usize, pad: usize, stride: usize) -> Self {
        let first = pad.saturating_sub(phase).div_ceil(stride).min(length);
        let start = first * stride + phase - pad.min(first * stride + phase);
        let count = width.saturating_sub(start).div_ceil(stride).min(length - first);
        Self { first, count, start }
    }

    #[inline(always)]
    fn copy(self, source: &[f32], line: &mut [f32], stride: usize) {
        let (before, rest) = line.split_at_mut(self.first);
        let (line, after) = rest.split_at_mut(self.count);
        // A few elements: a call would cost more.
        before.iter_mut().chain(after).for_each(|zero| *zero = 0.0);
        let source = source.get(self.start..).unwrap_or_default();
        if stride == 1 {
            line.copy_from_slice(&source[..self.count]);
        } else if stride == 2 {
            let (pairs, rest) = source.as_chunks::<2>();
            line.iter_mut().zip(pairs).for_each(|(to, from)| *to = from[0]);
            if let (Some(to), Some(from)) = (line.get_mut(pairs.len()), rest.first()) {
                *to = *from;
            }
        } else {
            line.iter_mut().zip(source.iter().step_by(stride)).for_each(|(to, from)| *to = *from);
        }
    }
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (most, group) = (tile::positions(S::F32_LANES), tile::group_of(S::F32_LANES));
        let outputs = blocks(self.conv.to.channels);
        let plane = self.conv.to.size[0] * self.conv.to.size[1];
        let (length, phases) = self.lines();
        let mut scratch = SCRATCH.take();
        self.places(&mut scratch.places);
        self.spreads(&mut scratch.spreads);
        let Scratch { lines, places, spreads } = &mut scratch;
        let wanted = self.conv.from.channels * self.conv.kernel[0] * phases * length;
        grown(lines, wanted, 0.0);
        for y in self.rows.clone() {
            if is_stopped() {
                return;
            }
            self.lay(y, spreads, &mut lines[..wanted]);
            for first in (0..outputs).step_by(group) {
                let taken = group.min(outputs - first);
                let row = (self.image * outputs + first) * plane + y * self.conv.to.size[1];
                let weights = &self.conv.weights[first * places.len()..];
                for (at, count) in super::dense::Tiles::new(self.conv.to.size[1], most) {
                    let position = row + at;
                    let reads =
                        Lines { inputs: lines[at..].as_ptr(), places, weights: weights.as_ptr().cast() };
                    let writes = Writes {
                        bias: self.conv.bias[first..].as_ptr().cast(),
                        residual: self
                            .conv
                            .residual
                            .map_or(std::ptr::null(), |r| r[position..].as_ptr().cast()),
                        out: self.conv.out.get().wrapping_add(position * BLOCK),
                        plane: plane * BLOCK,
                        along: BLOCK,
                        activation: self.conv.activation,
                    };
                    // SAFETY: `Conv2d::run` has checked that residual and out have the elements that their
                    // shapes say, `Conv2d::new` packed weights and bias for these channels; each line of the
                    // scratch has an element for every position of a row at each of its places. Pieces differ
                    // in rows or image, so nobody else writes here.
                    unsafe { reads.run(simd, count, taken, &writes) };
                }
            }
        }
        scratch.lines = left(scratch.lines);
        scratch.spreads = left(scratch.spreads);
        SCRATCH.set(scratch);
    }
}
