//! Convolution with kernels of 3 by 3 and stride 1 by the minimal filtering of Winograd, as Lavin and Gray (2016,
//! "Fast Algorithms for Convolutional Neural Networks") give it.
//!
//! A tile of M by M results is computed from N by N inputs, N = M + 2: inputs and kernels are transformed, multiplied
//! element by element and summed over the channels, and what comes out is transformed back. That takes N² products for
//! M² results where the definition takes 9 M². With M = 4 these are four times fewer, with M = 2 2.25 times; the larger
//! tiles cost four times the memory of the kernels, so they are for few channels.
//!
//! Some tiles at a time, whose inputs stay in the cache: each of the N² sums over channels is the product of a matrix,
//! for which the tile of `tile.rs` does.

use super::convolution::Convolution;
use super::dense::Tiles;
use super::tile::{self, Reads, Writes};
use super::{BLOCK, Lanes, Line, blocks};
use crate::engine::kernels::activation::{Activation, Applied};
use crate::engine::kernels::memory::grown;
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// Results along a side of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Two,
    Four,
}

/// Bytes of transformed kernels up to which they are gone over again for every few tiles: more for tiles of two, which
/// need them less often than the definition does even where they come from further away.
const MOST_OF_FOUR: usize = 3 << 20;
const MOST_OF_TWO: usize = 9 << 19;

/// Tiles that are computed together.
const TOGETHER: usize = 28;

/// Above this, and for what is no number, a tile is computed by the definition: its transformation adds up inputs that
/// do not meet in any one result, so that NaN, infinity and the rounding of a large number would reach results which do
/// not depend on them.
pub(super) const LIMIT: f32 = (1 << 20) as f32;

impl Side {
    /// The tiles that are best for so many channels; none where the definition is better.
    pub fn best(channels_in: usize, channels_out: usize) -> Option<Self> {
        let kernels = channels_in.checked_mul(channels_out)?.checked_mul(size_of::<f32>())?;
        if channels_in < BLOCK || channels_out < BLOCK {
            None
        } else if kernels * 36 <= MOST_OF_FOUR {
            Some(Self::Four)
        } else {
            (kernels * 16 <= MOST_OF_TWO).then_some(Self::Two)
        }
    }

