//! Convolution of blocks with blocks: any kernel, stride, pad and dilation.
//!
//! The inputs of a tile of positions are first laid side by side with zeros for pads, and then run through by
//! every group of output channels. Where the tile's positions lie in one row, the rows that its windows cover are laid
//! out once, a line for each phase of the stride, and the taps of a row share them; otherwise every tap has inputs of
//! its own. A kernel of 1 by 1 and stride 1 reads the input where it is.

use super::convolution::Convolution;
use super::tile::{self, Across, MAX_COLUMNS, MAX_POSITIONS, Reads, Writes};
use super::{BLOCK, Lanes, Line, blocks};
use crate::engine::kernels::memory::{grown, left};
use crate::scheduler::is_stopped;
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// Floats of laid-out inputs that stay in the cache next to the weights.
const PANEL: usize = 128 << 10;

/// One convolution of one batch.
pub(super) struct Dense<'a> {
    pub conv: Convolution<'a>,
    pub input: &'a [Lanes],
    pub place: OutputGrid,
}

/// The places of the result's positions in planes that may hold others between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputGrid {
    /// The height and width of the planes.
    pub size: [usize; 2],
    /// The step from one position to the next.
    pub stride: [usize; 2],
    pub offset: [usize; 2],
}

impl OutputGrid {
    /// Side by side.
    pub fn whole(size: [usize; 2]) -> Self {
        Self { size, stride: [1, 1], offset: [0, 0] }
    }

    fn is_whole(&self) -> bool {
        self.stride == [1, 1]
    }

    /// The place of a position in a result of that width.
    #[inline(always)]
    fn of(&self, position: usize, width: usize) -> usize {
        if self.is_whole() {
            return position;
        }
        let (y, x) = (position / width, position % width);
        (y * self.stride[0] + self.offset[0]) * self.size[1] + x * self.stride[1] + self.offset[1]
    }
}

/// A part of it: some positions of an image by some groups of output channels.
pub(super) struct Piece<'a> {
    pub dense: &'a Dense<'a>,
    pub image: usize,
    pub positions: Range<usize>,
    pub groups: Range<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

