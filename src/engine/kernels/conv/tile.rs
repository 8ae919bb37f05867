//! The inner loops: a tile of output channels by consecutive positions, kept in registers over all taps.

use super::super::Activation;
use super::planes::{MAX_TILE, Planes};
use super::{BLOCK, copy};
use crate::scheduler::is_stopped;
use pulp::{Simd, WithSimd};

/// Consecutive output channels of one image.
pub(super) struct Channels<'a> {
    pub planes: &'a Planes,
    pub source: &'a [f32],
    /// The weights from the first block of these channels on.
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub residual: Option<&'a [f32]>,
    pub activation: Activation,
    /// `[channel][row][column]`.
    pub out: &'a mut [f32],
}

impl WithSimd for Channels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // 32 registers hold tiles of 8 x 2 vectors, 16 registers tiles of 4 x 3.
        if S::F32_LANES >= 16 {
            self.tiles::<S, 8, 2>(simd);
        } else {
            self.tiles::<S, 4, 3>(simd);
        }
    }
}

impl Channels<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const C: usize, const V: usize>(mut self, simd: S) {
        let positions = self.planes.positions();
        let tile = V * S::F32_LANES;
        let mut start = 0;
        while !is_stopped() {
            // The last tile of planes that have no room behind them overlaps the one before.
            let at = if self.planes.direct { start.min(positions.saturating_sub(tile)) } else { start };
            let mut channel = 0;
            while channel < self.bias.len() {
                let left = self.bias.len() - channel;
                let taken = if left >= C && C == 8 {
                    self.tile::<S, 8, V>(simd, channel, at)
                } else if left >= 4 {
                    self.tile::<S, 4, V>(simd, channel, at)
                } else if left >= 2 {
                    self.tile::<S, 2, V>(simd, channel, at)
                } else {
                    self.tile::<S, 1, V>(simd, channel, at)
                };
                channel += taken;
            }
            start += tile;
            if start >= positions {
                return;
            }
        }
    }

    /// `C` channels from `channel` on by `V` vectors of positions from `at` on; answers `C`.
    #[inline(always)]
    fn tile<S: Simd, const C: usize, const V: usize>(&mut self, simd: S, channel: usize, at: usize) -> usize {
        let taps = self.planes.offsets.len();
        let weights = &self.weights[channel / BLOCK * taps * BLOCK..][..taps * BLOCK];
        let lanes = S::F32_LANES;
        let within = channel % BLOCK;
        let mut sums = [[simd.splat_f32s(0.0); V]; C];
        for (weights, offset) in weights.chunks_exact(BLOCK).zip(&self.planes.offsets) {
            let weights = &weights[within..within + C];
            let (source, _) = S::as_simd_f32s(&self.source[offset + at..offset + at + V * lanes]);
            for c in 0..C {
                let weight = simd.splat_f32s(weights[c]);
                for v in 0..V {
                    sums[c][v] = simd.mul_add_e_f32s(weight, source[v], sums[c][v]);
                }
            }
        }
        for (c, sums) in sums.iter().enumerate() {
            let mut line = [0.0; MAX_TILE];
            let bias = simd.splat_f32s(self.bias[channel + c]);
            for v in 0..V {
                let sum = simd.add_f32s(sums[v], bias);
                S::as_mut_simd_f32s(&mut line[v * lanes..(v + 1) * lanes]).0[0] = sum;
            }
            self.write(simd, channel + c, at, &mut line[..V * lanes]);
        }
        C
    }

    /// Puts the positions that are pixels where they belong; the rest lie between rows.
    #[inline(always)]
    fn write<S: Simd>(&mut self, simd: S, channel: usize, at: usize, line: &mut [f32]) {
        let ([height, width], stride) = (self.planes.size, self.planes.plane[1]);
        let (mut row, mut column) = (at / stride, at % stride);
        let mut done = 0;
        while done < line.len() && row < height {
            let run = (stride - column).min(line.len() - done);
            if column < width {
                let pixels = run.min(width - column);
                let values = &mut line[done..done + pixels];
                let to = channel * height * width + row * width + column;
                if let Some(residual) = self.residual {
                    for (value, add) in values.iter_mut().zip(&residual[to..to + pixels]) {
                        *value += add;
                    }
                }
                self.activation.each(simd, values);
                copy(values, &mut self.out[to..to + pixels]);
            }
            done += run;
            row += 1;
            column = 0;
        }
    }
}
