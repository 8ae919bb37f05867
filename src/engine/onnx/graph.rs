//! The graph that the rest of the engine works on: names resolved to indices, nodes in an order in which
//! they can run.

use super::attribute::Attributes;
use crate::plan::{Labels, Signature};
use crate::tensor::{DType, Tensor};
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// A value of one graph: an index into [`Graph::values`].
pub type ValueId = usize;

#[derive(Clone, Debug)]
pub struct Model {
    pub graph: Graph,
    pub signature: Signature,
    /// The names of its classes, where it carries them.
    pub classes: Option<Labels>,
    /// The version of each domain that the model imports; the standard domain is "".
    pub opsets: Vec<(String, i64)>,
    pub producer: String,
}

#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The name of each value.
    pub values: Vec<String>,
    /// Every node comes after those that it reads from.
    pub nodes: Vec<Node>,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    /// What the file declares each output to be.
    pub output_types: Vec<OutputType>,
    /// The types that the file declares of its values.
    pub declared: HashMap<ValueId, ValueType>,
    /// Initialisers, and what the optimiser computed.
    pub constants: HashMap<ValueId, Tensor>,
    /// The values of the graph around it that a graph inside a node reads. The node has them as its last inputs, graph
    /// after graph, in this order.
    pub captures: Vec<ValueId>,
}

/// What a value is; `None` is an element type that is not known, or not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    Tensor(DType),
    /// A list of tensors of one element type.
    Sequence(Option<DType>),
    /// Something or nothing; the element type is that of a tensor.
    Optional(Option<DType>),
}

impl ValueType {
    /// Whether a value cannot be both.
    pub fn differs(self, other: Self) -> bool {
        match (self, other) {
            (Self::Sequence(a), Self::Sequence(b)) | (Self::Optional(a), Self::Optional(b)) => {
                a.zip(b).is_some_and(|(a, b)| a != b)
            }
            _ => self != other,
        }
    }
}

/// `float32`, or `a sequence of float32`.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(dtype) => f.write_str(dtype.name()),
            Self::Sequence(None) => f.write_str("a sequence"),
            Self::Sequence(Some(dtype)) => write!(f, "a sequence of {dtype}"),
            Self::Optional(None) => f.write_str("an optional"),
            Self::Optional(Some(dtype)) => write!(f, "an optional {dtype}"),
        }
    }
}

/// A declared type; where a length is not declared it is 0, as that of what has no elements.
#[derive(Clone, Debug, Default)]
pub struct OutputType {
    pub dtype: Option<DType>,
    pub dims: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    /// "" is the standard one.
    pub domain: String,
    pub op: String,
    /// The version of its domain's operator set that the model asks for.
    pub version: i64,
    /// `None` where an optional input is left out.
    pub inputs: Vec<Option<ValueId>>,
    pub outputs: Vec<Option<ValueId>>,
    pub attributes: Attributes,
}

impl Graph {
    pub fn new_value(&mut self, name: impl Into<String>) -> ValueId {
        self.values.push(name.into());
        self.values.len() - 1
    }

    /// Removes nodes by index; gives their number.
    pub fn remove(&mut self, nodes: &BTreeSet<usize>) -> usize {
        let mut index = 0;
        self.nodes.retain(|_| {
            index += 1;
            !nodes.contains(&(index - 1))
        });
        nodes.len()
    }

    /// The node that gives each value, where one does.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            node.outputs.iter().flatten().for_each(|id| producers[*id] = Some(index));
        }
        producers
    }

    /// The number of times that each value is read, the graph's outputs included.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        for id in self.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&self.outputs) {
            uses[*id] += 1;
        }
        uses
    }

    /// The constant at an input of a node.
    pub fn constant(&self, node: &Node, input: usize) -> Option<&Tensor> {
        self.constants.get(&node.input(input)?)
    }
}

impl Node {
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// Whether it is that operator of the standard domain.
    pub fn is(&self, op: &str) -> bool {
        self.op == op && self.domain.is_empty()
    }
}

/// `Conv "layer1.conv"`, with the domain where it is not the standard one.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.domain.is_empty() {
            write!(f, "{}.", self.domain)?;
        }
        write!(f, "{} {:?}", self.op, self.name)
    }
}
