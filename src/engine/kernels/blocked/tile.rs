//! The inner loop: a tile of positions by output channels, kept in registers over all inputs.
//!
//! With 32 registers of 16 lanes a tile is 14 positions by 2 blocks of channels: for each input channel two
//! vectors of weights and 14 broadcast inputs make 28 multiply-adds, so the loads (16) hide behind them. With
//! registers of 8 lanes it is 6 positions by one block.

use super::BLOCK;
use crate::engine::kernels::activation::{Activation, Applied};
use pulp::{Simd, WithSimd};

/// Positions in the largest tile.
pub const MAX_POSITIONS: usize = 14;

/// The inputs in blocks that a tile reads, and their weights.
///
/// # Safety
///
/// Whoever runs a tile sees to it that `inputs` is readable for `BLOCK` floats at each of the tile's positions, `BLOCK` apart,
/// at every tap from `first` on (columns as `across` says, `down` from one row to the next) in every block of input
/// channels, `step` apart; and `weights` for as many lanes times the tile's channels.
#[derive(Clone, Copy)]
pub struct Reads<'a> {
    pub inputs: *const f32,
    /// The first row and column of taps that meet the input, and how many of each do.
    pub first: [usize; 2],
    pub taps: [usize; 2],
    /// Columns of taps that have weights.
    pub columns: usize,
    /// Floats from one row of taps to the next, from the first column of taps to each, and from one block of input
    /// channels to the next.
    pub down: usize,
    pub across: Across<'a>,
    pub step: usize,
    /// Whole blocks of input channels in each tap.
    pub full: usize,
    /// Channels in a last block that is not whole.
    pub tail: usize,
    pub weights: *const f32,
    /// What is read soon, brought nearer meanwhile: a line of the cache for every input channel. Never read here, so it
    /// may go past an end.
    pub ahead: *const f32,
}

/// The inputs that a tile reads where they are not in blocks: those of neighbouring positions lie side by side, at each of
/// `places` from `inputs` on.
///
/// # Safety
///
/// Whoever runs a tile sees to it that `inputs` is readable for as many floats as it has positions at each place, and
/// `weights` for one vector of its channels for each.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    pub inputs: *const f32,
    pub places: &'a [usize],
    pub weights: *const f32,
}

/// The numbers that a tile adds to its sums, and the memory that it writes them to.
///
/// # Safety
///
/// Whoever runs a tile sees to it that `bias` is readable for the tile's channels, and that `out`, and `residual` where it
/// is not null, may be written and read for `BLOCK` floats at each position, `along` apart, in each of the tile's
/// blocks, `plane` floats apart.
#[derive(Clone, Copy)]
pub struct Writes {
    pub bias: *const f32,
    pub residual: *const f32,
    pub out: *mut f32,
    pub plane: usize,
    /// Floats from one position to the next in `out` and `residual`.
    pub along: usize,
    pub activation: Activation,
}

/// Floats in a line of the cache.
pub const LINE: usize = 16;

/// Columns of taps that a list of places is for.
pub const MAX_COLUMNS: usize = 16;

/// Floats from the first column of taps to each.
#[derive(Clone, Copy)]
pub enum Across<'a> {
    /// The same distance from each to the next.
    Even(usize),
    Listed(&'a [usize; MAX_COLUMNS]),
}

/// Positions in a tile, for vectors of so many lanes.
pub const fn positions(lanes: usize) -> usize {
    match lanes {
        16 => MAX_POSITIONS,
        8 | 4 => 6,
        _ => 2,
    }
}

/// Blocks of output channels that share a pass over the input; weights are packed in groups of as many.
pub fn group() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            group_of(S::F32_LANES)
        }
    }
    super::super::arch().dispatch(Lanes)
}

pub const fn group_of(lanes: usize) -> usize {
    if lanes == 16 { 2 } else { 1 }
}