impl Dense<'_> {
    fn taps(&self) -> usize {
        self.conv.kernel[0] * self.conv.kernel[1]
    }

    /// Whether every position reads its own alone.
    pub fn is_pointwise(&self) -> bool {
        let g = self.conv.geometry;
        self.conv.kernel == [1, 1]
            && g.stride == [1, 1]
            && g.pad_begin == [0, 0]
            && self.conv.from.size == self.conv.to.size
    }

    /// Whether tiles lie in one row each, so that the taps of a row share its inputs. Narrow rows would make
    /// small tiles.
    pub fn in_rows(&self) -> bool {
        !self.is_pointwise() && self.conv.to.size[1] >= 10 && self.conv.kernel[1] <= MAX_COLUMNS
    }

    /// How far the last column of taps is ahead of the first, in columns of the input, for tiles in a row.
    #[inline(always)]
    fn reach(&self) -> usize {
        (self.conv.kernel[1] - 1) * self.conv.geometry.dilation[1]
    }

    /// For tiles in a row of so many positions: the lines for each row of taps and block of channels, one for each
    /// phase of the stride that is met, and the positions of a line.
    #[inline(always)]
    fn lines(&self, count: usize) -> (usize, usize) {
        let stride = self.conv.geometry.stride[1];
        (stride.min(self.reach() + 1), count + self.reach() / stride)
    }

    /// Whether a tile may not go on in the next row.
    pub fn by_row(&self) -> bool {
        self.in_rows() || !self.place.is_whole()
    }

    /// Blocks that a tile of so many positions is laid out in.
    #[inline(always)]
    fn laid(&self, count: usize) -> usize {
        let channels = blocks(self.conv.from.channels);
        if self.in_rows() {
            let (phases, length) = self.lines(count);
            self.conv.kernel[0] * channels * phases * length
        } else {
            self.taps() * channels * count
        }
    }

    /// First tap along an axis that meets the input at one of these positions, and how many from it on do.
    #[inline(always)]
    fn met(&self, axis: usize, positions: Range<usize>) -> (usize, usize) {
        let g = self.conv.geometry;
        let (pad, stride, dilation) = (g.pad_begin[axis], g.stride[axis], g.dilation[axis]);
        let last = positions.end.saturating_sub(1) * stride;
        let first = pad.saturating_sub(last).div_ceil(dilation);
        let end =
            (self.conv.from.size[axis] + pad).saturating_sub(positions.start * stride).div_ceil(dilation);
        (first, end.min(self.conv.kernel[axis]).saturating_sub(first))
    }

    /// The places of taps along both axes, for that number of positions from `first` on.
    #[inline(always)]
    fn taps_met(&self, first: usize, count: usize) -> [(usize, usize); 2] {
        let width = self.conv.to.size[1];
        let (y, x) = (first / width, first % width);
        let columns = if x + count <= width { x..x + count } else { 0..width };
        [self.met(0, y..(first + count - 1) / width + 1), self.met(1, columns)]
    }

    /// Lines that a thread lays out inputs in, at most; `None` where no number is so large.
    pub fn scratch(&self) -> Option<usize> {
        if self.is_pointwise() {
            return Some(0);
        }
        let positions = self.conv.to.size[0].checked_mul(self.conv.to.size[1])?;
        let width = if self.by_row() { self.conv.to.size[1] } else { MAX_POSITIONS };
        let channels = blocks(self.conv.from.channels).checked_mul(self.conv.kernel[0])?;
        let of_row = if self.in_rows() {
            // Each tile has what its windows cover, in all phases. How many positions it has is for the machine to say.
            let of_tiles = |most: usize| {
                let (phases, length) = self.lines(most.min(width));
                phases.checked_mul(length)?.checked_mul(width.div_ceil(most))
            };
            let tiles = [16, 8, 1].map(tile::positions).map(of_tiles);
            channels.checked_mul(tiles.into_iter().try_fold(0, |most, tiles| Some(tiles?.max(most)))?)?
        } else {
            channels.checked_mul(self.conv.kernel[1])?.checked_mul(width)?
        };
        // More rows than one where they are small, as far as there are any.
        let rows = positions.div_ceil(width.max(1));
        Some(of_row.max(PANEL / BLOCK).min(of_row.saturating_mul(rows)))
    }

    #[inline(always)]
    fn image(&self, image: usize) -> &[Lanes] {
        let all = blocks(self.conv.from.channels) * self.conv.from.size[0] * self.conv.from.size[1];
        &self.input[image * all..(image + 1) * all]
    }

    /// Lays out the inputs of positions from `first` on, which lie in one row: for each row of taps and block of
    /// channels, the columns that the windows cover, those of each phase of the stride side by side.
    #[inline(always)]
    fn lay_row(&self, image: usize, first: usize, count: usize, panel: &mut [Lanes]) {
        let (g, [height, width]) = (self.conv.geometry, self.conv.from.size);
        let (y, x) = (first / self.conv.to.size[1], first % self.conv.to.size[1]);
        let ((phases, length), stride, pad) = (self.lines(count), g.stride[1], g.pad_begin[1]);
        let mut lines = panel.chunks_exact_mut(length);
        for row in 0..self.conv.kernel[0] {
            let line_in = (y * g.stride[0] + row * g.dilation[0]).wrapping_sub(g.pad_begin[0]);
            for channel in self.image(image).chunks_exact(height * width) {
                for phase in 0..phases {
                    let Some(line) = lines.next() else { return };
                    // No tile reads a row that is not there.
                    if line_in >= height {
                        continue;
                    }
                    // Columns before the input, in it, and after it.
                    let column = x * stride + phase;
                    let before = pad.saturating_sub(column).div_ceil(stride).min(length);
                    let start = (column + before * stride).saturating_sub(pad).min(width);
                    let inside = (width - start).div_ceil(stride).min(length - before);
                    line[..before].fill(Lanes::ZERO);
                    let source = &channel[line_in * width..][..width][start..];
                    let to = line[before..before + inside].iter_mut();
                    if stride == 1 {
                        to.zip(source).for_each(|(to, from)| *to = *from);
                    } else {
                        to.zip(source.iter().step_by(stride)).for_each(|(to, from)| *to = *from);
                    }
                    line[before + inside..].fill(Lanes::ZERO);
                }
            }
        }
    }

    /// Lays out the inputs of positions from `first` on: for each tap and block of channels, those of every
    /// position.
    #[inline(always)]
    fn lay(&self, image: usize, first: usize, count: usize, panel: &mut [Lanes]) {
        let (g, [height, width]) = (self.conv.geometry, self.conv.from.size);
        let mut corner = [[0usize; 2]; MAX_POSITIONS];
        for (index, corner) in corner[..count].iter_mut().enumerate() {
            let (y, x) = ((first + index) / self.conv.to.size[1], (first + index) % self.conv.to.size[1]);
            *corner = [
                (y * g.stride[0]).wrapping_sub(g.pad_begin[0]),
                (x * g.stride[1]).wrapping_sub(g.pad_begin[1]),
            ];
        }
        let mut places = [usize::MAX; MAX_POSITIONS];
        let mut lines = panel.chunks_exact_mut(count);
        for row in 0..self.conv.kernel[0] {
            for column in 0..self.conv.kernel[1] {
                for (place, corner) in places[..count].iter_mut().zip(&corner) {
                    let y = corner[0].wrapping_add(row * g.dilation[0]);
                    let x = corner[1].wrapping_add(column * g.dilation[1]);
                    *place = if y < height && x < width { y * width + x } else { usize::MAX };
                }
                for channel in self.image(image).chunks_exact(height * width) {
                    let Some(line) = lines.next() else { return };
                    for (to, place) in line.iter_mut().zip(&places) {
                        *to = channel.get(*place).copied().unwrap_or(Lanes::ZERO);
                    }
                }
            }
        }
    }

    /// Lays out the inputs of tiles, one after the other.
    #[inline(always)]
    fn lay_tiles(&self, image: usize, tiles: impl Iterator<Item = (usize, usize)>, panel: &mut Vec<Line>) {
        let mut place = 0;
        for (position, count) in tiles {
            let laid = self.laid(count);
            grown(panel, place + laid, Line(Lanes::ZERO));
            let panel = bytemuck::cast_slice_mut(&mut panel[place..place + laid]);
            if self.in_rows() {
                self.lay_row(image, position, count, panel);
            } else {
                self.lay(image, position, count, panel);
            }
            place += laid;
        }
    }

    /// Where a tile reads its inputs: the panel that it is laid out in, or the input itself. Its weights are yet to be
    /// said; `columns` keeps where each column of taps begins.
    #[inline(always)]
    fn reads<'b>(
        &self,
        image: usize,
        position: usize,
        count: usize,
        panel: &[Line],
        columns: &'b mut [usize; MAX_COLUMNS],
    ) -> Reads<'b> {
        let Convolution { geometry, kernel, from, .. } = &self.conv;
        let inputs = blocks(from.channels);
        // Floats of a line of the panel: one block of channels, at one tap or at a row of them.
        let line = self.laid(count) / inputs / kernel[0] * BLOCK;
        let (source, step, down, across): (*const f32, _, _, _) = if self.is_pointwise() {
            let plane = from.size[0] * from.size[1];
            let at = image * inputs * plane + position;
            (self.input[at..].as_ptr().cast(), plane * BLOCK, 0, Across::Even(0))
        } else if self.in_rows() {
            let (stride, (_, length)) = (geometry.stride[1], self.lines(count));
            let across = if stride == 1 {
                Across::Even(geometry.dilation[1] * BLOCK)
            } else {
                for (column, across) in columns[..kernel[1]].iter_mut().enumerate() {
                    let ahead = column * geometry.dilation[1];
                    *across = (ahead % stride * length + ahead / stride) * BLOCK;
                }
                Across::Listed(columns)
            };
            (panel.as_ptr().cast(), line, line * inputs, across)
        } else {
            let step = count * BLOCK;
            (panel.as_ptr().cast(), step, line * inputs, Across::Even(step * inputs))
        };
        let [rows, columns] = if self.is_pointwise() { [(0, 1); 2] } else { self.taps_met(position, count) };
        Reads {
            inputs: source,
            first: [rows.0, columns.0],
            taps: [rows.1, columns.1],
            columns: kernel[1],
            down,
            across,
            step,
            full: from.channels / BLOCK,
            tail: from.channels % BLOCK,
            weights: std::ptr::null(),
            ahead: std::ptr::null(),
        }
    }
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let dense = self.dense;
        let most = tile::positions(S::F32_LANES);
        let by_row = dense.by_row();
        // As many positions as stay in the cache, in tiles that are about equal; whole rows where they matter.
        let width = if by_row { dense.conv.to.size[1] } else { most };
        let tiles_in_row = if by_row { width.div_ceil(most) } else { 1 };
        let row_laid = tiles_in_row * dense.laid(width.div_ceil(tiles_in_row));
        let at_once = (PANEL / (row_laid * BLOCK)).max(1) * width;
        let mut panel = SCRATCH.take();
        let mut start = self.positions.start;
        while start < self.positions.end && !is_stopped() {
            let end = (start + at_once).min(self.positions.end);
            let span = if by_row { width } else { end - start };
            let tiles = (start..end).step_by(span.max(1)).flat_map(|row| {
                Tiles::new(span.min(end - row), most).map(move |(at, count)| (row + at, count))
            });
            if !dense.is_pointwise() {
                dense.lay_tiles(self.image, tiles.clone(), &mut panel);
            }
            for group in self.groups.clone() {
                self.group(simd, group, tiles.clone(), &panel);
            }
            start = end;
        }
        SCRATCH.set(left(panel));
    }
}

