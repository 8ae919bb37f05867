//! Sixteen floats that lie together: in what convolutions work on, and in the memory of every result.

/// Channels that lie together.
pub const BLOCK: usize = 16;

/// Sixteen channels of one position.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub struct Lanes(pub [f32; BLOCK]);

/// A block where it is made: in one line of the cache, so that no vector lies in two.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Line(pub Lanes);

impl Lanes {
    pub const ZERO: Self = Self([0.0; BLOCK]);
}

// SAFETY: sixteen floats: no padding, and any bytes are floats.
unsafe impl bytemuck::Zeroable for Lanes {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Lanes {}
// SAFETY: `Lanes` is transparent.
unsafe impl bytemuck::TransparentWrapper<[f32; BLOCK]> for Lanes {}
// SAFETY: as above; they are as many bytes as the alignment.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}
