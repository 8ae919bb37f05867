//! The names of one graph, and the order of its nodes.

use super::graph::{Graph, Node, ValueId, ValueType};
use std::collections::{BinaryHeap, HashMap, HashSet};

/// A name that a graph reads but does not give.
pub struct Free {
    pub name: String,
    /// What stands for it in the graph.
    pub id: ValueId,
    pub reader: String,
}

/// A graph that is being read.
#[derive(Default)]
pub struct Scope {
    pub graph: Graph,
    pub ids: HashMap<String, ValueId>,
    pub free: Vec<Free>,
}

impl Scope {
    pub fn declare(&mut self, name: &str, what: &str) -> Result<ValueId, String> {
        let id = self.graph.new_value(name);
        if self.ids.insert(name.to_owned(), id).is_some() {
            return Err(format!("{what} {name:?}: something else in the graph has that name"));
        }
        Ok(id)
    }

    /// Notes the type that the file declares of a value; an error where an initialiser is of another.
    pub fn declare_type(&mut self, name: &str, declared: Option<ValueType>) -> Result<(), String> {
        let (Some(id), Some(declared)) = (self.ids.get(name), declared) else { return Ok(()) };
        if let Some(constant) = self.graph.constants.get(id)
            && ValueType::Tensor(constant.dtype()).differs(declared)
        {
            let given = constant.dtype();
            return Err(format!("initialiser {name:?} is {given}, and the file declares it {declared}"));
        }
        self.graph.declared.insert(*id, declared);
        Ok(())
    }

    pub fn resolve(&mut self, name: &str, reader: impl Fn() -> String) -> ValueId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.graph.new_value(name);
        self.free.push(Free { name: name.to_owned(), id, reader: reader() });
        self.ids.insert(name.to_owned(), id);
        id
    }
}

/// Puts every node after those it reads from, keeping the file's order where it can (Kahn's algorithm).
pub fn sort(graph: &mut Graph) -> Result<(), String> {
    let producer = graph.producers();
    let producers = |node: &Node| -> HashSet<usize> {
        node.inputs.iter().flatten().filter_map(|id| producer[*id]).collect()
    };
    let mut waits: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let from = producers(node);
        waits.push(from.len());
        from.into_iter().for_each(|g| readers[g].push(index));
    }
    let ready = waits.iter().enumerate().filter(|(_, w)| **w == 0).map(|(i, _)| std::cmp::Reverse(i));
    let mut ready: BinaryHeap<_> = ready.collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(std::cmp::Reverse(index)) = ready.pop() {
        order.push(index);
        for reader in &readers[index] {
            waits[*reader] -= 1;
            if waits[*reader] == 0 {
                ready.push(std::cmp::Reverse(*reader));
            }
        }
    }
    if order.len() < graph.nodes.len() {
        let stuck = waits.iter().position(|w| *w > 0).unwrap_or_default();
        return Err(format!("{} waits for its own output: the graph has a cycle", graph.nodes[stuck]));
    }
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    graph.nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
    Ok(())
}