    fn results(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Products of a tile.
    pub fn products(self) -> usize {
        (self.results() + 2) * (self.results() + 2)
    }

    /// The transformed kernel: one number for each product.
    fn kernel(self, taps: &[[f64; 3]; 3]) -> Vec<f64> {
        let rows: &[[f64; 3]] = match self {
            Self::Two => &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
            Self::Four => &[
                [1.0 / 4.0, 0.0, 0.0],
                [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
                [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
                [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
                [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
                [0.0, 0.0, 1.0],
            ],
        };
        let sum = |a: &[f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let element = |a: &[f64; 3], b: &[f64; 3]| sum(a, std::array::from_fn(|row| sum(b, taps[row])));
        rows.iter().flat_map(|a| rows.iter().map(move |b| element(a, b))).collect()
    }

    /// Kernels `[out, in, 3, 3]` transformed, as `[group of blocks][product][input][block of the group]`.
    pub fn pack(self, weight: &[f32], [out, inputs]: [usize; 2]) -> Vec<Line> {
        let (group, products) = (tile::group(), self.products());
        let mut packed = Vec::with_capacity(blocks(out) * products * inputs);
        for first in (0..blocks(out)).step_by(group) {
            let together = group.min(blocks(out) - first);
            let start = packed.len();
            packed.resize(start + together * products * inputs, Line(Lanes::ZERO));
            let own = &mut packed[start..];
            for channel in first * BLOCK..((first + together) * BLOCK).min(out) {
                let (block, lane) = (channel / BLOCK - first, channel % BLOCK);
                for input in 0..inputs {
                    let taps = &weight[(channel * inputs + input) * 9..][..9];
                    let taps = std::array::from_fn(|r| std::array::from_fn(|c| f64::from(taps[r * 3 + c])));
                    for (product, value) in self.kernel(&taps).into_iter().enumerate() {
                        own[(product * inputs + input) * together + block].0.0[lane] = value as f32;
                    }
                }
            }
        }
        packed
    }
}

/// One convolution of one batch.
pub(super) struct Winograd<'a> {
    pub side: Side,
    pub conv: Convolution<'a>,
    pub input: &'a [Lanes],
}

/// Some tiles of one image.
pub(super) struct Part<'a> {
    pub of: &'a Winograd<'a>,
    pub image: usize,
    pub tiles: Range<usize>,
}

impl Winograd<'_> {
    /// Tiles along both axes.
    fn across(&self) -> [usize; 2] {
        self.conv.to.size.map(|size| size.div_ceil(self.side.results()))
    }

    pub fn tiles(&self) -> usize {
        self.across().iter().product()
    }

    /// The positions of a tile's results, row after row.
    pub fn positions(&self, tile: usize) -> impl Iterator<Item = Range<usize>> {
        let ([height, width], side) = (self.conv.to.size, self.side.results());
        let (y, x) = (tile / self.across()[1] * side, tile % self.across()[1] * side);
        let (end, broad) = ((y + side).min(height), side.min(width - x));
        (y..end).map(move |row| row * width + x..row * width + x + broad)
    }

    /// Whether something in a tile's inputs is above the limit, or no number.
    fn is_wild(&self, image: usize, tile: usize) -> bool {
        let ([height, width], side) = (self.conv.from.size, self.side.results());
        let (y, x) = (tile / self.across()[1] * side, tile % self.across()[1] * side);
        let span = |at: usize, pad: usize, size: usize| {
            at.saturating_sub(pad).min(size)..(at + side + 2).saturating_sub(pad).min(size)
        };
        let (rows, columns) = (
            span(y, self.conv.geometry.pad_begin[0], height),
            span(x, self.conv.geometry.pad_begin[1], width),
        );
        let planes = blocks(self.conv.from.channels);
        let wild = |lanes: &Lanes| !lanes.0.iter().all(|value| value.abs() <= LIMIT);
        (image * planes..(image + 1) * planes).any(|plane| {
            rows.clone().any(|row| {
                let line = &self.input[(plane * height + row) * width..][..width];
                line[columns.clone()].iter().any(wild)
            })
        })
    }

    /// Tiles of a part, for so many threads: few enough that there is something for each.
    pub fn together(&self, threads: usize) -> usize {
        let parts = self.tiles().div_ceil(TOGETHER).next_multiple_of(threads);
        self.tiles().div_ceil(parts).max(1)
    }
}

#[derive(Default)]
struct Scratch {
    /// `[product][block of inputs][tile]`
    inputs: Vec<Line>,
    /// `[product][block of the group][tile]`
    sums: Vec<Line>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Gives the tiles that are still to be computed by the definition.
impl WithSimd for Part<'_> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<usize> {
        match self.of.side {
            Side::Two => self.run::<S, 4, 2>(simd),
            Side::Four => self.run::<S, 6, 4>(simd),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize, const M: usize>(self, simd: S) -> Vec<usize> {
        let of = self.of;
        let group = tile::group_of(S::F32_LANES);
        let (inputs, outputs) = (blocks(of.conv.from.channels), blocks(of.conv.to.channels));
        let count = self.tiles.len();
        let mut scratch = SCRATCH.take();
        let wanted = [N * N * inputs * count, N * N * group * count];
        for (lines, wanted) in [&mut scratch.inputs, &mut scratch.sums].into_iter().zip(wanted) {
            grown(lines, wanted, Line(Lanes::ZERO));
        }
        // The greatest magnitude among the inputs of all tiles, as the bits of a float without its sign: these are in
        // the order of what they stand for, with infinity and NaN above all else.
        let mut most_bits = simd.splat_u32s(0);
        for block in 0..inputs {
            for (index, tile) in self.tiles.clone().enumerate() {
                let magnitude = self.enter::<S, N, M>(
                    simd,
                    block,
                    tile,
                    &mut scratch.inputs[block * count + index..],
                    inputs * count,
                );
                most_bits = simd.max_u32s(most_bits, magnitude);
            }
        }
        for first in (0..outputs).step_by(group) {
            let taken = group.min(outputs - first);
            self.multiply::<S, N>(simd, first, taken, &mut scratch);
            for block in 0..taken {
                for (index, tile) in self.tiles.clone().enumerate() {
                    let sums = &scratch.sums[block * count + index..];
                    self.leave::<S, N, M>(simd, first + block, tile, sums, taken * count);
                }
            }
        }
        SCRATCH.set(scratch);
        let wild = bytemuck::bytes_of(&most_bits)
            .chunks_exact(4)
            .any(|bits| bits.try_into().is_ok_and(|bits| u32::from_ne_bytes(bits) > LIMIT.to_bits()));
        if wild { self.tiles.filter(|tile| of.is_wild(self.image, *tile)).collect() } else { Vec::new() }
    }

    /// Sums the products of the transformed inputs and kernels over the channels, for the blocks of a group from `first`
    /// on.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(&self, simd: S, first: usize, taken: usize, scratch: &mut Scratch) {
        let conv = &self.of.conv;
        let channels = conv.from.channels;
        let (inputs, count, most) = (blocks(channels), self.tiles.len(), tile::positions(S::F32_LANES));
        let weights = &conv.weights[first * N * N * channels..];
        let zeros = [Line(Lanes::ZERO); 2];
        for product in 0..N * N {
            let (own, next) = weights[product * channels * taken..].split_at(channels * taken);
            let mut nearer = next.chunks(channels).take(taken);
            for (position, positions) in Tiles::new(count, most) {
                let reads = Reads {
                    inputs: scratch.inputs[product * inputs * count + position..].as_ptr().cast(),
                    first: [0, 0],
                    taps: [1, 1],
                    columns: 1,
                    down: 0,
                    across: tile::Across::Even(0),
                    step: count * BLOCK,
                    full: channels / BLOCK,
                    tail: channels % BLOCK,
                    weights: own.as_ptr().cast(),
                    ahead: nearer.next().unwrap_or(own).as_ptr().cast(),
                };
                let writes = Writes {
                    bias: zeros.as_ptr().cast(),
                    residual: std::ptr::null(),
                    out: scratch.sums[product * taken * count + position..].as_mut_ptr().cast(),
                    plane: count * BLOCK,
                    along: BLOCK,
                    activation: Activation::None,
                };
                // SAFETY: the scratch has room for every product, block and tile; `Side::pack` made the weights
                // for these channels, and a group has two blocks at most, for which there are zeros.
                unsafe { reads.run(simd, positions, taken, &writes) };
            }
        }
    }

    /// The inputs of a tile, transformed; those of the products come `apart` lines from each other. Gives the
    /// greatest bits of their magnitudes.
    #[inline(always)]
    fn enter<S: Simd, const N: usize, const M: usize>(
        &self,
        simd: S,
        block: usize,
        tile: usize,
        to: &mut [Line],
        apart: usize,
    ) -> S::u32s {
        let of = self.of;
        let magnitude = simd.splat_u32s(0x7fff_ffff);
        let mut most_bits = simd.splat_u32s(0);
        let [height, width] = of.conv.from.size;
        let wide = of.across()[1];
        let (y, x) = (tile / wide * M, tile % wide * M);
        let planes = blocks(of.conv.from.channels);
        let plane = &of.input[(self.image * planes + block) * height * width..][..height * width];
        // Rows and columns in the input; those before it wrap to large numbers.
        let (top, left) =
            (y.wrapping_sub(of.conv.geometry.pad_begin[0]), x.wrapping_sub(of.conv.geometry.pad_begin[1]));
        let inside = top < height && left < width && top + N <= height && left + N <= width;
        let zero = simd.splat_f32s(0.0);
        for lane in (0..BLOCK).step_by(S::F32_LANES) {
            let mut columns = [[zero; N]; N];
            for (column, entered) in columns.iter_mut().enumerate() {
                let mut given = [zero; N];
                for (row, given) in given.iter_mut().enumerate() {
                    let (r, c) = (top.wrapping_add(row), left.wrapping_add(column));
                    if inside || (r < height && c < width) {
                        *given = load::<S>(&plane[r * width + c], lane);
                        let bits = simd.and_u32s(simd.transmute_u32s_f32s(*given), magnitude);
                        most_bits = simd.max_u32s(most_bits, bits);
                    }
                }
                *entered = enter(simd, given);
            }
            for row in 0..N {
                let given: [_; N] = std::array::from_fn(|column| columns[column][row]);
                for (column, value) in enter(simd, given).into_iter().enumerate() {
                    store::<S>(&mut to[(row * N + column) * apart].0, lane, value);
                }
            }
        }
        most_bits
    }

    /// The results of a tile, from sums that lie `apart` lines from each other.
    #[inline(always)]
    fn leave<S: Simd, const N: usize, const M: usize>(
        &self,
        simd: S,
        block: usize,
        tile: usize,
        sums: &[Line],
        apart: usize,
    ) {
        let of = self.of;
        let [height, width] = of.conv.to.size;
        let wide = of.across()[1];
        let (y, x) = (tile / wide * M, tile % wide * M);
        let (high, broad) = (M.min(height - y), M.min(width - x));
        let plane = (self.image * blocks(of.conv.to.channels) + block) * height * width;
        let zero = simd.splat_f32s(0.0);
        let mut results = [[Lanes::ZERO; M]; M];
        for lane in (0..BLOCK).step_by(S::F32_LANES) {
            let mut columns = [[zero; M]; N];
            for (column, left) in columns.iter_mut().enumerate() {
                let given: [_; N] =
                    std::array::from_fn(|row| load::<S>(&sums[(row * N + column) * apart].0, lane));
                *left = leave(simd, given);
            }
            let bias = load::<S>(&of.conv.bias[block], lane);
            for row in 0..M {
                let given: [_; N] = std::array::from_fn(|column| columns[column][row]);
                let given: [S::f32s; M] = leave(simd, given);
                for (column, value) in given.into_iter().enumerate() {
                    let mut value = simd.add_f32s(value, bias);
                    let at = plane + (y + row) * width + x + column;
                    if let Some(residual) = of.conv.residual
                        && row < high
                        && column < broad
                    {
                        value = simd.add_f32s(value, load::<S>(&residual[at], lane));
                    }
                    store::<S>(&mut results[row][column], lane, of.conv.activation.simple(simd, value));
                }
            }
        }
        if !of.conv.activation.is_simple() {
            let values = bytemuck::cast_slice_mut(results.as_flattened_mut());
            simd.vectorize(Applied { activation: of.conv.activation, values });
        }
        for (row, results) in results[..high].iter().enumerate() {
            let at = plane + (y + row) * width + x;
            // SAFETY: a row of this tile, which no other tile has; `Conv2d::run` has made room for all.
            let to =
                unsafe { std::slice::from_raw_parts_mut(of.conv.out.get().cast::<Lanes>().add(at), broad) };
            to.copy_from_slice(&results[..broad]);
        }
    }
}

#[inline(always)]
fn load<S: Simd>(lanes: &Lanes, lane: usize) -> S::f32s {
    S::as_simd_f32s(&lanes.0[lane..]).0[0]
}

#[inline(always)]
fn store<S: Simd>(lanes: &mut Lanes, lane: usize, value: S::f32s) {
    S::as_mut_simd_f32s(&mut lanes.0[lane..]).0[0] = value;
}

/// One axis of the transformation of inputs.
#[inline(always)]
fn enter<S: Simd, const N: usize>(simd: S, d: [S::f32s; N]) -> [S::f32s; N] {
    let times = |k: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(k), x, y);
    let mut out = d;
    if N == 4 {
        out[0] = simd.sub_f32s(d[0], d[2]);
        out[1] = simd.add_f32s(d[1], d[2]);
        out[2] = simd.sub_f32s(d[2], d[1]);
        out[3] = simd.sub_f32s(d[1], d[3]);
    } else {
        // d4 - 4 d2, d3 - 4 d1, d4 - d2, 2 (d3 - d1)
        let (even, odd) = (times(-4.0, d[2], d[4]), times(-4.0, d[1], d[3]));
        let (near, far) = (simd.sub_f32s(d[4], d[2]), simd.sub_f32s(d[3], d[1]));
        out[0] = times(4.0, d[0], times(-5.0, d[2], d[4]));
        out[1] = simd.add_f32s(even, odd);
        out[2] = simd.sub_f32s(even, odd);
        out[3] = times(2.0, far, near);
        out[4] = times(-2.0, far, near);
        out[5] = times(4.0, d[1], times(-5.0, d[3], d[5]));
    }
    out
}

/// One axis of the transformation back.
#[inline(always)]
fn leave<S: Simd, const N: usize, const M: usize>(simd: S, m: [S::f32s; N]) -> [S::f32s; M] {
    let times = |k: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(k), x, y);
    let mut out = [m[0]; M];
    let (a, b) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    if N == 4 {
        out[0] = simd.add_f32s(m[0], a);
        out[1] = simd.sub_f32s(b, m[3]);
    } else {
        let (c, d) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        out[0] = simd.add_f32s(simd.add_f32s(m[0], a), c);
        out[1] = times(2.0, d, b);
        out[2] = times(4.0, c, a);
        out[3] = simd.add_f32s(times(8.0, d, b), m[5]);
    }
    out
}
