//! What every form of a convolution reads and writes.

use super::{Lanes, Target};
use crate::engine::kernels::Activation;
use crate::engine::kernels::conv::Geometry;

/// Channels and size of one image, whatever its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub channels: usize,
    pub size: [usize; 2],
}

/// One convolution of one batch, but for its input, whose layout is the form's.
#[derive(Clone, Copy)]
pub(super) struct Convolution<'a> {
    pub geometry: &'a Geometry,
    pub kernel: [usize; 2],
    pub from: Shape,
    pub to: Shape,
    pub weights: &'a [Lanes],
    pub bias: &'a [Lanes],
    /// What is added before the activation, with the elements of the result.
    pub residual: Option<&'a [Lanes]>,
    pub activation: Activation,
    pub out: Target,
}
