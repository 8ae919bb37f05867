//! Why a model cannot be loaded, and why an operator of a loaded model cannot run.

use crate::scheduler::{RunError, Stopped, is_stopped};
use std::fmt;

#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    #[error("not an ONNX model: {0}")]
    NotOnnx(String),
    /// The file is ONNX, but what it says cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Every node that this engine cannot run.
    #[error("{}", listed(.0))]
    Unsupported(Vec<UnsupportedNode>),
    #[error("{0}")]
    Device(String),
    #[error("the load was given up")]
    GivenUp,
    /// There is no memory for what it keeps, as long as others have what they have.
    #[error("{0}")]
    Memory(String),
}

impl LoadError {
    /// An error once the load that this thread carries out is to end. To be asked between nodes.
    pub fn if_given_up() -> Result<(), Self> {
        if is_stopped() { Err(Self::GivenUp) } else { Ok(()) }
    }
}

/// A node that the engine cannot run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedNode {
    pub name: String,
    pub op: String,
    /// "" is the standard one.
    pub domain: String,
    pub why: String,
}

/// `Conv "layer1.conv": ...`
impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.domain.is_empty() {
            write!(f, "{}.", self.domain)?;
        }
        write!(f, "{} {:?}: {}", self.op, self.name, self.why)
    }
}

fn listed(nodes: &[UnsupportedNode]) -> String {
    let lines: Vec<String> = nodes.iter().map(|n| format!("\n  {n}")).collect();
    let nodes = if nodes.len() == 1 { "1 node that is" } else { &format!("{} nodes that are", nodes.len()) };
    format!("the model has {nodes} not supported:{}", lines.concat())
}

/// Why an operator could not run, and whose fault that is.
///
/// An operator that knows the kind says it with [`OpError::input`] and its like. Plain text becomes an error of
/// [`OpErrorKind::Operands`], of which the executor says the kind. Graphs around the node keep it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct OpError {
    pub kind: OpErrorKind,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpErrorKind {
    /// What the operator was given does not fit it, or would make a tensor that is too large. The executor makes this
    /// an error of the input where any of that follows from the input, and one of the graph where it does not.
    Operands,
    /// A tensor would be too large. The executor makes this an error of the input where its size follows from the input,
    /// and one of memory that never fits where it does not.
    Size,
    /// The values or sizes of an input of the model: others could be run.
    Input,
    /// ... as they ask for a tensor that would be too large.
    TooLarge,
    /// The model, the engine or the device: the graph cannot be run so, whatever it is given.
    Graph,
    /// The batch would take more memory than the model has, or than the process has left. `for_good` says that it never
    /// fits, whatever else runs.
    Memory { for_good: bool },
    /// The run was told to end.
    Stopped(Stopped),
}

impl OpError {
    /// An error that the values of an input cause: an index out of range, an unknown category.
    pub fn input(reason: impl Into<String>) -> Self {
        Self { kind: OpErrorKind::Input, reason: reason.into() }
    }

    /// An error that no other input would mend: a dtype that the operator does not take, a device that failed.
    pub fn graph(reason: impl Into<String>) -> Self {
        Self { kind: OpErrorKind::Graph, reason: reason.into() }
    }

    /// An error that a tensor of that size may not be.
    pub fn size(reason: impl Into<String>) -> Self {
        Self { kind: OpErrorKind::Size, reason: reason.into() }
    }

    pub fn memory(reason: impl Into<String>, for_good: bool) -> Self {
        Self { kind: OpErrorKind::Memory { for_good }, reason: reason.into() }
    }

    /// The run was told to end before the operator was done.
    pub fn stopped(why: Stopped) -> Self {
        Self { kind: OpErrorKind::Stopped(why), reason: format!("the run was given up: {why}") }
    }

    /// The error with its kind decided, of a node whose operands follow from the model's input or do not.
    ///
    /// Where they do not, other values of the input would not mend it.
    pub fn with_kind(mut self, follows_input: bool) -> Self {
        self.kind = match (self.kind, follows_input) {
            (OpErrorKind::Operands, true) => OpErrorKind::Input,
            (OpErrorKind::Size, true) => OpErrorKind::TooLarge,
            (OpErrorKind::Size, false) => OpErrorKind::Memory { for_good: true },
            (OpErrorKind::Operands | OpErrorKind::Input, false) => OpErrorKind::Graph,
            (kind, _) => kind,
        };
        self
    }

    /// The same error told by a node around the one that failed.
    pub fn within(self, node: &str, shapes: &str) -> Self {
        Self { reason: format!("{node}: {}{shapes}", self.reason), ..self }
    }
}

impl From<String> for OpError {
    fn from(reason: String) -> Self {
        Self { kind: OpErrorKind::Operands, reason }
    }
}

impl From<&str> for OpError {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl From<OpError> for RunError {
    fn from(OpError { kind, reason }: OpError) -> Self {
        match kind {
            OpErrorKind::Input => Self::Input(reason),
            OpErrorKind::TooLarge => Self::TooLarge(reason),
            OpErrorKind::Graph | OpErrorKind::Operands | OpErrorKind::Size => Self::Failed(reason),
            OpErrorKind::Memory { for_good } => Self::Memory { reason, for_good },
            OpErrorKind::Stopped(why) => Self::Stopped(why),
        }
    }
}
