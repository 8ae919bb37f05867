//! Planes to blocks and back.

use super::{BLOCK, Lanes, Lines, Target, blocks, floats, floats_mut, room, share, threads};
use crate::engine::kernels::arch;
use crate::engine::kernels::transpose::tile;

/// `[batch, channels, pixels]` to `[batch, blocks, pixels, 16]`; zeros where a block is not full.
///
/// REQUIRES as many elements.
pub fn from_planes(planes: &[f32], batch: usize, channels: usize, pixels: usize) -> Lines {
    assert_eq!(planes.len(), batch * channels * pixels);
    let per = blocks(channels);
    let total = batch * per * pixels;
    let mut result = room(total);
    let out = Target(result.as_mut_ptr().cast::<f32>());
    let work = |block: usize| {
        let (image, first) = (block / per, block % per * BLOCK);
        let taken = BLOCK.min(channels - first);
        let source = &planes[(image * channels + first) * pixels..][..taken * pixels];
        // SAFETY: this block alone, which nobody else writes to; `Lanes` are floats, and every one is written.
        let to =
            unsafe { std::slice::from_raw_parts_mut(out.get().cast::<Lanes>().add(block * pixels), pixels) };
        arch().dispatch(
            #[inline(always)]
            || gather(source, to, taken, pixels),
        );
    };
    if pixels > 0 {
        share(batch * per, threads(total * 4), &work);
    }
    result
}

#[inline(always)]
fn gather(source: &[f32], to: &mut [Lanes], taken: usize, pixels: usize) {
    let mut at = 0;
    if taken == BLOCK {
        while at + BLOCK <= pixels {
            tile(&source[at..], pixels, floats_mut(&mut to[at..at + BLOCK]), BLOCK);
            at += BLOCK;
        }
    }
    for (x, to) in to.iter_mut().enumerate().skip(at) {
        *to = Lanes(std::array::from_fn(|lane| if lane < taken { source[lane * pixels + x] } else { 0.0 }));
    }
}

/// The channels of several tensors after one another; each comes with its number of channels. Channels that do not
/// fill the last block are followed by zeros.
///
/// REQUIRES as many elements as `batch` images of so many pixels have.
pub fn join_channels(parts: &[(&[Lanes], usize)], batch: usize, pixels: usize) -> Lines {
    let channels: usize = parts.iter().map(|(_, channels)| channels).sum();
    assert!(parts.iter().all(|(lanes, channels)| lanes.len() == batch * blocks(*channels) * pixels));
    let per = blocks(channels);
    let mut result = room(batch * per * pixels);
    let out = Target(result.as_mut_ptr().cast::<f32>());
    let work = |block: usize| {
        let (image, first) = (block / per, block % per * BLOCK);
        // SAFETY: this block alone, which nobody else writes to; `Lanes` are floats, and every one is written.
        let to =
            unsafe { std::slice::from_raw_parts_mut(out.get().cast::<Lanes>().add(block * pixels), pixels) };
        arch().dispatch(
            #[inline(always)]
            || gather_block(parts, image, first, to),
        );
    };
    if pixels > 0 {
        share(batch * per, threads(batch * per * pixels), &work);
    }
    result
}

/// The block of one image that begins with channel `first` of all parts together.
#[inline(always)]
fn gather_block(parts: &[(&[Lanes], usize)], image: usize, first: usize, to: &mut [Lanes]) {
    let pixels = to.len();
    let mut filled = 0;
    let mut start = 0;
    for (lanes, channels) in parts {
        while filled < BLOCK && first + filled >= start && first + filled < start + channels {
            let own = first + filled - start;
            let (block, lane) = (own / BLOCK, own % BLOCK);
            let count = (BLOCK - lane).min(BLOCK - filled).min(channels - own);
            let source = &lanes[(image * blocks(*channels) + block) * pixels..][..pixels];
            if count == BLOCK {
                to.copy_from_slice(source);
            } else if count == BLOCK / 2 {
                // What many channels are that do not fill their blocks; of a length that the compiler knows.
                for (to, from) in to.iter_mut().zip(source) {
                    to.0[filled..filled + BLOCK / 2].copy_from_slice(&from.0[lane..lane + BLOCK / 2]);
                }
            } else {
                for (to, from) in to.iter_mut().zip(source) {
                    to.0[filled..filled + count].copy_from_slice(&from.0[lane..lane + count]);
                }
            }
            filled += count;
        }
        start += channels;
    }
    if filled < BLOCK {
        to.iter_mut().for_each(|to| to.0[filled..].fill(0.0));
    }
}

