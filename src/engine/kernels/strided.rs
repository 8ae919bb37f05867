//! Elements that lie at strides, as transposed, broadcast and cut tensors have them: copied into C order, or met two by
//! two.

use super::arch;
use super::share::{share_chunks, threads_for};
use super::transpose::{self, SIDE};

/// Elements of a piece of work for a thread.
const PIECE: usize = 1 << 13;

/// Threads for so many elements: one where it is done in some microseconds.
fn threads(elements: usize) -> usize {
    threads_for(elements, 4 * PIECE)
}

/// Elements of a slice: where the first is, and how far apart they are along each axis.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    pub elements: &'a [T],
    pub start: usize,
    pub strides: &'a [usize],
}

impl<T> View<'_, T> {
    /// Panics where an element of that shape is not within the slice.
    fn check(&self, dims: &[usize]) {
        assert!(dims.len() == self.strides.len());
        let last = dims.iter().zip(self.strides).try_fold(self.start, |at, (size, stride)| {
            size.checked_sub(1)?.checked_mul(*stride)?.checked_add(at)
        });
        assert!(last.is_some_and(|last| last < self.elements.len()), "every element is within the slice");
    }
}

/// An axis, and the strides of several tensors along it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis<const N: usize> {
    size: usize,
    strides: [usize; N],
}

/// The axes without those of one element, those that run on in every tensor made one. At least one is left.
fn collapse<const N: usize>(dims: &[usize], strides: [&[usize]; N]) -> Vec<Axis<N>> {
    let mut axes: Vec<Axis<N>> = Vec::with_capacity(dims.len() + 1);
    for (index, size) in dims.iter().copied().enumerate().filter(|(_, size)| *size != 1) {
        let own = strides.map(|strides| strides[index]);
        match axes.last_mut() {
            Some(last) if (0..N).all(|n| last.strides[n] == own[n] * size) => {
                *last = Axis { size: last.size * size, strides: own };
            }
            _ => axes.push(Axis { size, strides: own }),
        }
    }
    if axes.is_empty() {
        axes.push(Axis { size: 1, strides: [1; N] });
    }
    axes
}

/// Where the rows of several tensors begin, one after the other, in C order of the outer axes.
struct Rows<'a, const N: usize> {
    axes: &'a [Axis<N>],
    index: Vec<usize>,
    at: [usize; N],
}

impl<'a, const N: usize> Rows<'a, N> {
    /// Begins at row `first`.
    fn new(axes: &'a [Axis<N>], start: [usize; N], first: usize) -> Self {
        let (mut left, mut at) = (first, start);
        let mut index = vec![0; axes.len()];
        for (axis, index) in axes.iter().zip(&mut index).rev() {
            *index = left % axis.size;
            left /= axis.size;
            (0..N).for_each(|n| at[n] += *index * axis.strides[n]);
        }
        Self { axes, index, at }
    }

    fn next(&mut self) -> [usize; N] {
        let found = self.at;
        for (axis, index) in self.axes.iter().zip(&mut self.index).rev() {
            *index += 1;
            (0..N).for_each(|n| self.at[n] += axis.strides[n]);
            if *index < axis.size {
                break;
            }
            *index = 0;
            (0..N).for_each(|n| self.at[n] -= axis.size * axis.strides[n]);
        }
        found
    }
}