impl Piece<'_> {
    /// Computes one group of output channels at tiles, whose inputs the panel holds where they are laid out.
    #[inline(always)]
    fn group<S: Simd>(
        &self,
        simd: S,
        index: usize,
        tiles: impl Iterator<Item = (usize, usize)>,
        panel: &[Line],
    ) {
        let (dense, conv) = (self.dense, &self.dense.conv);
        let (group, outputs) = (tile::group_of(S::F32_LANES), blocks(conv.to.channels));
        let plane = dense.place.size[0] * dense.place.size[1];
        let first = index * group;
        let taken = group.min(outputs - first);
        let out = (self.image * outputs + first) * plane;
        let inner = dense.taps() * conv.from.channels;
        let weights = &conv.weights[first * inner..];
        // The weights of the next group, which may be far: some for each tile of this one.
        let next = weights.get(taken * inner..).unwrap_or_default();
        let mut nearer = next.chunks(inner).take(group);
        let mut laid = 0;
        for (position, count) in tiles {
            let mut columns = [0; MAX_COLUMNS];
            let reads = Reads {
                weights: weights.as_ptr().cast(),
                ahead: nearer.next().unwrap_or(weights).as_ptr().cast(),
                ..dense.reads(self.image, position, count, &panel[laid..], &mut columns)
            };
            laid += if dense.is_pointwise() { 0 } else { dense.laid(count) };
            let at = out + dense.place.of(position, conv.to.size[1]);
            let writes = Writes {
                bias: conv.bias[first..].as_ptr().cast(),
                residual: conv.residual.map_or(std::ptr::null(), |r| r[at..].as_ptr().cast()),
                out: conv.out.get().wrapping_add(at * BLOCK),
                plane: plane * BLOCK,
                along: dense.place.stride[1] * BLOCK,
                activation: conv.activation,
            };
            // SAFETY: `Conv2d::run` has checked that input, residual and out have the elements that
            // their shapes say, and `Conv2d::new` packed weights and bias for these channels; the
            // panel was laid for this tile. Pieces differ in positions, groups or image, and convolutions of
            // the same planes in their places, so nobody else writes here.
            unsafe { reads.run(simd, count, taken, &writes) };
        }
    }
}

/// Positions cut into tiles of at most so many, about equal: first position and count.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    at: usize,
    left: usize,
    most: usize,
}

impl Tiles {
    pub fn new(positions: usize, most: usize) -> Self {
        Self { at: 0, left: positions, most }
    }
}

impl Iterator for Tiles {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        // Whole tiles first; the last two share what is left.
        let count = if self.left >= 2 * self.most || self.left <= self.most {
            self.left.min(self.most)
        } else if self.left.is_multiple_of(self.most) {
            self.most
        } else {
            self.left.div_ceil(2)
        };
        let at = self.at;
        self.at += count;
        self.left -= count;
        Some((at, count))
    }
}
