//! A tile of the result stays in registers while it runs over the inner axis.

use super::super::vector;
use super::{Activation, After, Line, PANEL, Packed};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The bytes of `a` that are gone over again for every few panels: they should stay in a core's own cache.
const BLOCK_BYTES: usize = 512 << 10;

/// Some rows by some panels of a product.
pub(super) struct Part<'a> {
    /// `rows` rows of `b.inner` elements.
    pub a: &'a [f32],
    /// From the beginning of a row to that of the next.
    pub stride: usize,
    pub rows: usize,
    /// Where these rows are in the residual.
    pub first_row: usize,
    pub b: &'a Packed,
    pub panels: Range<usize>,
    pub after: After<'a>,
    /// `rows` times as many columns as these panels have.
    pub out: &'a mut [f32],
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Tiles of 12 x 2 vectors in 32 registers, of 6 x 2 in 16.
        match S::F32_LANES {
            16 => self.run::<S, 1, 2, 8>(simd, 12),
            8 => self.run::<S, 2, 1, 4>(simd, 6),
            4 => self.run::<S, 4, 1, 1>(simd, 4),
            _ => self.run::<S, 16, 1, 1>(simd, 1),
        }
    }
}

impl Part<'_> {
    /// Columns of these panels.
    #[inline(always)]
    fn width(&self) -> usize {
        (self.panels.end * PANEL).min(self.b.columns) - self.panels.start * PANEL
    }

    /// `W` vectors make a panel; a tile has up to `tall` rows and `P` panels, or few rows and `F` panels.
    #[inline(always)]
    fn run<S: Simd, const W: usize, const P: usize, const F: usize>(mut self, simd: S, tall: usize) {
        let count = self.rows;
        let block = (BLOCK_BYTES / 4 / self.b.inner.max(1)).max(tall);
        let blocks = count.div_ceil(block);
        for index in 0..blocks {
            let start = count * index / blocks;
            let end = count * (index + 1) / blocks;
            let tiles = (end - start).div_ceil(tall);
            let mut panel = self.panels.start;
            while panel < self.panels.end {
                let left = self.panels.end - panel;
                let wide = match (left, end - start) {
                    (left, ..=2) if left >= F => F,
                    (left, _) if left >= P => P,
                    _ => 1,
                };
                for tile in 0..tiles {
                    let from = start + (end - start) * tile / tiles;
                    let rows = start + (end - start) * (tile + 1) / tiles - from;
                    if wide == F && F > P {
                        self.few::<S, W, F>(simd, panel, from, rows);
                    } else if wide == P {
                        self.tile_of::<S, W, P>(simd, panel, from, rows, tall);
                    } else {
                        self.tile_of::<S, W, 1>(simd, panel, from, rows, tall);
                    }
                    self.finish(simd, from..from + rows, panel, wide);
                }
                panel += wide;
            }
        }
    }

    #[inline(always)]
    fn few<S: Simd, const W: usize, const F: usize>(
        &mut self,
        simd: S,
        panel: usize,
        row: usize,
        rows: usize,
    ) {
        if rows == 1 {
            self.tile::<S, W, 1, F>(simd, panel, row);
        } else {
            self.tile::<S, W, 2, F>(simd, panel, row);
        }
    }

    #[inline(always)]
    fn tile_of<S: Simd, const W: usize, const P: usize>(
        &mut self,
        simd: S,
        panel: usize,
        row: usize,
        rows: usize,
        tall: usize,
    ) {
        // Constant where this is compiled: tiles taller than the registers hold are not made.
        match rows {
            1 => self.tile::<S, W, 1, P>(simd, panel, row),
            2 if tall >= 2 => self.tile::<S, W, 2, P>(simd, panel, row),
            3 if tall >= 3 => self.tile::<S, W, 3, P>(simd, panel, row),
            4 if tall >= 4 => self.tile::<S, W, 4, P>(simd, panel, row),
            5 if tall >= 5 => self.tile::<S, W, 5, P>(simd, panel, row),
            6 if tall >= 6 => self.tile::<S, W, 6, P>(simd, panel, row),
            7 if tall >= 7 => self.tile::<S, W, 7, P>(simd, panel, row),
            8 if tall >= 8 => self.tile::<S, W, 8, P>(simd, panel, row),
            9 if tall >= 9 => self.tile::<S, W, 9, P>(simd, panel, row),
            10 if tall >= 10 => self.tile::<S, W, 10, P>(simd, panel, row),
            11 if tall >= 11 => self.tile::<S, W, 11, P>(simd, panel, row),
            12 if tall >= 12 => self.tile::<S, W, 12, P>(simd, panel, row),
            _ => {}
        }
    }

    /// `R` rows from `row` on by `P` panels from `panel` on.
    #[inline(always)]
    fn tile<S: Simd, const W: usize, const R: usize, const P: usize>(
        &mut self,
        simd: S,
        panel: usize,
        row: usize,
    ) {
        let inner = self.b.inner;
        // Of exactly that length, so that the compiler sees that `k` is within.
        let a: [&[f32]; R] = std::array::from_fn(|r| &self.a[(row + r) * self.stride..][..inner]);
        let lines: [&[Line]; P] = std::array::from_fn(|p| &self.b.lines[(panel + p) * inner..][..inner]);
        let mut sums = [[[simd.splat_f32s(0.0); W]; P]; R];
        for k in 0..inner {
            let mut vectors = [[simd.splat_f32s(0.0); W]; P];
            for p in 0..P {
                vectors[p].copy_from_slice(S::as_simd_f32s(&lines[p][k].0).0);
            }
            for r in 0..R {
                let element = simd.splat_f32s(a[r][k]);
                for p in 0..P {
                    for w in 0..W {
                        sums[r][p][w] = simd.mul_add_e_f32s(element, vectors[p][w], sums[r][p][w]);
                    }
                }
            }
        }
        let width = self.width();
        for (r, sums) in sums.iter().enumerate() {
            for (p, sums) in sums.iter().enumerate() {
                let first = (panel + p - self.panels.start) * PANEL;
                let count = PANEL.min(width - first);
                let to = &mut self.out[(row + r) * width + first..][..count];
                if let Ok(to) = <&mut [f32; PANEL]>::try_from(&mut *to) {
                    S::as_mut_simd_f32s(to).0.copy_from_slice(sums);
                } else {
                    let mut line = Line([0.0; PANEL]);
                    S::as_mut_simd_f32s(&mut line.0).0.copy_from_slice(sums);
                    to.copy_from_slice(&line.0[..count]);
                }
            }
        }
    }

    /// What follows the product.
    #[inline(always)]
    fn finish<S: Simd>(&mut self, simd: S, rows: Range<usize>, panel: usize, wide: usize) {
        let After { bias, residual, activation } = self.after;
        if bias.is_none() && residual.is_none() && activation == Activation::None {
            return;
        }
        let width = self.width();
        let columns = panel * PANEL..((panel + wide) * PANEL).min(self.b.columns);
        for row in rows {
            let at = row * width + columns.start - self.panels.start * PANEL;
            let values = &mut self.out[at..at + columns.len()];
            if let Some(bias) = bias {
                for (v, b) in values.iter_mut().zip(&bias[columns.clone()]) {
                    *v += b;
                }
            }
            if let Some(residual) = residual {
                let residual = &residual[(self.first_row + row) * self.b.columns + columns.start..];
                for (v, r) in values.iter_mut().zip(residual) {
                    *v += r;
                }
            }
            match activation {
                Activation::None => {}
                Activation::Clip { min, max } => {
                    for v in values {
                        *v = v.max(min).min(max);
                    }
                }
                Activation::Map(map) => vector::each(simd, map, values),
            }
        }
    }
}