/// Back again.
///
/// REQUIRES as many elements.
pub fn to_planes(lanes: &[Lanes], batch: usize, channels: usize, pixels: usize) -> Vec<f32> {
    let per = blocks(channels);
    assert_eq!(lanes.len(), batch * per * pixels);
    let total = batch * channels * pixels;
    let mut result = Vec::<f32>::with_capacity(total);
    let out = Target(result.as_mut_ptr());
    let work = |block: usize| {
        let (image, first) = (block / per, block % per * BLOCK);
        let taken = BLOCK.min(channels - first);
        let source = &lanes[block * pixels..(block + 1) * pixels];
        let at = (image * channels + first) * pixels;
        // SAFETY: the planes of this block alone, which nobody else writes to, and every element is written.
        let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(at), taken * pixels) };
        arch().dispatch(
            #[inline(always)]
            || scatter(source, to, pixels),
        );
    };
    if pixels > 0 {
        share(batch * per, threads(batch * per * pixels * 4), &work);
    }
    // SAFETY: there is room for as many, and every piece has written its own.
    unsafe { result.set_len(total) };
    result
}

#[inline(always)]
fn scatter(source: &[Lanes], to: &mut [f32], pixels: usize) {
    let mut at = 0;
    let whole = to.len() == BLOCK * pixels;
    while at + BLOCK <= pixels {
        if whole {
            tile(floats(&source[at..at + BLOCK]), BLOCK, &mut to[at..], pixels);
        } else {
            let mut columns = [0.0; BLOCK * BLOCK];
            tile(floats(&source[at..at + BLOCK]), BLOCK, &mut columns, BLOCK);
            for (plane, column) in to.chunks_exact_mut(pixels).zip(columns.as_chunks::<BLOCK>().0) {
                plane[at..at + BLOCK].copy_from_slice(column);
            }
        }
        at += BLOCK;
    }
    for (lane, plane) in to.chunks_exact_mut(pixels).enumerate() {
        for (to, from) in plane[at..].iter_mut().zip(&source[at..]) {
            *to = from.0[lane];
        }
    }
}

/// Reorders to planes whose size is `of` times as large: channel `(c · rows + y) · columns + x` of a position is the
/// pixel (y, x) of its part of plane `c`. What a transposed convolution ends with whose windows do not overlap.
///
/// REQUIRES as many elements.
pub fn to_space(
    lanes: &[Lanes],
    batch: usize,
    channels: usize,
    of: [usize; 2],
    size: [usize; 2],
) -> Vec<f32> {
    let [rows, columns] = of;
    let [height, width] = size;
    let per = blocks(channels * rows * columns);
    assert_eq!(lanes.len(), batch * per * height * width);
    let total = batch * channels * height * rows * width * columns;
    let mut result = Vec::<f32>::with_capacity(total);
    let out = Target(result.as_mut_ptr());
    let line = width * columns;
    let work = |row: usize| {
        let (plane, row) = (row / (height * rows), row % (height * rows));
        let (image, channel) = (plane / channels, plane % channels);
        let first = (channel * rows + row % rows) * columns;
        let at = (plane * height * rows + row) * line;
        // SAFETY: this row alone, which nobody else writes to, and every element is written.
        let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(at), line) };
        let source = |block: usize| {
            let start = ((image * per + block) * height + row / rows) * width;
            &lanes[start..start + width]
        };
        match columns {
            2 if first.is_multiple_of(2) => spread::<2>(source(first / BLOCK), first % BLOCK, to),
            4 if first.is_multiple_of(4) => spread::<4>(source(first / BLOCK), first % BLOCK, to),
            8 if first.is_multiple_of(8) => spread::<8>(source(first / BLOCK), first % BLOCK, to),
            _ => {
                for column in 0..columns {
                    let (block, lane) = ((first + column) / BLOCK, (first + column) % BLOCK);
                    let to = to[column..].iter_mut().step_by(columns);
                    to.zip(source(block)).for_each(|(to, from)| *to = from.0[lane]);
                }
            }
        }
    };
    if total > 0 {
        let all = batch * channels * height * rows;
        share(all, threads(total / 4), &work);
    }
    // SAFETY: there is room for as many, and every piece has written its own.
    unsafe { result.set_len(total) };
    result
}

/// `N` lanes of each position after one another.
fn spread<const N: usize>(source: &[Lanes], lane: usize, to: &mut [f32]) {
    for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(source) {
        to.copy_from_slice(&from.0[lane..lane + N]);
    }
}
