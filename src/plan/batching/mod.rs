//! What a row is: which axis of each input and output is the batch, and whether items share one.
//!
//! An item that flows through a pipeline has no batch axis: a decoded photo is `[3, 64, 64]`, not
//! `[1, 3, 64, 64]`. Which axis an input gains and an output loses is decided here, from what a pipeline file
//! declares, from the shapes that the graph computes, and from names, in this order. That rows may really be
//! joined is shown when the model is loaded: this decision alone never joins the items of two requests.

pub(super) mod decide;
mod names;
#[cfg(test)]
mod tests;

pub(super) use names::is_automatic;

use super::Signature;
use std::collections::BTreeMap;
use std::fmt;

/// How items become the tensors that a model runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batching {
    pub basis: Basis,
    /// Why items never share a batch. `None` where every input and output has a batch axis, so that they do
    /// once it has been shown that a row is computed as if it were alone.
    pub alone: Option<Alone>,
}

/// What the batch axes were decided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// `batch` in the pipeline file says so.
    Declared,
    /// The shapes that the graph computes show it.
    Graph,
    /// The shapes and names that the model file declares suggest it.
    #[default]
    Signature,
}

/// Why a model takes one item at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alone {
    pub why: String,
    /// What would let items share batches, where something would.
    pub help: Option<String>,
}

/// What `batch` in a pipeline file says of the batch axes of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// The batch axis of every port that is not in `ports`. `Some(None)`: they have none.
    pub axis: Option<Option<usize>>,
    /// The batch axis of single ports, by name. `None`: the port has none.
    pub ports: BTreeMap<String, Option<usize>>,
}

/// How a graph makes what it gives for one row depend on the other rows of its batch: the operator, and what it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mixing {
    /// Whichever axis is the batch.
    pub always: Option<String>,
    /// Where the batch is the axis of that name.
    pub along: BTreeMap<String, String>,
    /// Where the batch is the axis at that place, and has no name.
    pub at: BTreeMap<usize, String>,
}

impl Mixing {
    /// How rows are mixed, where they lie along the batch axes of these inputs.
    fn of(&self, inputs: &[super::Port]) -> Option<&str> {
        let along = |port: &super::Port| {
            let axis = port.batch?;
            match port.dims.as_ref()?.get(axis)? {
                super::Dim::Named(name) => self.along.get(name),
                _ => self.at.get(&axis),
            }
        };
        self.always.as_deref().or_else(|| inputs.iter().find_map(along).map(String::as_str))
    }
}

impl Batching {
    /// Whether items may share a batch, as far as can be told before the model runs.
    pub fn joins(&self) -> bool {
        self.alone.is_none()
    }
}

impl Declaration {
    /// `batch = false`: an item is the whole tensor.
    pub fn none() -> Self {
        Self { axis: Some(None), ports: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.axis.is_none() && self.ports.is_empty()
    }

    /// What is declared of a port: nothing, that it has no batch axis, or which one it has.
    fn of(&self, port: &str) -> Option<Option<usize>> {
        self.ports.get(port).copied().or(self.axis)
    }

    /// The first port that has no such axis as is declared of it, with the axis and the number of its axes.
    pub fn misfit<'s>(&self, signature: &'s Signature) -> Option<(&'s super::Port, usize, usize)> {
        signature.inputs.iter().chain(&signature.outputs).find_map(|port| {
            let axis = self.of(&port.name)??;
            let rank = port.known_dims()?.len();
            (axis >= rank).then_some((port, axis, rank))
        })
    }
}

impl Alone {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declared => "as the pipeline file declares",
            Self::Graph => "as the graph computes",
            Self::Signature => "by the shapes and names that the file declares",
        })
    }
}
