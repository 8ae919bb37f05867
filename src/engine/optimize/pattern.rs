//! Looking at a graph for patterns: who gives a value, who else reads it, what constant it is.

use crate::engine::host;
use crate::engine::onnx::{Graph, Node, ValueId};
use std::collections::BTreeSet;

/// Nodes that were found to compute what one operator does.
pub struct Match<T> {
    /// The last of them, which becomes that operator.
    pub last: usize,
    /// Those before it, which are no longer needed.
    pub inner: Vec<usize>,
    /// What the operator is to read, and how.
    pub found: T,
}

/// Makes one node of each match that `find` gives for the index of a last node. Of matches that share a node, the first
/// counts. Gives the number of nodes that are removed.
pub fn rewrite<T>(
    graph: &mut Graph,
    find: impl Fn(&Links<'_>, usize) -> Option<Match<T>>,
    write: impl Fn(&mut Node, T),
) -> usize {
    let links = Links::new(graph);
    let matches: Vec<Match<T>> = (0..graph.nodes.len()).filter_map(|index| find(&links, index)).collect();
    let mut gone = BTreeSet::new();
    for Match { last, inner, found } in matches {
        if inner.iter().chain([&last]).any(|index| gone.contains(index)) {
            continue;
        }
        gone.extend(inner);
        write(&mut graph.nodes[last], found);
    }
    graph.remove(&gone)
}

pub struct Links<'a> {
    pub graph: &'a Graph,
    producer: Vec<Option<usize>>,
    uses: Vec<usize>,
    /// One node that reads each value.
    reader: Vec<Option<usize>>,
}

impl<'a> Links<'a> {
    pub fn new(graph: &'a Graph) -> Self {
        let mut reader = vec![None; graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().flatten().for_each(|id| reader[*id] = Some(index));
        }
        Self { graph, producer: graph.producers(), uses: graph.uses(), reader }
    }

    pub fn node(&self, index: usize) -> &'a Node {
        &self.graph.nodes[index]
    }

    /// The number of times that a value is read, the graph's outputs included.
    pub fn uses(&self, id: ValueId) -> usize {
        self.uses[id]
    }

    /// The node that gives a value, if it is that operator.
    pub fn producer(&self, id: ValueId, op: &str) -> Option<usize> {
        self.producer[id].filter(|i| self.node(*i).is(op))
    }

    /// The node that gives a value which nothing else reads, if it is that operator.
    pub fn only(&self, id: ValueId, op: &str) -> Option<usize> {
        self.producer(id, op).filter(|_| self.uses[id] == 1)
    }

    /// The node that gives a value which nothing else reads, if it is one of those.
    pub fn alone(&self, id: ValueId, is: impl Fn(&Node) -> bool) -> Option<usize> {
        self.producer[id].filter(|i| self.uses[id] == 1 && is(self.node(*i)))
    }

    /// The node that alone reads a value, if it is that operator.
    pub fn only_reader(&self, id: ValueId, op: &str) -> Option<usize> {
        self.reader[id].filter(|i| self.uses[id] == 1 && self.node(*i).is(op))
    }

    /// The one output of a node.
    pub fn output(&self, index: usize) -> Option<ValueId> {
        self.node(index).outputs.first().copied().flatten()
    }

    /// The number that a value is, if it is a constant of one element.
    pub fn number(&self, id: ValueId) -> Option<f64> {
        let constant = self.graph.constants.get(&id).filter(|t| t.len() == 1 && t.shape().len() <= 1)?;
        host::only(constant).ok().map(host::Number::as_f64)
    }

    pub fn is_number(&self, id: ValueId, value: f64) -> bool {
        self.number(id).is_some_and(|n| (n - value).abs() < 1e-6 * value.abs().max(1.0))
    }

    /// The inputs of a node of two, in both orders.
    pub fn pairs(&self, index: usize) -> Vec<(ValueId, ValueId)> {
        match (self.node(index).input(0), self.node(index).input(1)) {
            (Some(a), Some(b)) => vec![(a, b), (b, a)],
            _ => Vec::new(),
        }
    }

    /// The other operand of a node of two inputs one of which is that number.
    pub fn beside_number(&self, index: usize, value: f64) -> Option<ValueId> {
        self.pairs(index).into_iter().find(|(_, b)| self.is_number(*b, value)).map(|(a, _)| a)
    }
}
