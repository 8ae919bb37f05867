//! Tensors without axes, on devices whose kernels want at least one.
//!
//! CubeCL lays a tensor without axes out and passes it on, and its kernels fail on one. There operators that work
//! element by element are given one axis of length one instead, and what they give loses it again.

use super::{BoxOp, Context, Inputs, Op, OpResult};
use crate::engine::backend::Kernels;

struct Lifted<B: Kernels>(BoxOp<B>);

/// An operator, made fit for tensors without axes where the device is not.
pub fn lifted<B: Kernels>(is_elementwise: bool, op: BoxOp<B>) -> BoxOp<B> {
    if is_elementwise && !B::ON_HOST { Box::new(Lifted(op)) } else { op }
}

impl<B: Kernels> Op<B> for Lifted<B> {
    fn run(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let mut given = inputs.0.iter().flatten();
        if given.any(|value| value.rank() > 0 || !value.is_tensor()) {
            return self.0.run(inputs, cx);
        }
        for value in inputs.0.iter_mut().flatten() {
            *value = std::mem::take(value).reshaped(vec![1])?;
        }
        self.0.run(inputs, cx)?.into_iter().map(|value| value.reshaped(vec![])).collect()
    }
}
