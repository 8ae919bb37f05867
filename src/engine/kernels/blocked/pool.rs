//! Pools, and the scaling of whole channels.

use super::{BLOCK, Lanes, Lines, Target, room, share, threads, view_mut};
use crate::engine::kernels::arch;
use crate::engine::kernels::share::share_chunks;
use crate::scheduler::is_stopped;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    Max,
    /// The mean of the elements that count: with the pads, or without.
    Average {
        pads: bool,
    },
}

/// A window that slides: `[height, width]` throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub pad_begin: [usize; 2],
    pub pad_end: [usize; 2],
    /// The height and width of the output. The last windows may hang over the end.
    pub out: [usize; 2],
}

/// `input` holds planes of that size.
///
/// REQUIRES whole planes.
pub fn pool(input: &[Lanes], [height, width]: [usize; 2], window: &Window, kind: Pool) -> Lines {
    let (pixels, taken) = (height * width, window.out[0] * window.out[1]);
    let planes = input.len().checked_div(pixels).unwrap_or_default();
    let total = planes * taken;
    let mut result = room(total);
    let out = Target(result.as_mut_ptr().cast::<f32>());
    let operations = total * window.kernel[0] * window.kernel[1];
    if taken > 0 {
        share(planes, threads(operations), &|plane| {
            let input = &input[plane * pixels..(plane + 1) * pixels];
            // SAFETY: this plane alone, which nobody else writes to; `Lanes` are floats, every one is written.
            let to = unsafe {
                std::slice::from_raw_parts_mut(out.get().cast::<Lanes>().add(plane * taken), taken)
            };
            arch().dispatch(
                #[inline(always)]
                || window.slide(input, [height, width], to, kind),
            );
        });
    }
    result
}

impl Window {
    /// Taps of the window at an output position that lie in the input, along one axis.
    #[inline(always)]
    fn taps(&self, axis: usize, position: usize, size: usize) -> std::ops::Range<usize> {
        let (start, pad, dilation) =
            (position * self.stride[axis], self.pad_begin[axis], self.dilation[axis]);
        let first = pad.saturating_sub(start).div_ceil(dilation);
        let end = (size + pad).saturating_sub(start).div_ceil(dilation).min(self.kernel[axis]);
        first.min(end)..end
    }

    /// The number of elements that count for an average along one axis, pads and all.
    #[inline(always)]
    fn counted(&self, axis: usize, position: usize, size: usize) -> usize {
        let padded = size + self.pad_begin[axis] + self.pad_end[axis];
        let start = position * self.stride[axis];
        padded.saturating_sub(start).div_ceil(self.dilation[axis]).min(self.kernel[axis])
    }

    #[inline(always)]
    fn slide(&self, input: &[Lanes], [height, width]: [usize; 2], to: &mut [Lanes], kind: Pool) {
        for (y, line) in to.chunks_exact_mut(self.out[1]).enumerate() {
            if is_stopped() {
                return;
            }
            let rows = self.taps(0, y, height);
            for (x, to) in line.iter_mut().enumerate() {
                let columns = self.taps(1, x, width);
                let mut value = Lanes([if kind == Pool::Max { f32::NEG_INFINITY } else { 0.0 }; BLOCK]);
                for row in rows.clone() {
                    let at = (y * self.stride[0] + row * self.dilation[0] - self.pad_begin[0]) * width;
                    for column in columns.clone() {
                        let from = x * self.stride[1] + column * self.dilation[1] - self.pad_begin[1];
                        let from = &input[at + from].0;
                        match kind {
                            Pool::Max => (0..BLOCK).for_each(|i| {
                                value.0[i] = if from[i] > value.0[i] { from[i] } else { value.0[i] };
                            }),
                            Pool::Average { .. } => (0..BLOCK).for_each(|i| value.0[i] += from[i]),
                        }
                    }
                }
                if kind == Pool::Max && value.0.contains(&f32::NEG_INFINITY) {
                    // NaN loses to every number; where there is none, it is what the window has.
                    let window = rows.clone().flat_map(|row| {
                        let at = (y * self.stride[0] + row * self.dilation[0] - self.pad_begin[0]) * width;
                        let from = x * self.stride[1];
                        columns.clone().map(move |c| at + from + c * self.dilation[1] - self.pad_begin[1])
                    });
                    nothing_but_nan(input, window, &mut value);
                }
                if let Pool::Average { pads } = kind {
                    let count = if pads {
                        self.counted(0, y, height) * self.counted(1, x, width)
                    } else {
                        rows.len() * columns.len()
                    };
                    let scale = 1.0 / count.max(1) as f32;
                    value.0.iter_mut().for_each(|v| *v *= scale);
                }
                *to = value;
            }
        }
    }
}

/// Lanes in which a window has no number at all become NaN.
#[cold]
fn nothing_but_nan(input: &[Lanes], window: impl Iterator<Item = usize>, value: &mut Lanes) {
    let (mut seen, mut number) = (false, [false; BLOCK]);
    for at in window {
        seen = true;
        number.iter_mut().zip(input[at].0).for_each(|(number, from)| *number |= !from.is_nan());
    }
    if seen {
        value.0.iter_mut().zip(number).filter(|(_, number)| !number).for_each(|(v, _)| *v = f32::NAN);
    }
}

/// The mean of each plane of so many pixels.
pub fn global_average(input: &[Lanes], pixels: usize) -> Lines {
    let mut means = Lines::zeros(input.len().checked_div(pixels).unwrap_or_default());
    let threads = threads(input.len());
    // Planes enough for each thread to have several pieces.
    let per = means.len().div_ceil(threads * 4).max(1);
    share_chunks(&mut means, per, threads, &|piece, means| {
        let planes = input[piece * per * pixels..].chunks_exact(pixels.max(1));
        arch().dispatch(
            #[inline(always)]
            || means.iter_mut().zip(planes).for_each(|(mean, plane)| mean.0 = average(plane)),
        );
    });
    means
}

#[inline(always)]
fn average(plane: &[Lanes]) -> Lanes {
    // Several sums, so that one does not wait for the other.
    let mut sums = [[0.0f32; BLOCK]; 4];
    for (index, lanes) in plane.iter().enumerate() {
        let sum = &mut sums[index % 4];
        (0..BLOCK).for_each(|i| sum[i] += lanes.0[i]);
    }
    let scale = 1.0 / plane.len() as f32;
    Lanes(std::array::from_fn(|i| (sums[0][i] + sums[1][i] + sums[2][i] + sums[3][i]) * scale))
}

/// Multiplies each plane of so many pixels by its own lanes.
pub fn scale_channels(values: &mut [f32], pixels: usize, scales: &[Lanes]) {
    let values = view_mut(values);
    let planes = scales.len();
    assert_eq!(values.len(), planes * pixels);
    let out = Target(values.as_mut_ptr().cast::<f32>());
    share(planes, threads(values.len()), &|plane| {
        // SAFETY: this plane alone, which nobody else writes to.
        let values =
            unsafe { std::slice::from_raw_parts_mut(out.get().cast::<Lanes>().add(plane * pixels), pixels) };
        arch().dispatch(
            #[inline(always)]
            || {
                for value in values {
                    (0..BLOCK).for_each(|i| value.0[i] *= scales[plane].0[i]);
                }
            },
        );
    });
}
