//! Convolution of each channel with a kernel of its own.
//!
//! Where there are pads, the rows of a plane are copied between zeros just before they are read, so that every
//! window is whole and a tile of neighbouring positions needs no cases.

use super::convolution::Convolution;
use super::{BLOCK, Lanes, Line};
use crate::engine::kernels::Activation;
use crate::engine::kernels::memory::{self, grown};
use crate::scheduler::is_stopped;
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// Some rows of some planes of blocks, counted through all images.
pub(super) struct Depthwise<'a> {
    pub conv: Convolution<'a>,
    pub input: &'a [Lanes],
    pub planes: Range<usize>,
    pub rows: Range<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// One row of the output of one plane, in one vector of its lanes.
struct Row {
    /// What tap 0 of the first position reads.
    input: *const f32,
    /// Floats from one row of taps to the next, from one column to the next, and from one position to the next.
    down: usize,
    across: usize,
    along: usize,
    kernel: [usize; 2],
    weights: *const f32,
    bias: *const f32,
    residual: *const f32,
    out: *mut f32,
    activation: Activation,
}

impl Row {
    /// `R` positions from `x` on. `K` is the number of columns of the kernel, 0 where it is not known here.
    ///
    /// # Safety
    ///
    /// The windows of these positions can be read, as can weights, bias and residual; `out` can be written.
    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const K: usize>(&self, simd: S, x: usize) {
        let columns = if K == 0 { self.kernel[1] } else { K };
        // SAFETY: offsets within the windows that the caller vouches for.
        unsafe {
            let load = |at: *const f32| at.cast::<S::f32s>().read_unaligned();
            let mut sums = [load(self.bias); R];
            let mut weights = self.weights;
            let mut line = self.input.add(x * self.along);
            for _ in 0..self.kernel[0] {
                for column in 0..columns {
                    let weight = load(weights);
                    weights = weights.add(BLOCK);
                    let at = line.add(column * self.across);
                    for (r, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.mul_add_e_f32s(load(at.add(r * self.along)), weight, *sum);
                    }
                }
                line = line.wrapping_add(self.down);
            }
            for (r, sum) in sums.into_iter().enumerate() {
                let at = (x + r) * BLOCK;
                let sum = if self.residual.is_null() {
                    sum
                } else {
                    simd.add_f32s(sum, load(self.residual.add(at)))
                };
                self.out.add(at).cast::<S::f32s>().write_unaligned(self.activation.simple(simd, sum));
            }
        }
    }

    /// # Safety
    ///
    /// As of [`Row::run`], for all positions of the row.
    #[inline(always)]
    unsafe fn all<S: Simd, const K: usize>(&self, simd: S, width: usize) {
        let mut x = 0;
        // SAFETY: positions up to `width`.
        unsafe {
            while x + 8 <= width {
                self.run::<S, 8, K>(simd, x);
                x += 8;
            }
            match width - x {
                1 => self.run::<S, 1, K>(simd, x),
                2 => self.run::<S, 2, K>(simd, x),
                3 => self.run::<S, 3, K>(simd, x),
                4 => self.run::<S, 4, K>(simd, x),
                5 => self.run::<S, 5, K>(simd, x),
                6 => self.run::<S, 6, K>(simd, x),
                7 => self.run::<S, 7, K>(simd, x),
                _ => {}
            }
        }
    }
}

impl Depthwise<'_> {
    /// Height and width of what the windows of all positions cover.
    fn covered(&self) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let g = self.conv.geometry;
            (self.conv.to.size[axis] - 1) * g.stride[axis]
                + (self.conv.kernel[axis] - 1) * g.dilation[axis]
                + 1
        })
    }
}

