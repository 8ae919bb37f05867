//! What the plan asks of an operation: a step that calls no model. The room `steps` implements these, a file an
//! operation.
//!
//! An operation is read in two strides, as an encode is: an [`OperationDraft`] names the sources that it wants; the
//! plan resolves them, checks where each is there, and has the draft bound to their types.

use super::codec::{Bound, Input, Origin};
use super::{Codecs, TensorType};
use crate::diagnostic::{At, Report};
use crate::spec;
use crate::tensor::Tensor;
use std::fmt::Debug;
use std::sync::Arc;

/// Everything that a pipeline may name: formats and operations.
#[derive(Clone, Copy)]
pub struct Registries<'r> {
    pub codecs: &'r dyn Codecs,
    pub operations: &'r dyn Operations,
}

/// The registry of operations.
pub trait Operations {
    /// Reads the options of a step that is an operation. With errors it is returned for the sake of the sources that
    /// it names; `None` where there is no such operation, which was reported.
    fn read(&self, step: &spec::Step, report: &mut Report) -> Option<Box<dyn OperationDraft>>;
}

/// How an operation reads one of its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// One value. Where it is absent, the step does not run.
    One,
    /// One value, which may be absent.
    IfThere,
    /// The values of all elements of a list, some of which may be absent.
    All,
    /// A list itself: how many elements it has.
    Length,
    /// The array in the operand's file, beside the model that computes the source; not the source.
    Beside,
}

/// A source that an operation reads.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The name of the option that names it: "from".
    pub name: String,
    pub from: At<String>,
    pub reads: Reads,
    /// A file beside the model that computes the source: a text file, whose lines the operation wants, or an array.
    pub file: Option<At<String>>,
}

/// An operation whose options are read and whose sources are not yet resolved.
pub trait OperationDraft: Debug {
    /// Its sources, in the order in which they are given to [`OperationDraft::bind`] and [`Operation::run`].
    fn operands(&self) -> Vec<Operand>;
    /// The decode whose picture it reads: `on = "photo"`.
    fn on(&self) -> Option<At<String>> {
        None
    }
    /// The list over which sources that are read by [`Reads::All`] are gathered, where it is named: `over = "box"`.
    fn over(&self) -> Option<At<String>> {
        None
    }
    /// The names of its outputs, of which there is at least one. The first is meant where the step alone is named.
    fn outputs(&self) -> &'static [&'static str];
    /// Where the operation makes a list, the most elements that it may have. Its outputs are then there once for each.
    fn makes_list(&self) -> Option<usize> {
        None
    }
    /// Whether it turns back what a model found, so that it has to know what part of the picture the model saw: its
    /// operand `view`.
    fn turns_back(&self) -> bool {
        false
    }
    /// Whether its outputs are always there, where `there` says the same of each operand.
    fn always(&self, there: &[bool]) -> bool {
        there.iter().all(|there| *there)
    }
    /// `bound` is in the order of [`OperationDraft::operands`], `None` for a source that does not resolve or whose type
    /// is not known, which was reported. Reports types that it cannot take. `None` where there were errors.
    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation>;
}

/// An operation and its outputs, in the order of [`OperationDraft::outputs`].
#[derive(Clone, Debug)]
pub struct BoundOperation {
    pub operation: Arc<dyn Operation>,
    pub outputs: Vec<OutputType>,
}

/// An output of an operation.
#[derive(Clone, Debug)]
pub struct OutputType {
    pub ty: TensorType,
    /// It holds classes, and their labels are those of this operand.
    pub labels: Option<usize>,
}

impl From<TensorType> for OutputType {
    fn from(ty: TensorType) -> Self {
        Self { ty, labels: None }
    }
}

/// What an operation made of one set of operands.
#[derive(Clone, Debug)]
pub enum Made {
    /// A tensor for each output.
    Values(Vec<Tensor>),
    /// Nothing: its outputs are absent.
    Nothing,
    /// A list: for each output a tensor for each element.
    List { length: usize, outputs: Vec<Vec<Tensor>> },
}

/// An operation cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// What was sent is at fault: 422.
    #[error("{0}")]
    Input(String),
    /// A model gave something unforeseen, which is not the client's fault.
    #[error("{0}")]
    Unforeseen(String),
}

/// What it costs to run an operation once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How much there is to do, in bytes read or written, whichever are more.
    pub weight: usize,
    /// The most bytes that it takes while it runs and then gives back.
    pub working: u64,
    /// The bytes of what it gives, and whatever else is not told apart from that.
    pub kept: u64,
}

pub trait Operation: Send + Sync + Debug {
    /// The name in the registry: "crop".
    fn name(&self) -> &'static str;
    /// Every option that has a part in what it gives, with its default where the file says nothing, and what it learned
    /// of its sources. Two of one name with equal options give the same for the same operands.
    fn options(&self) -> serde_json::Value;
    /// The least and the greatest number of an output, where that is known: what a model that reads it is tried with
    /// before it serves.
    fn range(&self, _output: usize) -> Option<(f64, f64)> {
        None
    }
    /// How much there is to do, in bytes read or written, whichever are more. What is heavy is done off the threads
    /// that serve connections.
    fn weight(&self, inputs: &[Input]) -> usize {
        inputs.iter().map(|input| input.given.bytes()).fold(0, usize::saturating_add)
    }
    /// The most bytes that it takes while it runs, what it gives included.
    fn working_memory(&self, inputs: &[Input]) -> u64 {
        (self.weight(inputs) as u64).saturating_mul(4)
    }
    /// What it costs where a picture has a part in that: `picture` is that of [`OperationDraft::on`].
    fn cost(&self, inputs: &[Input], _picture: Option<&Origin>) -> Cost {
        Cost { weight: self.weight(inputs), working: 0, kept: self.working_memory(inputs) }
    }
    /// Pure work on the calling thread. `inputs` are in the order of [`OperationDraft::operands`]; `picture` is that of
    /// [`OperationDraft::on`].
    fn run(&self, inputs: &[Input], picture: Option<&Origin>) -> Result<Made, OperationError>;
}
