//! A tile of the result stays in registers while it runs over the inner axis.

use super::super::elementwise::Map;
use super::super::{arch, vector};
use super::{Activation, After, Line, PANEL, Packed};
use crate::scheduler::is_stopped;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;
use std::ops::Range;

/// The bytes of `a` that are gone over again for every few panels: they should stay in a core's own cache.
const BLOCK_BYTES: usize = 512 << 10;

/// Elements of rows by which a panel is multiplied between two looks at whether the run is to end.
const LONG: usize = 1 << 12;

/// A product that threads compute in parts, each with rows and panels of its own.
pub(super) struct Product<'a> {
    /// Rows of `b.inner` elements.
    a: &'a [f32],
    /// The distance from the beginning of a row to that of the next.
    stride: usize,
    rows: usize,
    b: &'a Packed,
    after: After<'a>,
    /// `[rows][b.columns]`
    out: *mut f32,
    lent: PhantomData<&'a mut [f32]>,
}

// SAFETY: parts that run at the same time write to rows and columns of their own, as `part` requires of its callers.
unsafe impl Sync for Product<'_> {}

impl<'a> Product<'a> {
    /// Panics where the sizes do not agree.
    pub fn new(
        a: &'a [f32],
        (rows, stride): (usize, usize),
        b: &'a Packed,
        after: After<'a>,
        out: &'a mut [f32],
    ) -> Self {
        assert!(out.len() == rows * b.columns, "the sizes of a product agree");
        assert!(
            after.bias.is_none_or(|b| b.len() * rows == out.len())
                && after.residual.is_none_or(|r| r.len() == out.len())
        );
        Self { a, stride, rows, b, after, out: out.as_mut_ptr(), lent: PhantomData }
    }

    /// Computes some rows by some panels, and writes them to the result.
    ///
    /// # Safety
    ///
    /// No other part that runs at the same time has both a row and a panel in common with this one.
    pub unsafe fn part(&self, rows: Range<usize>, panels: Range<usize>) {
        assert!(rows.end <= self.rows && panels.end <= self.b.panels());
        if !rows.is_empty() && !panels.is_empty() {
            arch().dispatch(Part { product: self, rows, panels });
        }
    }
}