impl Depthwise<'_> {
    /// Computes row `y` of a plane.
    ///
    /// # Safety
    ///
    /// What the windows of the row cover lies from `source` on, in lines of `line` blocks, and nobody else writes to the
    /// row.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, simd: S, plane: usize, y: usize, source: *const f32, line: usize) {
        let Convolution { geometry: g, kernel, .. } = self.conv;
        let [height, width] = self.conv.to.size;
        let (block, taps) = (plane % self.conv.bias.len(), kernel[0] * kernel[1]);
        let at = plane * height * width + y * width;
        let residual = self.conv.residual.map(|r| &r[at..at + width]);
        let out = self.conv.out.get().wrapping_add(at * BLOCK);
        for lane in (0..BLOCK).step_by(S::F32_LANES) {
            let row = Row {
                input: source.wrapping_add(lane),
                down: g.dilation[0] * line * BLOCK,
                across: g.dilation[1] * BLOCK,
                along: g.stride[1] * BLOCK,
                kernel,
                weights: self.conv.weights[block * taps..].as_ptr().cast::<f32>().wrapping_add(lane),
                bias: self.conv.bias[block].0[lane..].as_ptr(),
                residual: residual.map_or(std::ptr::null(), |r| r.as_ptr().cast::<f32>().wrapping_add(lane)),
                out: out.wrapping_add(lane),
                activation: self.conv.activation,
            };
            // SAFETY: the caller vouches for the windows. `Conv2d::run` has checked the elements of input and residual;
            // nobody else writes to this piece's planes.
            unsafe {
                match kernel[1] {
                    3 => row.all::<S, 3>(simd, width),
                    5 => row.all::<S, 5>(simd, width),
                    _ => row.all::<S, 0>(simd, width),
                }
            }
        }
        if !self.conv.activation.is_simple() {
            // SAFETY: the row was written above, by this piece.
            let row = unsafe { std::slice::from_raw_parts_mut(out, width * BLOCK) };
            self.conv.activation.each(simd, row);
        }
    }
}

impl WithSimd for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let g = self.conv.geometry;
        let [height, width] = self.conv.from.size;
        let padded = g.pad_begin != [0, 0] || g.pad_end != [0, 0];
        let [covered, line] = if padded { self.covered() } else { self.conv.from.size };
        let mut scratch = SCRATCH.take();
        // What of the input's rows lies where in the scratch, of which the first row is that of the first window: the
        // rest of it is zero.
        let (left, top) = (g.pad_begin[1].min(line), g.pad_begin[0].min(covered));
        let copied = width.min(line - left);
        let start = self.rows.start * g.stride[0];
        let reach = (self.conv.kernel[0] - 1) * g.dilation[0] + 1;
        if padded {
            let rows = start..(self.rows.end - 1) * g.stride[0] + reach;
            grown(&mut scratch, rows.len() * line, Line(Lanes::ZERO));
            for (row, to) in rows.zip(scratch.chunks_exact_mut(line)) {
                let inside = row >= top && row < top + height;
                let margins = if inside { [0..left, left + copied..line] } else { [0..line, line..line] };
                margins.into_iter().for_each(|margin| to[margin].fill(Line(Lanes::ZERO)));
            }
        }
        for plane in self.planes.clone() {
            let input = &self.input[plane * height * width..(plane + 1) * height * width];
            let mut filled = top.max(start);
            for y in self.rows.clone() {
                if is_stopped() {
                    return;
                }
                let first = y * g.stride[0];
                while padded && filled < (first + reach).min(top + height) {
                    let to = &mut scratch[(filled - start) * line + left..][..copied];
                    let source = &input[(filled - top) * width..][..copied];
                    to.iter_mut().zip(source).for_each(|(to, from)| to.0 = *from);
                    filled += 1;
                }
                let source: *const f32 = if padded {
                    scratch[(first - start) * line..].as_ptr().cast()
                } else {
                    input[first * line..].as_ptr().cast()
                };
                // SAFETY: the source has every row and column that the windows of this row cover: the
                // scratch was made so, and an input without pads has them, as its output's size says.
                unsafe { self.row(simd, plane, y, source, line) };
            }
        }
        SCRATCH.set(memory::left(scratch));
    }
}
