//! Tensors without axes, on devices whose kernels want at least one.
//!
//! CubeCL lays a tensor without axes out and passes it on, and its kernels fail on one. There operators that work
//! element by element are given one axis of length one instead, and what they give loses it again.

use super::{BoxOp, Context, Inputs, Op, OpResult};
use crate::engine::backend::Accelerator;
use crate::engine::onnx::Node;

/// Operators whose result has the shape that all of their inputs broadcast to.
const ELEMENTWISE: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitShift",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "DequantizeLinear",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "FastGelu",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "QuantizeLinear",
    "QuickGelu",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Where",
    "Xor",
];

struct Lifted<B: Accelerator>(BoxOp<B>);

/// The operator of a node, made fit for tensors without axes where the device is not.
pub fn lifted<B: Accelerator>(node: &Node, op: BoxOp<B>) -> BoxOp<B> {
    let elementwise = ELEMENTWISE.binary_search(&node.op.as_str()).is_ok();
    if elementwise && !B::ON_HOST { Box::new(Lifted(op)) } else { op }
}

impl<B: Accelerator> Op<B> for Lifted<B> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_knows_no_operator_that_is_not_there() {
        assert!(ELEMENTWISE.is_sorted());
        let registry = crate::engine::ops::Registry::<burn_flex::Flex>::standard();
        let known = |op: &&str| registry.entries.keys().any(|(_, name)| name == op);
        let unknown: Vec<&&str> = ELEMENTWISE.iter().filter(|op| !known(op)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