/// Some rows by some panels of a product.
struct Part<'a> {
    product: &'a Product<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
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
    /// `W` vectors make a panel; a tile has up to `tall` rows and `P` panels, or few rows and `F` panels.
    #[inline(always)]
    fn run<S: Simd, const W: usize, const P: usize, const F: usize>(self, simd: S, tall: usize) {
        let product = self.product;
        let count = self.rows.len();
        let block = (BLOCK_BYTES / 4 / product.b.inner.max(1)).max(tall);
        let blocks = count.div_ceil(block);
        for index in 0..blocks {
            let start = self.rows.start + count * index / blocks;
            let end = self.rows.start + count * (index + 1) / blocks;
            let tiles = (end - start).div_ceil(tall);
            // A look costs as much as a few multiplications.
            let long = (end - start).saturating_mul(product.b.inner) > LONG;
            let mut panel = self.panels.start;
            while panel < self.panels.end {
                if long && is_stopped() {
                    return;
                }
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
                        product.few::<S, W, F>(simd, panel, from, rows);
                    } else if wide == P {
                        product.tile_of::<S, W, P>(simd, panel, from, rows, tall);
                    } else {
                        product.tile_of::<S, W, 1>(simd, panel, from, rows, tall);
                    }
                }
                panel += wide;
            }
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn few<S: Simd, const W: usize, const F: usize>(&self, simd: S, panel: usize, row: usize, rows: usize) {
        if rows == 1 {
            self.tile::<S, W, 1, F>(simd, panel, row);
        } else {
            self.tile::<S, W, 2, F>(simd, panel, row);
        }
    }

    #[inline(always)]
    fn tile_of<S: Simd, const W: usize, const P: usize>(
        &self,
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
            _ => debug_assert!(false, "a tile of {rows} rows, which are not written"),
        }
    }

    /// `R` rows from `row` on by `P` panels from `panel` on.
    #[inline(always)]
    fn tile<S: Simd, const W: usize, const R: usize, const P: usize>(
        &self,
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
                let line = S::as_simd_f32s(&lines[p][k].0).0;
                (0..W).for_each(|w| vectors[p][w] = line[w]);
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
        self.finish(simd, sums, panel, row);
    }

    /// What follows the product, and where it goes.
    #[inline(always)]
    fn finish<S: Simd, const W: usize, const R: usize, const P: usize>(
        &self,
        simd: S,
        sums: [[[S::f32s; W]; P]; R],
        panel: usize,
        row: usize,
    ) {
        let columns = self.b.columns;
        let After { bias, residual, activation } = self.after;
        for (p, first) in (0..P).map(|p| (p, (panel + p) * PANEL)) {
            let count = PANEL.min(columns - first);
            let mut biases = [simd.splat_f32s(0.0); W];
            if let Some(bias) = bias {
                biases = vectors::<S, W>(&bias[first..first + count]);
            }
            for (r, sums) in sums.iter().enumerate() {
                let mut values = sums[p];
                let at = (row + r) * columns + first;
                if bias.is_some() {
                    (0..W).for_each(|w| values[w] = simd.add_f32s(values[w], biases[w]));
                }
                if let Some(residual) = residual {
                    let added = vectors::<S, W>(&residual[at..at + count]);
                    (0..W).for_each(|w| values[w] = simd.add_f32s(values[w], added[w]));
                }
                if let Activation::Clip { min, max } = activation {
                    let (min, max) = (simd.splat_f32s(min), simd.splat_f32s(max));
                    (0..W).for_each(|w| {
                        values[w] = vector::at_most(simd, vector::at_least(simd, values[w], min), max);
                    });
                }
                // SAFETY: row and columns of this part, which nobody else writes to, of an `out` that has
                // `rows` times `columns` elements, as `new` has checked.
                let to = unsafe { std::slice::from_raw_parts_mut(self.out.add(at), count) };
                if let Ok(to) = <&mut [f32; PANEL]>::try_from(&mut *to) {
                    let to = S::as_mut_simd_f32s(to).0;
                    (0..W).for_each(|w| to[w] = values[w]);
                } else {
                    let mut line = Line([0.0; PANEL]);
                    let to_line = S::as_mut_simd_f32s(&mut line.0).0;
                    (0..W).for_each(|w| to_line[w] = values[w]);
                    to.copy_from_slice(&line.0[..count]);
                }
            }
        }
        if let Activation::Map(map) = activation {
            let columns = panel * PANEL..((panel + P) * PANEL).min(columns);
            // A call, so that the functions are not there once for every size of tile.
            simd.vectorize(Mapped { product: self, rows: row..row + R, columns, map });
        }
    }
}

/// A function of what a tile has written.
struct Mapped<'a> {
    product: &'a Product<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    map: Map,
}

impl WithSimd for Mapped<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows {
            // SAFETY: as where they were written, in `finish`.
            let values = unsafe {
                let at = self.product.out.add(row * self.product.b.columns + self.columns.start);
                std::slice::from_raw_parts_mut(at, self.columns.len())
            };
            vector::each(simd, self.map, values);
        }
    }
}

/// Up to a panel's width of numbers, followed by zeros.
#[inline(always)]
fn vectors<S: Simd, const W: usize>(numbers: &[f32]) -> [S::f32s; W] {
    let mut line = Line([0.0; PANEL]);
    let line = match <&[f32; PANEL]>::try_from(numbers) {
        Ok(whole) => whole,
        Err(_) => {
            line.0[..numbers.len()].copy_from_slice(numbers);
            &line.0
        }
    };
    let vectors = S::as_simd_f32s(line).0;
    std::array::from_fn(|w| vectors[w])
}
