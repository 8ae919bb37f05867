//! Matrix products whose right-hand side is packed: weights once, when a model is loaded, activations where they
//! are multiplied. What follows a product (a bias, a residual, an activation) is done while its result is in the
//! cache.
//!
//! An element of the result is one sum over the inner axis, in its order, whatever the tile it is computed in: a row
//! is the same to the last bit however many rows there are and however many threads.

mod batched;
mod tile;

pub use batched::{Batched, Operand};

use super::arch;
use super::elementwise::Map;
use rayon::prelude::*;
use tile::Part;

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

/// What is applied to each element after bias and residual.
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

/// What follows a product: activation(product + bias + residual).
#[derive(Clone, Copy, Default)]
pub struct After<'a> {
    /// One number for each column.
    pub bias: Option<&'a [f32]>,
    /// As large as the result.
    pub residual: Option<&'a [f32]>,
    pub activation: Activation,
}

impl Packed {
    /// Of `[inner, columns]` in C order, or of its transpose.
    ///
    /// REQUIRES as many elements.
    pub fn new(elements: &[f32], [inner, columns]: [usize; 2], transposed: bool) -> Self {
        let mut packed = Self::default();
        packed.pack(elements, [inner, columns], if transposed { [1, inner] } else { [columns, 1] });
        packed
    }

    /// As [`Packed::new`], in the memory that is there; element (k, n) is `elements[k * strides[0] + n * strides[1]]`.
    pub fn pack(&mut self, elements: &[f32], [inner, columns]: [usize; 2], [down, across]: [usize; 2]) {
        (self.inner, self.columns) = (inner, columns);
        self.lines.clear();
        self.lines.resize(columns.div_ceil(PANEL) * inner, Line([0.0; PANEL]));
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

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Every element times a number.
    pub fn scaled(mut self, by: f32) -> Self {
        self.lines.iter_mut().for_each(|line| line.0.iter_mut().for_each(|v| *v *= by));
        self
    }
}

/// Nanoseconds of work under which handing it to threads costs more than it brings.
const PARALLEL_FROM: usize = 60_000;

/// Rows for each thread above which they are split, not the columns.
const TALL: usize = 12;

/// `out = after(a · b)`, with `a` of `rows` rows in C order.
///
/// REQUIRES `a` to be `rows` times `b.inner()` elements, `out` and a residual `rows` times `b.columns()`, and a bias
/// `b.columns()`; panics otherwise.
pub fn multiply(a: &[f32], rows: usize, b: &Packed, after: After<'_>, out: &mut [f32]) {
    let (inner, columns) = (b.inner, b.columns);
    assert!(a.len() == rows * inner && out.len() == rows * columns, "the sizes of a product agree");
    assert!(
        after.bias.is_none_or(|b| b.len() == columns) && after.residual.is_none_or(|r| r.len() == out.len())
    );
    if out.is_empty() {
        return;
    }
    // About 50 multiply-adds and 25 bytes of the matrix a nanosecond.
    let work = rows * inner * columns / 50 + b.lines.len() * size_of::<Line>() / 25;
    let threads = rayon::current_num_threads();
    if work < PARALLEL_FROM || threads == 1 {
        arch().dispatch(Part { a, stride: inner, rows, first_row: 0, b, panels: 0..b.panels(), after, out });
    } else if rows >= TALL * threads {
        let per = rows.div_ceil(threads * 2).next_multiple_of(TALL).min(rows.div_ceil(threads));
        let parts = out.par_chunks_mut(per * columns).zip(a.par_chunks(per * inner.max(1))).enumerate();
        parts.for_each(|(index, (out, a))| {
            let rows = out.len() / columns;
            arch().dispatch(Part {
                a,
                stride: inner,
                rows,
                first_row: index * per,
                b,
                panels: 0..b.panels(),
                after,
                out,
            });
        });
    } else {
        by_columns(a, rows, b, after, out, threads);
    }
}

/// Few rows: each thread has some of the columns.
fn by_columns(a: &[f32], rows: usize, b: &Packed, after: After<'_>, out: &mut [f32], threads: usize) {
    let per = b.panels().div_ceil(2 * threads).next_multiple_of(2);
    let inner = b.inner;
    let part = |index: usize, out: &mut [f32]| {
        let panels = index * per..((index + 1) * per).min(b.panels());
        arch().dispatch(Part { a, stride: inner, rows, first_row: 0, b, panels, after, out });
    };
    if rows == 1 {
        out.par_chunks_mut(per * PANEL).enumerate().for_each(|(index, out)| part(index, out));
        return;
    }
    let width = |index: usize| (per * PANEL).min(b.columns - index * per * PANEL);
    let parts: Vec<Vec<f32>> = (0..b.panels().div_ceil(per))
        .into_par_iter()
        .map(|index| {
            let mut out = vec![0.0; rows * width(index)];
            part(index, &mut out);
            out
        })
        .collect();
    for (row, out) in out.chunks_exact_mut(b.columns).enumerate() {
        for (index, (to, from)) in out.chunks_mut(per * PANEL).zip(&parts).enumerate() {
            to.copy_from_slice(&from[row * width(index)..][..width(index)]);
        }
    }
}

/// As [`multiply`] on this thread, for products within products. Rows of `a` begin `stride` elements apart.
pub(super) fn multiply_here(
    a: &[f32],
    (rows, stride): (usize, usize),
    b: &Packed,
    after: After<'_>,
    out: &mut [f32],
) {
    assert!(out.len() == rows * b.columns, "the sizes of a product agree");
    if !out.is_empty() {
        arch().dispatch(Part { a, stride, rows, first_row: 0, b, panels: 0..b.panels(), after, out });
    }
}

impl Packed {
    fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }
}

#[cfg(test)]
mod tests;
