//! What the backend computes in one call is cut where it takes long: it does not look at whether the run is to end.

use crate::engine::backend::Kernels;
use crate::engine::ops::shape::concat;
use crate::engine::ops::{Context, OpError};
use crate::engine::value::Value;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Slice, TensorMetadata};
use std::ops::Range;

/// Multiply-adds of a convolution that the backend computes in one call: about a second.
pub const LONG: usize = 1 << 32;

/// The elements in a range of an axis. REQUIRES that the axis has it, and that it is not empty.
pub fn part<B: Kernels>(x: &FloatTensor<B>, axis: usize, range: &Range<usize>) -> FloatTensor<B> {
    let shape = x.shape();
    if *range == (0..shape[axis]) {
        return x.clone();
    }
    let bounds = shape.iter().enumerate().map(|(a, dim)| if a == axis { range.clone() } else { 0..*dim });
    let slices: Vec<Slice> =
        bounds.map(|range| Slice::new(range.start as isize, Some(range.end as isize), 1)).collect();
    B::float_slice(x.clone(), &slices)
}

/// Calls `piece` for one range of an axis after the other, `pieces` of them or a few more, as far as it is so long; joins
/// what it gives along the axis `to`.
pub fn joined<B: Kernels>(
    length: usize,
    pieces: usize,
    to: usize,
    cx: &Context<B>,
    piece: &mut dyn FnMut(Range<usize>) -> Result<FloatTensor<B>, OpError>,
) -> Result<FloatTensor<B>, OpError> {
    let mut results = Vec::new();
    for range in ranges(length, pieces) {
        cx.run.go_on()?;
        results.push(Value::Float(piece(range)?));
    }
    concat::join(results, to, cx)?.float(&cx.device)
}

/// The ranges of an axis that make so many pieces or a few more, as far as it is so long.
pub fn ranges(length: usize, pieces: usize) -> impl Iterator<Item = Range<usize>> {
    let per = (length / pieces.saturating_add(1)).max(1);
    (0..length).step_by(per).map(move |start| start..length.min(start + per))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_cut_by_what_is_to_be_done() {
        let cut = |length, pieces| ranges(length, pieces).collect::<Vec<_>>();
        assert_eq!(cut(10, 0), vec![0..10; 1]);
        assert_eq!(cut(10, 1), [0..5, 5..10]);
        assert_eq!(cut(10, 2), [0..3, 3..6, 6..9, 9..10]);
        assert_eq!(cut(2, usize::MAX), [0..1, 1..2]);
        assert!(cut(0, 1).is_empty());
    }
}
