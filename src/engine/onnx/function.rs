//! A model's own functions, written out in place of the nodes that call them.

use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto};
use prost::Message;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// Bytes that the calls of functions may take once they are written out.
pub const MAX_EXPANDED: usize = 1 << 30;

/// The body of a function under the names of one call. `budget` are the bytes that all calls may still take: an
/// error where this one takes more.
pub fn expand(
    function: &FunctionProto,
    call: &NodeProto,
    budget: &mut usize,
) -> Result<Vec<NodeProto>, String> {
    let spent = || format!("its functions come to more than {MAX_EXPANDED} bytes once they are written out");
    // Each name within it gets that of the call before it.
    let prefixes = (call.name.len() + 1).saturating_mul(names(&function.node));
    *budget = budget.checked_sub(function.encoded_len().saturating_add(prefixes)).ok_or_else(spent)?;
    let mut names: HashMap<&str, &str> = HashMap::new();
    for (index, name) in function.input.iter().enumerate() {
        names.insert(name, call.input.get(index).map_or("", String::as_str));
    }
    for (name, given) in function.output.iter().zip(&call.output).filter(|(_, given)| !given.is_empty()) {
        names.insert(name, given);
    }
    let defaults = function.attribute_proto.iter().rev();
    let attributes = defaults.chain(call.attribute.iter().rev()).map(|a| (a.name.as_str(), a)).collect();
    let expansion = Expansion { call, names, attributes, budget: Cell::new(Some(*budget)) };
    let mut body = function.node.clone();
    for (index, node) in body.iter_mut().enumerate() {
        let own = if node.name.is_empty() { format!("#{index}") } else { std::mem::take(&mut node.name) };
        node.name = format!("{}/{own}", call.name);
        expansion.write(node, &mut Vec::new());
    }
    *budget = expansion.budget.get().ok_or_else(spent)?;
    Ok(body)
}

/// How many names these nodes have, those of graphs inside them included.
fn names(nodes: &[NodeProto]) -> usize {
    let mut count = 0;
    let mut left: Vec<&[NodeProto]> = vec![nodes];
    while let Some(nodes) = left.pop() {
        for node in nodes {
            count += 1 + node.input.len() + node.output.len();
            let graphs = node.attribute.iter().filter_map(|a| a.g.as_deref());
            graphs.for_each(|graph| {
                count += graph.input.len() + graph.output.len();
                count += graph.initializer.len() + graph.sparse_initializer.len();
                left.push(&graph.node);
            });
        }
    }
    count
}

/// One call of a function.
struct Expansion<'a> {
    call: &'a NodeProto,
    /// The attributes of the call, and the function's defaults for the others.
    attributes: HashMap<&'a str, &'a AttributeProto>,
    /// Bytes that attributes may still take; `None` once they have taken more.
    budget: Cell<Option<usize>>,
    /// The names that the call has for the function's inputs and outputs, by the function's own.
    names: HashMap<&'a str, &'a str>,
}

impl Expansion<'_> {
    /// `inner` are the names that the graphs around the node, within the function, give themselves.
    fn write(&self, node: &mut NodeProto, inner: &mut Vec<HashSet<String>>) {
        for name in node.input.iter_mut().chain(&mut node.output) {
            self.rename(name, inner);
        }
        let attributes = std::mem::take(&mut node.attribute);
        node.attribute = attributes.into_iter().filter_map(|attribute| self.attribute(attribute)).collect();
        for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_deref_mut()) {
            self.graph(graph, inner);
        }
    }

    /// What a graph within the function gives itself is renamed too: it may be called as what the call gives, and
    /// would hide that from the graph.
    fn rename(&self, name: &mut String, inner: &[HashSet<String>]) {
        if name.is_empty() {
            return;
        }
        *name = match self.names.get(name.as_str()) {
            Some(given) if !inner.iter().any(|own| own.contains(name)) => (*given).to_owned(),
            _ => format!("{}/{name}", self.call.name),
        };
    }

    fn graph(&self, graph: &mut GraphProto, inner: &mut Vec<HashSet<String>>) {
        let given = graph.node.iter().flat_map(|node| &node.output);
        let sparse = graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref());
        let constants = graph.initializer.iter().chain(sparse).map(|t| &t.name);
        let own = given.chain(constants).chain(graph.input.iter().map(|i| &i.name)).cloned().collect();
        inner.push(own);
        for node in &mut graph.node {
            self.write(node, inner);
        }
        let sparse = graph.sparse_initializer.iter_mut().filter_map(|s| s.values.as_mut());
        for constant in graph.initializer.iter_mut().chain(sparse) {
            self.rename(&mut constant.name, inner);
        }
        for port in graph.input.iter_mut().chain(&mut graph.output) {
            self.rename(&mut port.name, inner);
        }
        inner.pop();
    }

    /// An attribute that takes its value from the call, or from the function's default; gone where neither
    /// has one.
    fn attribute(&self, attribute: AttributeProto) -> Option<AttributeProto> {
        if attribute.ref_attr_name.is_empty() {
            return Some(attribute);
        }
        let given = *self.attributes.get(attribute.ref_attr_name.as_str())?;
        self.budget.set(self.budget.get()?.checked_sub(given.encoded_len()));
        self.budget.get()?;
        Some(AttributeProto { name: attribute.name, ..given.clone() })
    }
}
