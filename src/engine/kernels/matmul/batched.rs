//! Many products of the same shape, both sides known only when they run.

use super::super::share::share_chunks;
use super::{After, Packed, multiply, multiply_here};
use std::cell::RefCell;

/// Matrices in one slice.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    pub elements: &'a [f32],
    /// Where each matrix begins.
    pub starts: &'a [usize],
    /// The distances from row to row and from column to column.
    pub strides: [usize; 2],
}

pub struct Batched<'a> {
    /// The left matrix, whose columns lie side by side.
    pub a: Operand<'a>,
    pub b: Operand<'a>,
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
}

/// Multiply-adds under which threads do not pay.
const PARALLEL_FROM: usize = 100_000;

thread_local! {
    static PACKED: RefCell<Packed> = RefCell::default();
}

impl Batched<'_> {
    /// Writes `[batch][rows][columns]`.
    ///
    /// REQUIRES as many starts of either operand, every matrix within its slice, and `out` of that size; panics
    /// otherwise.
    pub fn run(&self, out: &mut [f32]) {
        let Self { a, b, rows, inner, columns } = *self;
        let count = a.starts.len();
        assert!(b.starts.len() == count && a.strides[1] == 1);
        assert!(out.len() == count * rows * columns);
        if out.is_empty() || inner == 0 {
            return out.fill(0.0);
        }
        let one = |(index, out): (usize, &mut [f32]), threads: bool| {
            // Taken out while it is used.
            let mut packed = PACKED.take();
            packed.pack(&b.elements[b.starts[index]..], [inner, columns], b.strides);
            let a_rows = &a.elements[a.starts[index]..];
            if threads && a.strides[0] == inner {
                multiply(&a_rows[..rows * inner], rows, &packed, After::default(), out);
            } else {
                multiply_here(a_rows, (rows, a.strides[0]), &packed, After::default(), out);
            }
            PACKED.set(packed.left());
        };
        let work = count * rows * inner * columns;
        let threads = rayon::current_num_threads();
        if count >= threads && work >= PARALLEL_FROM && threads > 1 {
            share_chunks(out, rows * columns, threads, &|index, out| one((index, out), false));
        } else {
            out.chunks_mut(rows * columns).enumerate().for_each(|part| one(part, true));
        }
    }
}
