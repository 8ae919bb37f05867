//! Transposed convolution: for each phase of the stride an ordinary convolution, whose results lie between those of
//! the others.
//!
//! Position t·s + p of an axis, with stride s and pad b, sums the inputs t + (p + b - k)/s over the taps k of which
//! this is whole: every s-th tap, in reverse.

use super::conv::{Conv2d, Layout, Work};
use super::dense::OutputGrid;
use super::{Lanes, Lines, Target, blocks, room};
use crate::engine::kernels::Activation;
use crate::engine::kernels::conv::{Geometry, ShapeError};

#[derive(Debug)]
pub struct ConvTranspose2d {
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Rows and columns that are cut off before and after the whole result; less than nothing adds some after it.
    cut: [(usize, isize); 2],
    channels_in: usize,
    channels_out: usize,
    phases: Vec<Phase>,
}

#[derive(Debug)]
struct Phase {
    offset: [usize; 2],
    conv: Conv2d,
}

/// The taps of one phase along an axis, in the order in which they meet the input, and the pad before it.
fn taps(kernel: usize, stride: usize, cut: usize, phase: usize) -> Option<(Vec<Option<usize>>, usize)> {
    let mut taps: Vec<Option<usize>> =
        ((phase + cut) % stride..kernel).step_by(stride).map(Some).rev().collect();
    if taps.is_empty() {
        // A position that nothing reaches has the bias alone: a tap that weighs nothing.
        return Some((vec![None], 0));
    }
    let first = (phase + cut) / stride;
    if first > 2 * kernel {
        return None;
    }
    // Where more is cut off than the kernel has, the first inputs are never read: taps of no weight meet them.
    while taps.len() - 1 < first {
        taps.insert(0, None);
    }
    let pad = taps.len() - 1 - first;
    Some((taps, pad))
}

impl ConvTranspose2d {
    /// `weight` is `[channels in, channels out, height, width]`, in one group and without dilation. `cut` is what pads
    /// take off the result at the beginning and the end of each axis; an end below zero is padding of the output.
    pub fn new(
        weight: &[f32],
        shape: [usize; 4],
        bias: Option<&[f32]>,
        stride: [usize; 2],
        cut: [(usize, isize); 2],
    ) -> Result<Option<Self>, ShapeError> {
        let [inputs, outputs, rows, columns] = shape;
        if weight.len() != inputs * outputs * rows * columns || stride.contains(&0) || weight.is_empty() {
            return Err(ShapeError::new("the weights do not fit their shape"));
        }
        // Between windows that lie far apart there is nothing but the bias.
        if (0..2).any(|axis| stride[axis] > 4 * [rows, columns][axis]) {
            return Ok(None);
        }
        let mut phases = Vec::with_capacity(stride[0] * stride[1]);
        for (y, x) in (0..stride[0]).flat_map(|y| (0..stride[1]).map(move |x| (y, x))) {
            let down = taps(rows, stride[0], cut[0].0, y);
            let across = taps(columns, stride[1], cut[1].0, x);
            let (Some((down, top)), Some((across, left))) = (down, across) else { return Ok(None) };
            let at = |output: usize, input: usize, row: Option<usize>, column: Option<usize>| match (
                row, column,
            ) {
                (Some(row), Some(column)) => {
                    weight[((input * outputs + output) * rows + row) * columns + column]
                }
                _ => 0.0,
            };
            let mut own = Vec::with_capacity(inputs * outputs * down.len() * across.len());
            for (output, input) in (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i))) {
                for row in &down {
                    own.extend(across.iter().map(|column| at(output, input, *row, *column)));
                }
            }
            let geometry = Geometry {
                stride: [1, 1],
                dilation: [1, 1],
                pad_begin: [top, left],
                pad_end: [0, 0],
                groups: 1,
            };
            let shape = [outputs, inputs, down.len(), across.len()];
            let Some(conv) = Conv2d::with(&own, shape, bias, geometry, (Layout::Blocks, None))? else {
                return Ok(None);
            };
            phases.push(Phase { offset: [y, x], conv });
        }
        let kernel = [rows, columns];
        Ok(Some(Self { kernel, stride, cut, channels_in: inputs, channels_out: outputs, phases }))
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.phases.iter().map(|phase| phase.conv.bytes()).sum()
    }

    pub fn channels_in(&self) -> usize {
        self.channels_in
    }

    pub fn channels_out(&self) -> usize {
        self.channels_out
    }

    /// The output's height and width for an input of that size; `None` where nothing is left.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let axis = |axis: usize| {
            let whole = input[axis].checked_sub(1)?.checked_mul(self.stride[axis])?;
            let left = whole.checked_add(self.kernel[axis])?.checked_sub(self.cut[axis].0)?;
            left.checked_add_signed(self.cut[axis].1.checked_neg()?).filter(|size| *size > 0)
        };
        Some([axis(0)?, axis(1)?])
    }

    /// Bytes that a run needs beside its result, at most; `None` where no number is so large.
    pub fn scratch(&self, size: [usize; 2]) -> Option<usize> {
        let out = self.output_size(size)?;
        let of_phase = |Phase { offset, conv }: &Phase| {
            let own = std::array::from_fn(|a| out[a].saturating_sub(offset[a]).div_ceil(self.stride[a]));
            conv.scratch_of(size, own, OutputGrid { size: out, stride: self.stride, offset: *offset })
        };
        self.phases.iter().map(of_phase).try_fold(0, |most, scratch| Some(scratch?.max(most)))
    }

    /// `input` holds `batch` images of that size in blocks, as does the result.
    pub fn run(
        &self,
        input: &[Lanes],
        batch: usize,
        size: [usize; 2],
        activation: Activation,
    ) -> Result<Lines, ShapeError> {
        let out = self.output_size(size).ok_or_else(|| ShapeError::new("nothing is left of the result"))?;
        if input.len() != batch * blocks(self.channels_in) * size[0] * size[1] {
            return Err(ShapeError::new("the elements do not fit their shape"));
        }
        let total = batch * blocks(self.channels_out) * out[0] * out[1];
        let mut result = room(total);
        if total == 0 {
            return Ok(result);
        }
        let target = Target(result.as_mut_ptr().cast::<f32>());
        for Phase { offset, conv } in &self.phases {
            let own: [usize; 2] =
                std::array::from_fn(|a| out[a].saturating_sub(offset[a]).div_ceil(self.stride[a]));
            if own.contains(&0) {
                continue;
            }
            let place = OutputGrid { size: out, stride: self.stride, offset: *offset };
            let of_phase = conv.of([size, own], None, activation, target);
            Work { packed: conv, conv: of_phase, batch, place }.dense(input);
        }
        Ok(result)
    }
}
