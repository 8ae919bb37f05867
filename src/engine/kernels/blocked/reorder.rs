//! Planes to blocks and back.

use super::{BLOCK, Lanes, Line, Target, blocks, room, share, threads};
use crate::engine::kernels::arch;

/// `[batch, channels, pixels]` to `[batch, blocks, pixels, 16]`; zeros where a block is not full.
///
/// REQUIRES as many elements.
pub fn from_planes(planes: &[f32], batch: usize, channels: usize, pixels: usize) -> Vec<Line> {
    assert_eq!(planes.len(), batch * channels * pixels);
    let per = blocks(channels);
    let total = batch * per * pixels;
    let mut result = room(total);
    let out = Target(result.as_mut_ptr().cast());
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
    // SAFETY: there is room for as many, and every block was written.
    unsafe { result.set_len(total) };
    result
}

#[inline(always)]
fn gather(source: &[f32], to: &mut [Lanes], taken: usize, pixels: usize) {
    let mut at = 0;
    if taken == BLOCK {
        while at + BLOCK <= pixels {
            let mut rows = [[0.0; BLOCK]; BLOCK];
            for (lane, row) in rows.iter_mut().enumerate() {
                row.copy_from_slice(&source[lane * pixels + at..][..BLOCK]);
            }
            for (x, to) in to[at..at + BLOCK].iter_mut().enumerate() {
                *to = Lanes(std::array::from_fn(|lane| rows[lane][x]));
            }
            at += BLOCK;
        }
    }
    for (x, to) in to.iter_mut().enumerate().skip(at) {
        *to = Lanes(std::array::from_fn(|lane| if lane < taken { source[lane * pixels + x] } else { 0.0 }));
    }
}

/// Back again.
///
/// REQUIRES as many elements.
pub fn to_planes(lanes: &[Lanes], batch: usize, channels: usize, pixels: usize) -> Vec<f32> {
    let per = blocks(channels);
    assert_eq!(lanes.len(), batch * per * pixels);
    let total = batch * channels * pixels;
    let mut result = Vec::with_capacity(total);
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
    // SAFETY: there is room for as many, and every plane was written.
    unsafe { result.set_len(total) };
    result
}

#[inline(always)]
fn scatter(source: &[Lanes], to: &mut [f32], pixels: usize) {
    let mut at = 0;
    while at + BLOCK <= pixels {
        let mut columns = [[0.0; BLOCK]; BLOCK];
        for (x, from) in source[at..at + BLOCK].iter().enumerate() {
            columns.iter_mut().zip(&from.0).for_each(|(column, value)| column[x] = *value);
        }
        for (plane, column) in to.chunks_exact_mut(pixels).zip(&columns) {
            plane[at..at + BLOCK].copy_from_slice(column);
        }
        at += BLOCK;
    }
    for (lane, plane) in to.chunks_exact_mut(pixels).enumerate() {
        for (to, from) in plane[at..].iter_mut().zip(&source[at..]) {
            *to = from.0[lane];
        }
    }
}
