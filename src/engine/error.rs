//! Why a model cannot be loaded.

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