/// Writes the elements in C order.
///
/// Panics where one is not within the slice, or `out` has not as many.
pub fn copy<T: Copy + Send + Sync + 'static>(from: View<'_, T>, dims: &[usize], out: &mut [T]) {
    let total: usize = dims.iter().product();
    assert!(out.len() == total, "there is room for every element");
    if total == 0 {
        return;
    }
    from.check(dims);
    let axes = collapse(dims, [from.strides]);
    let Some((inner, outer)) = axes.split_last() else { return };
    let threads = threads(total);
    // The innermost axis that has its elements side by side, where that is not the last one.
    let turned = outer.iter().rposition(|axis| axis.strides == [1]).filter(|_| inner.strides != [1]);
    if let Some(turned) = turned {
        let plane = Turned { from: from.elements, across: inner.size, apart: inner.strides[0] };
        let side = outer[turned].size;
        // In the result, the elements of the turned axis are so far apart.
        let between = &outer[turned + 1..];
        let into: usize = inner.size * between.iter().map(|axis| axis.size).product::<usize>();
        let rows: usize = outer[..turned].iter().map(|axis| axis.size).product();
        let count: usize = between.iter().map(|axis| axis.size).product();
        let turn = |at: usize, side: usize, out: &mut [T]| {
            let mut starts = Rows::new(between, [at], 0);
            for index in 0..count {
                let [at] = starts.next();
                plane.turn(at, side, &mut out[index * inner.size..], into);
            }
        };
        if rows >= threads || side < 2 * SIDE {
            share_chunks(out, side * into, threads, &|row, out| {
                let [at] = Rows::new(&outer[..turned], [from.start], row).next();
                turn(at, side, out);
            });
        } else {
            let per = side.div_ceil(threads * 2).next_multiple_of(SIDE);
            for (row, out) in out.chunks_exact_mut(side * into).enumerate() {
                let [at] = Rows::new(&outer[..turned], [from.start], row).next();
                share_chunks(out, per * into, threads, &|part, out| {
                    turn(at + part * per, out.len() / into, out);
                });
            }
        }
        return;
    }
    let per = (PIECE / inner.size).max(1);
    share_chunks(out, per * inner.size, threads, &|piece, out| {
        let mut rows = Rows::new(outer, [from.start], piece * per);
        for out in out.chunks_exact_mut(inner.size) {
            let [at] = rows.next();
            match inner.strides {
                [1] => out.copy_from_slice(&from.elements[at..at + inner.size]),
                [0] => out.fill(from.elements[at]),
                [stride] => {
                    let source = from.elements[at..].iter().step_by(stride);
                    out.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
                }
            }
        }
    });
}

/// Planes whose elements lie side by side along the axis that is not the last of the result.
struct Turned<'a, T> {
    from: &'a [T],
    /// Elements of the last axis, and how far apart they are.
    across: usize,
    apart: usize,
}

impl<T: Copy + 'static> Turned<'_, T> {
    /// `to[r * into + c] = from[at + c * apart + r]` for `side` rows and all columns.
    fn turn(&self, at: usize, side: usize, to: &mut [T], into: usize) {
        let mut column = 0;
        while column < self.across {
            let columns = SIDE.min(self.across - column);
            let mut row = 0;
            while row < side {
                let rows = SIDE.min(side - row);
                let from = &self.from[at + column * self.apart + row..];
                let to = &mut to[row * into + column..];
                let floats = if rows == SIDE && columns == SIDE { as_floats(from, to) } else { None };
                match floats {
                    Some((from, to)) => transpose::tile(from, self.apart, to, into),
                    None => {
                        for r in 0..rows {
                            for c in 0..columns {
                                to[r * into + c] = from[c * self.apart + r];
                            }
                        }
                    }
                }
                row += rows;
            }
            column += columns;
        }
    }
}

/// Elements of four bytes that are not changed may go through registers as floats.
fn as_floats<'a, T: 'static>(from: &'a [T], to: &'a mut [T]) -> Option<(&'a [f32], &'a mut [f32])> {
    use std::any::TypeId;
    if TypeId::of::<T>() != TypeId::of::<f32>() {
        return None;
    }
    // SAFETY: they are floats.
    unsafe {
        let from = std::slice::from_raw_parts(from.as_ptr().cast(), from.len());
        Some((from, std::slice::from_raw_parts_mut(to.as_mut_ptr().cast(), to.len())))
    }
}

/// Tensors after one another: of each, so many elements in each of `outer` rows.
///
/// Panics where one has not as many, or `out` has not as many as all.
pub fn join(parts: &[(&[f32], usize)], outer: usize, out: &mut [f32]) {
    assert!(parts.iter().all(|(elements, width)| elements.len() == width * outer));
    let width: usize = parts.iter().map(|(_, width)| width).sum();
    assert!(out.len() == width * outer, "there is room for every element");
    if width == 0 {
        return;
    }
    let per = (PIECE / width).max(1);
    share_chunks(out, per * width, threads(outer * width), &|piece, out| {
        for (row, mut out) in out.chunks_exact_mut(width).enumerate() {
            for (from, width) in parts {
                let (to, rest) = out.split_at_mut(*width);
                to.copy_from_slice(&from[(piece * per + row) * width..][..*width]);
                out = rest;
            }
        }
    });
}

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

