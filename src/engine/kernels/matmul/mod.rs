//! Matrix products whose right-hand side is packed: weights once, when a model is loaded, activations where they
//! are multiplied. What follows a product (a bias, a residual, an activation) is done while its result is in the
//! cache.
//!
//! An element of the result is one sum over the inner axis, in its order, whatever the tile it is computed in: a row
//! is the same to the last bit however many rows there are and however many threads.

mod batched;
mod tile;

pub use batched::{Batched, Operand};

use super::elementwise::Map;
use super::memory::{grown, left};
use super::share::{share, threads_for};
use tile::Product;

/// Columns that lie side by side in packed memory: one vector of AVX-512, two of AVX2, four of NEON.
pub(super) const PANEL: usize = 16;

/// A row of a panel, where vectors are loaded from.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Line(pub [f32; PANEL]);

/// A matrix in panels of columns, each `[inner][PANEL]`, the last filled up with zeros.
#[derive(Debug, Default)]
pub struct Packed {
    inner: usize,
    columns: usize,
    lines: Vec<Line>,
}

/// The function that is applied to each element after bias and residual.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    #[default]
    None,
    Clip {
        min: f32,
        max: f32,
    },
    Map(Map),
}

/// The operations that follow a product: activation(product + bias + residual).
#[derive(Clone, Copy, Default)]
pub struct After<'a> {
    /// A number for each column, which is added.
    pub bias: Option<&'a [f32]>,
    /// What is added to the result, and is as large.
    pub residual: Option<&'a [f32]>,
    pub activation: Activation,
}

impl Packed {
    /// Packs a matrix `[inner, columns]` in C order, or its transpose.
    ///
    /// REQUIRES as many elements.
    pub fn new(elements: &[f32], [inner, columns]: [usize; 2], transposed: bool) -> Self {
        let mut packed = Self::default();
        packed.pack(elements, [inner, columns], if transposed { [1, inner] } else { [columns, 1] });
        packed
    }

    /// Packs as [`Packed::new`] does, in the memory that is there; element (k, n) is `elements[k * strides[0] + n *
    /// strides[1]]`.
    pub fn pack(&mut self, elements: &[f32], [inner, columns]: [usize; 2], [down, across]: [usize; 2]) {
        (self.inner, self.columns) = (inner, columns);
        self.lines.clear();
        grown(&mut self.lines, columns.div_ceil(PANEL) * inner, Line([0.0; PANEL]));
        for (panel, lines) in self.lines.chunks_exact_mut(inner.max(1)).enumerate() {
            let first = panel * PANEL;
            let count = PANEL.min(columns - first);
            if across == 1 {
                for (k, line) in lines.iter_mut().enumerate() {
                    let at = k * down + first;
                    line.0[..count].copy_from_slice(&elements[at..at + count]);
                }
                continue;
            }
            // Blocks small enough that what is written stays in the nearest cache.
            for (block, lines) in lines.chunks_mut(64).enumerate() {
                for column in 0..count {
                    let at = (first + column) * across + block * 64 * down;
                    for (k, line) in lines.iter_mut().enumerate() {
                        line.0[column] = elements[at + k * down];
                    }
                }
            }
        }
    }

    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Bytes that so large a matrix takes once it is packed; `None` where no number is so large.
    pub fn bytes([inner, columns]: [usize; 2]) -> Option<usize> {
        columns.div_ceil(PANEL).checked_mul(inner)?.checked_mul(size_of::<Line>())
    }

    /// The same, without the memory, where it is large.
    fn left(mut self) -> Self {
        self.lines = left(self.lines);
        self
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Every element times a number.
    pub fn scaled(mut self, by: f32) -> Self {
        self.lines.iter_mut().for_each(|line| line.0.iter_mut().for_each(|v| *v *= by));
        self
    }
}

/// Multiply-adds and floats of the matrix under which threads do not pay, some microseconds.
const PARALLEL_FROM: usize = 100_000;

/// Rows for each thread above which they are split, not the columns.
const TALL: usize = 12;

/// `out = after(a · b)`, with `a` of `rows` rows in C order.
///
/// REQUIRES `a` to be `rows` times `b.inner()` elements, `out` and a residual `rows` times `b.columns()`, and a bias
/// `b.columns()`; panics otherwise.
pub fn multiply(a: &[f32], rows: usize, b: &Packed, after: After<'_>, out: &mut [f32]) {
    assert!(a.len() == rows * b.inner && out.len() == rows * b.columns, "the sizes of a product agree");
    if out.is_empty() {
        return;
    }
    let work = (rows + 4) * b.inner * b.columns;
    let threads = threads_for(work, PARALLEL_FROM);
    let product = Product::new(a, (rows, b.inner), b, after, out);
    // Where both sides are cut, into pieces enough that threads finish together.
    let panels = b.panels();
    let wanted = if threads == 1 { 1 } else { threads * 4 };
    let tiles = rows.div_ceil(TALL);
    // The side that is longer is cut first: the other is gone over by every piece.
    let (down, across) = if rows > b.columns {
        let down = wanted.min(tiles);
        (down, (wanted / down).clamp(1, panels.div_ceil(2)))
    } else {
        let across = wanted.min(panels.div_ceil(2));
        ((wanted / across).clamp(1, tiles.max(1)), across)
    };
    let height = rows.div_ceil(down).next_multiple_of(if down > 1 { TALL } else { 1 }).max(1);
    let width = panels.div_ceil(across).next_multiple_of(2);
    let (down, across) = (rows.div_ceil(height), panels.div_ceil(width));
    share(down * across, threads, &|piece| {
        let (row, panel) = (piece / across * height, piece % across * width);
        // SAFETY: each piece has rows and panels that no other piece has.
        unsafe { product.part(row..(row + height).min(rows), panel..(panel + width).min(panels)) };
    });
}

/// Multiplies as [`multiply`] does, on this thread, for products within products. Rows of `a` begin `stride` elements
/// apart.
pub(super) fn multiply_here(
    a: &[f32],
    (rows, stride): (usize, usize),
    b: &Packed,
    after: After<'_>,
    out: &mut [f32],
) {
    // SAFETY: one part, which is the whole.
    unsafe { Product::new(a, (rows, stride), b, after, out).part(0..rows, 0..b.panels()) };
}

impl Packed {
    fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }
}

#[cfg(test)]
mod tests;
