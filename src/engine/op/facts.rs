//! What is known of operators beside how they are run, said at the line that registers each.

use crate::engine::onnx::Node;
use std::collections::HashMap;

/// The facts of an operator that optimisations may rely on. Of one that says nothing, nothing is relied on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The result has the shape that all of its inputs broadcast to, and each element follows from those in its place
    /// alone.
    pub elementwise: bool,
    /// The operator reads one tensor, and at most single numbers beside it; what is finite stays finite.
    pub finite: bool,
    /// The work is in proportion to what the operator reads and gives.
    pub linear: bool,
    /// The same inputs may give other results.
    pub random: bool,
}

impl Facts {
    pub fn elementwise(&mut self) -> &mut Self {
        (self.elementwise, self.linear) = (true, true);
        self
    }

    pub fn finite(&mut self) -> &mut Self {
        self.finite = true;
        self
    }

    pub fn linear(&mut self) -> &mut Self {
        self.linear = true;
        self
    }

    pub fn random(&mut self) -> &mut Self {
        self.random = true;
        self
    }
}

/// The facts of all operators, by domain and name.
#[derive(Debug, Default)]
pub struct FactTable(HashMap<(&'static str, &'static str), Facts>);

impl FactTable {
    pub fn of(&self, node: &Node) -> Facts {
        self.0.get(&(node.domain.as_str(), node.op.as_str())).copied().unwrap_or_default()
    }

    /// Whether a node gives a function of each element of the one tensor that it reads.
    pub fn is_unary(&self, node: &Node) -> bool {
        self.of(node).elementwise && node.inputs.iter().flatten().count() == 1 && node.input(0).is_some()
    }

    pub(super) fn enter(&mut self, domain: &'static str, name: &'static str) -> &mut Facts {
        self.0.entry((domain, name)).or_default()
    }
}