/// A function of the elements of two tensors of the same shape, in C order.
///
/// Panics where an element is not within its slice, or `out` has not as many.
pub fn binary(op: Binary, a: View<'_, f32>, b: View<'_, f32>, dims: &[usize], out: &mut [f32]) {
    assert!(out.len() == dims.iter().product::<usize>(), "there is room for every element");
    if out.is_empty() {
        return;
    }
    a.check(dims);
    b.check(dims);
    let axes = collapse(dims, [a.strides, b.strides]);
    let Some((inner, outer)) = axes.split_last() else { return };
    // Long rows are cut, so that there is work for every thread.
    let cut = if outer.is_empty() { inner.size.min(PIECE) } else { inner.size };
    let per = (PIECE / cut).max(1) * cut;
    share_chunks(out, per, threads(out.len()), &|piece, out| {
        let first = piece * per;
        let mut rows = Rows::new(outer, [a.start, b.start], first / inner.size);
        let skipped = first % inner.size;
        arch().dispatch(
            #[inline(always)]
            || {
                for out in out.chunks_mut(inner.size) {
                    let [at_a, at_b] = rows.next();
                    let at = [at_a + skipped * inner.strides[0], at_b + skipped * inner.strides[1]];
                    row(op, [&a.elements[at[0]..], &b.elements[at[1]..]], inner.strides, out);
                }
            },
        );
    });
}

/// Computes as [`binary`] does, in the place of the first tensor, which is whole and in C order.
pub fn binary_into(op: Binary, a: &mut [f32], b: View<'_, f32>, dims: &[usize]) {
    assert!(a.len() == dims.iter().product::<usize>());
    if a.is_empty() {
        return;
    }
    b.check(dims);
    let axes = collapse(dims, [b.strides]);
    let Some((inner, outer)) = axes.split_last() else { return };
    let cut = if outer.is_empty() { inner.size.min(PIECE) } else { inner.size };
    let per = (PIECE / cut).max(1) * cut;
    share_chunks(a, per, threads(a.len()), &|piece, a| {
        let first = piece * per;
        let mut rows = Rows::new(outer, [b.start], first / inner.size);
        let skipped = first % inner.size;
        arch().dispatch(
            #[inline(always)]
            || {
                for a in a.chunks_mut(inner.size) {
                    let at = rows.next()[0] + skipped * inner.strides[0];
                    row_into(op, a, &b.elements[at..], inner.strides[0]);
                }
            },
        );
    });
}

/// One loop for each operation, so that none asks which it is at every element.
macro_rules! by_operation {
    ($op:expr, |$f:ident| $body:expr) => {
        match $op {
            Binary::Add => {
                let $f = |a: f32, b: f32| a + b;
                $body
            }
            Binary::Sub => {
                let $f = |a: f32, b: f32| a - b;
                $body
            }
            Binary::Mul => {
                let $f = |a: f32, b: f32| a * b;
                $body
            }
            Binary::Div => {
                let $f = |a: f32, b: f32| a / b;
                $body
            }
        }
    };
}

#[inline(always)]
fn row(op: Binary, [a, b]: [&[f32]; 2], strides: [usize; 2], out: &mut [f32]) {
    by_operation!(op, |f| match strides {
        [1, 1] => out.iter_mut().zip(a).zip(b).for_each(|((to, a), b)| *to = f(*a, *b)),
        [1, 0] => {
            let b = b[0];
            out.iter_mut().zip(a).for_each(|(to, a)| *to = f(*a, b));
        }
        [0, 1] => {
            let a = a[0];
            out.iter_mut().zip(b).for_each(|(to, b)| *to = f(a, *b));
        }
        [down, across] => {
            out.iter_mut().enumerate().for_each(|(i, to)| *to = f(a[i * down], b[i * across]));
        }
    });
}

