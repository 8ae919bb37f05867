//! Operations on numbers, as ONNX defines them where it has them. Pure.
//!
//! Each has a rule for the types of its outputs ([`Compute::infer`]) and the computation itself ([`Compute::run`]), which
//! relies on nothing that the rule could not know: a tensor may be of another shape than was foreseen.

pub mod argmax;
pub mod cast;
pub mod concat;
pub mod ctc;
mod draft;
mod element;
pub mod norm;
mod options;
pub mod permute;
pub mod reduce;
pub mod reshape;
pub mod resize;
pub mod scale;
mod shape;
pub mod sigmoid;
pub mod similar;
pub mod slice;
pub mod softmax;
pub mod split;
pub mod threshold;
pub mod top;
pub mod vote;

#[cfg(test)]
mod tests;

pub use argmax::ArgMax;
pub use cast::Cast;
pub use concat::Concat;
pub use ctc::{Ctc, Decoded, Scores};
pub use norm::Norm;
pub use permute::Permute;
pub use reduce::{Across, Fold, Reduce};
pub use reshape::Reshape;
pub use resize::{Mode, Resize};
pub use scale::Scale;
pub use sigmoid::Sigmoid;
pub use similar::Similar;
pub use slice::Slice;
pub use softmax::Softmax;
pub use split::Split;
pub use threshold::Threshold;
pub use top::Top;
pub use vote::{Majority, Vote};

use crate::plan::TensorType;
use crate::tensor::Tensor;
use std::fmt::Debug;

/// The bytes that an operation may give at most.
pub const MOST_BYTES: usize = 1 << 30;

/// A computation on tensors: pure work on the calling thread.
pub trait Compute: Debug + Send + Sync {
    /// The types of the outputs for inputs of these types, or which of them it does not take.
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit>;
    /// The outputs, or why there are none. REQUIRES nothing: what the types leave open is checked.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String>;
    /// The outputs where some sources alone are there, those at `places` among all.
    fn run_some(&self, inputs: &[Tensor], _places: &[usize]) -> Result<Vec<Tensor>, String> {
        self.run(inputs)
    }
    /// Which output holds classes.
    fn classes(&self) -> Classes {
        Classes::None
    }
}

/// The output of an operation that holds classes, which labels may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    None,
    /// The first output holds those of the inputs.
    Passed,
    /// The positions along this axis of the input are classes.
    Found {
        output: usize,
        axis: i64,
    },
}

/// Why an operation does not take one of its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The position of the source.
    pub source: usize,
    pub why: String,
    pub help: Option<String>,
}

impl Misfit {
    pub fn new(why: impl Into<String>) -> Self {
        Self { source: 0, why: why.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<String> for Misfit {
    fn from(why: String) -> Self {
        Self::new(why)
    }
}