/// Runs a body with the tile's size as constants.
macro_rules! sized {
    ($s:ident, $count:expr, $blocks:expr, $r:ident, $v:ident => $body:expr) => {
        match ($s::F32_LANES, $blocks) {
            (16, 2) => sized!(@ $count, $r, $v = 2, $body, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            (16, _) => sized!(@ $count, $r, $v = 1, $body, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            (8, _) => sized!(@ $count, $r, $v = 2, $body, 1 2 3 4 5 6),
            (4, _) => sized!(@ $count, $r, $v = 4, $body, 1 2 3 4 5 6),
            _ => sized!(@ $count, $r, $v = 16, $body, 1 2),
        }
    };
    (@ $count:expr, $r:ident, $v:ident = $vectors:literal, $body:expr, $($n:literal)*) => {
        match $count {
            $($n => {
                const $r: usize = $n;
                const $v: usize = $vectors;
                $body
            })*
            _ => debug_assert!(false, "a tile of {} positions, which are not written", $count),
        }
    };
}

impl Reads<'_> {
    /// Computes a tile. REQUIRES `count` of at most [`positions`], `blocks` of at most [`group_of`], of the machine's lanes.
    ///
    /// # Safety
    ///
    /// What [`Reads`] and [`Writes`] say of their pointers holds.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, simd: S, count: usize, blocks: usize, writes: &Writes) {
        // SAFETY: the caller's.
        sized!(S, count, blocks, R, V => unsafe { self.products::<S, R, V>(simd, writes) })
    }

    /// # Safety
    ///
    /// What [`Reads`] and [`Writes`] say of their pointers holds for `R` positions and `V` vectors of channels.
    #[inline(always)]
    unsafe fn products<S: Simd, const R: usize, const V: usize>(&self, simd: S, writes: &Writes) {
        let lanes = S::F32_LANES;
        // SAFETY: within what `Reads` promises: `inputs` and `weights` go forward by what is read.
        unsafe {
            let mut sums = writes.start::<S, R, V>(simd);
            let per_tap = (self.full * BLOCK + self.tail) * V * lanes;
            let mut ahead = self.ahead;
            for tap in 0..self.taps[0] * self.taps[1] {
                let row = self.first[0] + tap / self.taps[1];
                let column = self.first[1] + tap % self.taps[1];
                let across = match self.across {
                    Across::Even(step) => column * step,
                    Across::Listed(places) => places[column],
                };
                let mut inputs = self.inputs.add(row * self.down + across);
                let mut weights = self.weights.add((row * self.columns + column) * per_tap);
                for _ in 0..self.full {
                    block::<S, R, V>(simd, &mut sums, inputs, weights, ahead, BLOCK);
                    ahead = ahead.wrapping_add(BLOCK * LINE);
                    inputs = inputs.wrapping_add(self.step);
                    weights = weights.add(BLOCK * V * lanes);
                }
                if self.tail > 0 {
                    block::<S, R, V>(simd, &mut sums, inputs, weights, ahead, self.tail);
                    ahead = ahead.wrapping_add(self.tail * LINE);
                }
            }
            writes.finish(simd, sums);
        }
    }
}

impl Lines<'_> {
    /// Computes a tile. REQUIRES `count` and `blocks` as [`Reads::run`] does.
    ///
    /// # Safety
    ///
    /// What [`Lines`] and [`Writes`] say of their pointers holds.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, simd: S, count: usize, blocks: usize, writes: &Writes) {
        // SAFETY: the caller's.
        sized!(S, count, blocks, R, V => unsafe { self.products::<S, R, V>(simd, writes) })
    }

    /// # Safety
    ///
    /// What [`Lines`] and [`Writes`] say of their pointers holds for `R` positions and `V` vectors of channels.
    #[inline(always)]
    unsafe fn products<S: Simd, const R: usize, const V: usize>(&self, simd: S, writes: &Writes) {
        let lanes = S::F32_LANES;
        // SAFETY: within what the caller promises: one vector of weights for each place and vector.
        unsafe {
            let mut sums = writes.start::<S, R, V>(simd);
            let mut weights = self.weights;
            for place in self.places {
                let inputs = self.inputs.add(*place);
                let mut weight = [simd.splat_f32s(0.0); V];
                for (v, weight) in weight.iter_mut().enumerate() {
                    *weight = weights.add(v * lanes).cast::<S::f32s>().read_unaligned();
                }
                weights = weights.add(V * lanes);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let input = simd.splat_f32s(*inputs.add(r));
                    for v in 0..V {
                        sums[v] = simd.mul_add_e_f32s(input, weight[v], sums[v]);
                    }
                }
            }
            writes.finish(simd, sums);
        }
    }
}

