//! What the engine asks of a Burn backend, beyond Burn's own operations.
//!
//! Each hook has a form in Burn's operations, which CUDA takes; the CPU backend replaces those that it can
//! do better on memory that it sees.

use burn::tensor::backend::Backend;
use burn_flex::Flex;

pub trait Accelerator: Backend {}

impl Accelerator for Flex {}

#[cfg(feature = "cuda")]
impl Accelerator for burn_cuda::Cuda {}
