//! The greatest element of windows over planes of any rank, one axis after another.

use super::arch;
use super::share::{share_chunks, threads_for};
use crate::scheduler::is_stopped;

/// The windows of one axis. Each has the positions `first`, `first + dilation`, .. that lie in the input, `count` of them.
pub struct Axis {
    /// The length of the axis in the input.
    pub size: usize,
    pub dilation: usize,
    pub windows: Vec<Window>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub first: usize,
    pub count: usize,
}

/// Comparisons in one window after which a look at whether the run is to end costs nothing.
const LONG: usize = 1 << 10;

/// Comparisons under which threads do not pay.
const PARALLEL_FROM: usize = 40_000;

/// The greatest element of each window of each plane, written over `out`. What is not a number loses to every number,
/// wherever in its window it lies; a window that has none is NaN, and one that lies in the pads alone is `least`.
///
/// REQUIRES whole planes in `input`, windows within them, and as many planes of results in `out`; panics otherwise.
pub fn max<T: Copy + PartialOrd + Send + Sync>(input: &[T], axes: &[Axis], least: T, out: &mut [T]) {
    let plane_in: usize = axes.iter().map(|axis| axis.size).product();
    let plane_out: usize = axes.iter().map(|axis| axis.windows.len()).product();
    if out.is_empty() || plane_out == 0 {
        return;
    }
    let planes = out.len() / plane_out;
    assert!(input.len() == planes * plane_in && out.len() == planes * plane_out, "the planes are whole");
    let taps: usize = axes.iter().map(|axis| axis.windows.iter().map(|w| w.count).max().unwrap_or(0)).sum();
    let threads = threads_for(out.len() * taps, PARALLEL_FROM);
    let per = planes.div_ceil(threads * 4);
    share_chunks(out, per * plane_out, threads, &|piece, out| {
        // What lies between two axes.
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (index, out) in out.chunks_exact_mut(plane_out).enumerate() {
            let plane = piece * per + index;
            from.clear();
            from.extend_from_slice(&input[plane * plane_in..(plane + 1) * plane_in]);
            // The last axis first, whose elements lie side by side: the others then have fewer.
            for (at, axis) in axes.iter().enumerate().rev() {
                let inner: usize = axes[at + 1..].iter().map(|axis| axis.windows.len()).product();
                to.clear();
                to.resize(from.len() / axis.size.max(1) * axis.windows.len(), least);
                arch().dispatch(
                    #[inline(always)]
                    || along(&from, axis, inner, &mut to),
                );
                std::mem::swap(&mut from, &mut to);
            }
            out.copy_from_slice(&from);
        }
    });
}

/// Pools along one axis, behind which `inner` elements lie together.
#[inline(always)]
fn along<T: Copy + PartialOrd>(from: &[T], axis: &Axis, inner: usize, to: &mut [T]) {
    let rows = to.chunks_exact_mut(axis.windows.len() * inner);
    for (from, to) in from.chunks_exact(axis.size * inner).zip(rows) {
        for (window, to) in axis.windows.iter().zip(to.chunks_exact_mut(inner)) {
            if window.count.saturating_mul(inner) > LONG && is_stopped() {
                return;
            }
            for tap in 0..window.count {
                let at = (window.first + tap * axis.dilation) * inner;
                let row = &from[at..at + inner];
                if tap == 0 {
                    to.copy_from_slice(row);
                    continue;
                }
                for (most, value) in to.iter_mut().zip(row) {
                    #[expect(clippy::eq_op, reason = "what is not a number does not equal itself")]
                    let takes = *value > *most || *most != *most;
                    *most = if takes { *value } else { *most };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_have_their_greatest_number_wherever_it_lies(
            height in 1usize..9, width in 1usize..40, kernel in 1usize..4, stride in 1usize..3, dilation in 1usize..3,
            pad in 0usize..2, holes in prop::collection::vec(0usize..360, 0..40),
        ) {
            let windows = |size: usize| {
                let reach = (kernel - 1) * dilation + 1;
                let outs = (size + 2 * pad).checked_sub(reach).map_or(0, |free| free / stride + 1);
                let window = |out: usize| {
                    let inside = |k: &usize| (pad..pad + size).contains(&(out * stride + k * dilation));
                    let taps: Vec<usize> = (0..kernel).filter(inside).collect();
                    let first = taps.first().map_or(0, |k| out * stride + k * dilation - pad);
                    Window { first, count: taps.len() }
                };
                Axis { size, dilation, windows: (0..outs).map(window).collect() }
            };
            let axes = [windows(height), windows(width)];
            let mut input: Vec<f32> = (0..2 * height * width).map(|i| ((i * 7919) % 1009) as f32 - 500.0).collect();
            let count = input.len();
            holes.iter().for_each(|hole| input[hole % count] = f32::NAN);
            let outs = [axes[0].windows.len(), axes[1].windows.len()];
            let mut out = vec![0.0; 2 * outs[0] * outs[1]];
            max(&input, &axes, f32::NEG_INFINITY, &mut out);
            for (at, got) in out.iter().enumerate() {
                let (plane, rest) = (at / (outs[0] * outs[1]), at % (outs[0] * outs[1]));
                let [rows, columns] = [axes[0].windows[rest / outs[1]], axes[1].windows[rest % outs[1]]];
                let mut all = Vec::new();
                for r in 0..rows.count {
                    for c in 0..columns.count {
                        let (y, x) = (rows.first + r * dilation, columns.first + c * dilation);
                        all.push(input[(plane * height + y) * width + x]);
                    }
                }
                let numbers = all.iter().copied().filter(|v| !v.is_nan());
                let wanted = numbers.fold(f32::NEG_INFINITY, f32::max);
                let wanted = if !all.is_empty() && all.iter().all(|v| v.is_nan()) { f32::NAN } else { wanted };
                prop_assert!(*got == wanted || (got.is_nan() && wanted.is_nan()), "{at}: {got} for {wanted}");
            }
        }
    }
}
