//! Tensors whose channels lie in blocks, `[batch, channels / 16, height, width, 16]`, and operations on them.
//!
//! Sixteen channels of one position lie together, in one line of the cache, whatever the instructions of the
//! machine: one vector of AVX-512, two of AVX2, four of NEON. Channels that fill no block are followed by
//! others up to its end, which hold anything finite and are read as if they were not there.

mod conv;
mod convolution;
mod cut;
mod dense;
mod depthwise;
mod pool;
mod reorder;
mod resize;
mod rows;
#[cfg(test)]
mod tests;
mod tile;
mod transposed;
mod winograd;

pub use conv::{Conv2d, Input, Layout};
pub use pool::{Pool, Window, global_average, pool, scale_channels};
pub use reorder::{from_planes, join_channels, to_planes, to_space};
pub use resize::{Taps, resize};
pub use transposed::ConvTranspose2d;

pub use super::lanes::{BLOCK, Lanes, Line};
use super::memory::{Lines, room};
use super::share::{Target, share, threads_for};

/// Blocks that hold so many channels.
pub fn blocks(channels: usize) -> usize {
    channels.div_ceil(BLOCK)
}

fn lanes(lines: &[Line]) -> &[Lanes] {
    bytemuck::cast_slice(lines)
}

/// Floats as blocks, of which they are a whole number.
pub fn view(floats: &[f32]) -> &[Lanes] {
    let (blocks, _) = floats.as_chunks::<BLOCK>();
    // `Lanes` is the array itself.
    bytemuck::TransparentWrapper::wrap_slice(blocks)
}

fn floats(lanes: &[Lanes]) -> &[f32] {
    bytemuck::cast_slice(lanes)
}

fn floats_mut(lanes: &mut [Lanes]) -> &mut [f32] {
    bytemuck::cast_slice_mut(lanes)
}

fn view_mut(floats: &mut [f32]) -> &mut [Lanes] {
    let (blocks, _) = floats.as_chunks_mut::<BLOCK>();
    bytemuck::TransparentWrapper::wrap_slice_mut(blocks)
}

/// Threads for work of so many vector operations: one where it is done in some ten microseconds.
fn threads(operations: usize) -> usize {
    const SHARED_FROM: usize = if cfg!(test) { 500 } else { 40_000 };
    threads_for(operations, SHARED_FROM)
}
