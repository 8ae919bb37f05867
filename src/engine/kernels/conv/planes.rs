//! The input's padded planes, and where the taps of a kernel find their elements in them.

use super::{Conv2d, copy};
use crate::engine::kernels::memory::grown;
use pulp::{Simd, WithSimd};

/// Positions in the largest tile of any instruction set: elements that may be read behind the planes.
pub(super) const MAX_TILE: usize = 64;

/// The places where the taps of a kernel find their elements: the padded planes of one image and group.
pub(super) struct Planes {
    pub input: [usize; 2],
    pub size: [usize; 2],
    /// Height and width of one plane.
    pub plane: [usize; 2],
    /// The phases of the stride that some tap reads, rows and columns.
    phases: [Vec<usize>; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    channels: usize,
    /// Whether the input is its own single plane, so that nothing is copied.
    pub direct: bool,
    /// The offset of the element that the first output position reads, for each tap.
    pub offsets: Vec<usize>,
}

impl Planes {
    /// Elements of the planes, with room behind them; `None` where no number is so large.
    pub fn wanted(conv: &Conv2d, size: [usize; 2]) -> Option<usize> {
        let g = &conv.geometry;
        let axis = |axis: usize| {
            let reach = (conv.kernel[axis] - 1).checked_mul(g.dilation[axis])? / g.stride[axis];
            let plane = size[axis].checked_add(reach)?;
            // A phase for each tap, or for each step of the stride, whichever are fewer.
            plane.checked_mul(conv.kernel[axis].min(g.stride[axis]))
        };
        axis(0)?.checked_mul(axis(1)?)?.checked_mul(conv.channels_in)?.checked_add(MAX_TILE)
    }

    /// REQUIRES that [`Planes::wanted`] is some number.
    pub fn new(conv: &Conv2d, input: [usize; 2], size: [usize; 2]) -> Self {
        let g = &conv.geometry;
        let mut plane = [0; 2];
        let mut phases = [vec![], vec![]];
        for axis in 0..2 {
            let reach = (conv.kernel[axis] - 1) * g.dilation[axis] / g.stride[axis];
            plane[axis] = size[axis] + reach;
            let mut used: Vec<usize> =
                (0..conv.kernel[axis]).map(|k| k * g.dilation[axis] % g.stride[axis]).collect();
            used.sort_unstable();
            used.dedup();
            phases[axis] = used;
        }
        let at = |axis: usize, k: usize| {
            let element = k * g.dilation[axis];
            let phase = phases[axis].binary_search(&(element % g.stride[axis])).unwrap_or_default();
            (phase, element / g.stride[axis])
        };
        let mut offsets = Vec::with_capacity(conv.channels_in * conv.kernel[0] * conv.kernel[1]);
        for channel in 0..conv.channels_in {
            for row in 0..conv.kernel[0] {
                let (row_phase, y) = at(0, row);
                for column in 0..conv.kernel[1] {
                    let (column_phase, x) = at(1, column);
                    let index = (channel * phases[0].len() + row_phase) * phases[1].len() + column_phase;
                    offsets.push((index * plane[0] + y) * plane[1] + x);
                }
            }
        }
        let direct = plane == input && g.stride == [1, 1] && g.pad_begin == [0, 0];
        let (stride, pad, channels) = (g.stride, g.pad_begin, conv.channels_in);
        Self { input, size, plane, phases, stride, pad, channels, direct, offsets }
    }

    /// Writes the planes of `input`, with room behind them for a tile that reads over the end.
    #[inline(always)]
    fn fill(&self, input: &[f32], scratch: &mut Vec<f32>) {
        let plane = self.plane[0] * self.plane[1];
        let wanted = self.channels * self.phases[0].len() * self.phases[1].len() * plane + MAX_TILE;
        scratch.clear();
        grown(scratch, wanted, 0.0);
        let (height, width) = (self.input[0], self.input[1]);
        let mut planes = scratch.chunks_exact_mut(plane);
        for channel in input.chunks_exact((height * width).max(1)) {
            for row_phase in &self.phases[0] {
                for column_phase in &self.phases[1] {
                    let Some(plane) = planes.next() else { return };
                    for (y, line) in plane.chunks_exact_mut(self.plane[1]).enumerate() {
                        let row = (y * self.stride[0] + row_phase).wrapping_sub(self.pad[0]);
                        if row < height {
                            let source = &channel[row * width..(row + 1) * width];
                            copy_line(source, line, *column_phase, self.pad[1], self.stride[1]);
                        }
                    }
                }
            }
        }
    }

    /// Output positions along the planes' width, those between two rows among them.
    pub fn positions(&self) -> usize {
        (self.size[0] - 1) * self.plane[1] + self.size[1]
    }
}

/// [`Planes::fill`] with the instructions of the machine.
pub(super) struct Fill<'a> {
    pub planes: &'a Planes,
    pub input: &'a [f32],
    pub scratch: &'a mut Vec<f32>,
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.planes.fill(self.input, self.scratch);
    }
}

/// Every `stride`-th element of the padded source line, from `phase` on. `line` is zero before.
#[inline(always)]
fn copy_line(source: &[f32], line: &mut [f32], phase: usize, pad: usize, stride: usize) {
    // The first element of the line whose column, x * stride + phase - pad, is not in the padding.
    let first = pad.saturating_sub(phase).div_ceil(stride);
    let start = first * stride + phase - pad;
    if first >= line.len() || start >= source.len() {
        return;
    }
    if stride == 1 {
        let count = (line.len() - first).min(source.len() - start);
        copy(&source[start..start + count], &mut line[first..first + count]);
    } else if stride == 2 {
        // Pairs of a known size, which become vector shuffles.
        let pairs = source[start..].chunks_exact(2);
        let last = pairs.remainder().first();
        let count = pairs.len().min(line.len() - first);
        let (paired, rest) = line[first..].split_at_mut(count);
        paired.iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[0]);
        rest.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
    } else {
        for (to, from) in line[first..].iter_mut().zip(source[start..].iter().step_by(stride)) {
            *to = *from;
        }
    }
}