impl Writes {
    /// Sums that begin with the bias.
    ///
    /// # Safety
    ///
    /// `bias` is readable for `V` vectors.
    #[inline(always)]
    unsafe fn start<S: Simd, const R: usize, const V: usize>(&self, simd: S) -> [[S::f32s; V]; R] {
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for v in 0..V {
            // SAFETY: there is a bias for each channel of the tile.
            let bias = unsafe { self.bias.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
            sums.iter_mut().for_each(|sums| sums[v] = bias);
        }
        sums
    }

    /// Adds the residual, applies the activation, and writes the results.
    ///
    /// # Safety
    ///
    /// What [`Writes`] says of `residual` and `out` holds for `R` positions and `V` vectors of channels.
    #[inline(always)]
    unsafe fn finish<S: Simd, const R: usize, const V: usize>(&self, simd: S, mut sums: [[S::f32s; V]; R]) {
        let lanes = S::F32_LANES;
        for (r, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                let at = v * lanes / BLOCK * self.plane + r * self.along + v * lanes % BLOCK;
                // SAFETY: position `r` of the block that vector `v` is of.
                unsafe {
                    if !self.residual.is_null() {
                        let residual = self.residual.add(at).cast::<S::f32s>().read_unaligned();
                        *sum = simd.add_f32s(*sum, residual);
                    }
                    let value = self.activation.simple(simd, *sum);
                    self.out.add(at).cast::<S::f32s>().write_unaligned(value);
                }
            }
        }
        if self.activation.is_simple() {
            return;
        }
        for block in 0..(V * lanes).div_ceil(BLOCK) {
            let first = self.out.wrapping_add(block * self.plane);
            // Positions that lie together in one go.
            let (count, floats) = if self.along == BLOCK { (1, R * BLOCK) } else { (R, BLOCK) };
            for position in 0..count {
                // SAFETY: written above.
                let written =
                    unsafe { std::slice::from_raw_parts_mut(first.add(position * self.along), floats) };
                simd.vectorize(Applied { activation: self.activation, values: written });
            }
        }
    }
}

/// Into the second level of the cache, if the machine has an instruction for it.
#[inline(always)]
fn bring_nearer(_place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that reads nothing and never faults; every x86-64 has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(_place.cast());
    }
}

/// Adds the products of some input channels at one tap to the sums.
///
/// # Safety
///
/// `inputs` is readable for `count` floats at each of `R` positions, `weights` for `count` times `V`
/// vectors.
#[inline(always)]
unsafe fn block<S: Simd, const R: usize, const V: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; R],
    inputs: *const f32,
    weights: *const f32,
    ahead: *const f32,
    count: usize,
) {
    for k in 0..count {
        bring_nearer(ahead.wrapping_add(k * LINE));
        // SAFETY: k < count.
        unsafe {
            let mut weight = [simd.splat_f32s(0.0); V];
            for (v, weight) in weight.iter_mut().enumerate() {
                *weight = weights.add((k * V + v) * S::F32_LANES).cast::<S::f32s>().read_unaligned();
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let input = simd.splat_f32s(*inputs.add(r * BLOCK + k));
                for v in 0..V {
                    sums[v] = simd.mul_add_e_f32s(input, weight[v], sums[v]);
                }
            }
        }
    }
}