#[inline(always)]
fn row_into(op: Binary, a: &mut [f32], b: &[f32], stride: usize) {
    by_operation!(op, |f| match stride {
        1 => a.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, *b)),
        0 => {
            let b = b[0];
            a.iter_mut().for_each(|a| *a = f(*a, b));
        }
        stride => a.iter_mut().enumerate().for_each(|(i, a)| *a = f(*a, b[i * stride])),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The place of every element in C order.
    fn places(dims: &[usize], strides: &[usize], start: usize) -> Vec<usize> {
        dims.iter().zip(strides).fold(vec![start], |all, (size, stride)| {
            all.iter().flat_map(|at| (0..*size).map(move |i| at + i * stride)).collect()
        })
    }

    /// A shape, and strides as of a tensor with its axes in another order, some of them broadcast.
    fn views() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>)> {
        (prop::collection::vec(1usize..24, 1..5), any::<[u64; 2]>(), any::<[u8; 2]>()).prop_map(
            |(dims, orders, broadcast)| {
                let strides = |order: u64, broadcast: u8| {
                    let mut axes: Vec<usize> = (0..dims.len()).collect();
                    axes.sort_by_key(|axis| order.rotate_left(*axis as u32 * 9) % 97);
                    let mut strides = vec![0; dims.len()];
                    let mut next = 1;
                    for axis in axes {
                        if broadcast >> axis & 1 == 0 || broadcast >> 5 != 0 {
                            strides[axis] = next;
                            next *= dims[axis];
                        }
                    }
                    strides
                };
                let (a, b) = (strides(orders[0], broadcast[0]), strides(orders[1], broadcast[1]));
                (dims, a, b)
            },
        )
    }

    proptest! {
        #[test]
        fn every_element_is_where_it_belongs((dims, a, b) in views(), start in 0usize..5) {
            let (at_a, at_b) = (places(&dims, &a, start), places(&dims, &b, 2 * start));
            let end = at_a.iter().chain(&at_b).max().unwrap() + 1;
            let elements: Vec<f32> = (0..end).map(|i| (i * 7919 % 1009) as f32 + 1.0).collect();
            let view_a = View { elements: &elements, start, strides: &a };
            let view_b = View { elements: &elements, start: 2 * start, strides: &b };
            let mut copied = vec![0.0; dims.iter().product()];
            copy(view_a, &dims, &mut copied);
            prop_assert!(copied.iter().zip(&at_a).all(|(got, at)| *got == elements[*at]));
            let wide: Vec<i64> = elements.iter().map(|v| *v as i64).collect();
            let mut widely = vec![0; copied.len()];
            copy(View { elements: &wide, start, strides: &a }, &dims, &mut widely);
            prop_assert!(widely.iter().zip(&copied).all(|(wide, float)| *wide == *float as i64));
            let f = |op, a: f32, b: f32| match op {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                Binary::Mul => a * b,
                Binary::Div => a / b,
            };
            for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div] {
                let wanted: Vec<f32> =
                    at_a.iter().zip(&at_b).map(|(a, b)| f(op, elements[*a], elements[*b])).collect();
                let mut into = vec![0.0; copied.len()];
                binary(op, view_a, view_b, &dims, &mut into);
                prop_assert_eq!(&into, &wanted);
                into.copy_from_slice(&copied);
                binary_into(op, &mut into, view_b, &dims);
                prop_assert_eq!(&into, &wanted);
            }
        }
    }

    #[test]
    fn long_rows_are_cut_and_planes_turned() {
        let elements: Vec<f32> = (0..70_000).map(|i| i as f32).collect();
        let line = View { elements: &elements, start: 0, strides: &[1] };
        let one = View { elements: &elements, start: 3, strides: &[0] };
        let mut got = vec![0.0; 70_000];
        binary(Binary::Sub, line, one, &[70_000], &mut got);
        assert!(got.iter().zip(&elements).all(|(a, b)| *a == b - 3.0));
        for (dims, strides) in [([100, 700], [1, 100]), ([700, 100], [1, 700]), ([3, 20_000], [1, 3])] {
            let view = View { elements: &elements, start: 0, strides: &strides };
            let mut copied = vec![0.0; dims.iter().product()];
            copy(view, &dims, &mut copied);
            assert!(copied.iter().zip(places(&dims, &strides, 0)).all(|(got, at)| *got == elements[at]));
        }
    }

    #[test]
    #[should_panic(expected = "within the slice")]
    fn elements_beyond_the_slice_are_refused() {
        copy(View { elements: &[1.0f32; 5], start: 0, strides: &[3, 1] }, &[2, 3], &mut [0.0; 6]);
    }

    #[test]
    fn tensors_come_after_one_another_in_every_row() {
        let (a, b): (Vec<f32>, Vec<f32>) = ((0..6).map(|i| i as f32).collect(), vec![9.0, 8.0]);
        let mut out = [0.0; 8];
        join(&[(&a, 3), (&b, 1)], 2, &mut out);
        assert_eq!(out, [0.0, 1.0, 2.0, 9.0, 3.0, 4.0, 5.0, 8.0]);
    }
}
