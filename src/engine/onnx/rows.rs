//! What a graph does to rows: which outputs are as long as the values in the inputs make them, and which
//! operator lets a row's result depend on the rows beside it.

use super::attribute::Attribute;
use super::graph::{Graph, Node, ValueId};
use super::{facts, infer, mixing, texts};
use crate::plan::{self, Signature};
use std::collections::HashSet;

/// Notes in the signature what the graph shows of its outputs, and of its rows.
pub fn note(graph: &Graph, signature: &mut Signature) {
    let dependent = data_dependent(graph);
    let inferred = infer::outputs(graph, &signature.inputs);
    for (port, dims) in signature.outputs.iter_mut().zip(inferred) {
        port.inferred = dims;
    }
    for (port, id) in signature.outputs.iter_mut().zip(&graph.outputs) {
        port.data_dependent = dependent.contains(id);
    }
    let columns = signature.inputs.iter().map(|port| match port.dims.as_deref() {
        Some([_, .., plan::Dim::Fixed(columns)]) => *columns,
        _ => 1,
    });
    let known = texts::known(graph, &columns.collect::<Vec<_>>());
    for (port, texts) in signature.inputs.iter_mut().zip(known) {
        port.texts = texts;
    }
    signature.mixes.always = batch_wide_operator(graph);
    mixing::note(graph, &signature.inputs, &mut signature.mixes);
}

/// Values that are computed by way of something that is as long as the values in the inputs make it.
fn data_dependent(graph: &Graph) -> HashSet<ValueId> {
    let mut dependent: HashSet<ValueId> = HashSet::new();
    // Values that follow from the values in the inputs, and not from their shapes alone.
    let mut following: HashSet<ValueId> = graph.inputs.iter().copied().collect();
    // Every node comes after those that it reads from.
    for node in &graph.nodes {
        let reads = |set: &HashSet<ValueId>| node.inputs.iter().flatten().any(|id| set.contains(id));
        let sized_by = |index: usize| node.input(index).is_some_and(|id| following.contains(&id));
        let sized = facts::of(&node.op).lengths.iter().any(|index| sized_by(*index));
        if reads(&dependent) || sized || depends_itself(node, graph) {
            dependent.extend(node.outputs.iter().flatten());
        }
        let of_shape = matches!(node.op.as_str(), "Shape" | "Size") && !reads(&dependent);
        if reads(&following) && !of_shape {
            following.extend(node.outputs.iter().flatten());
        }
    }
    dependent
}

/// Whether the operator's outputs are as long as values make them; of constants they are not.
fn depends_itself(node: &Node, graph: &Graph) -> bool {
    let variable = node.inputs.iter().flatten().any(|id| !graph.constants.contains_key(id));
    let known = facts::of(&node.op).data_dependent && (variable || node.inputs.is_empty());
    known || subgraphs(node).any(|inner| inner.nodes.iter().any(|node| depends_itself(node, inner)))
}

/// The first operator that computes one result for all rows of a batch together, and why that is so.
fn batch_wide_operator(graph: &Graph) -> Option<String> {
    graph.nodes.iter().find_map(|node| {
        let why = match node.op.as_str() {
            "DynamicQuantizeLinear" | "DynamicQuantizeMatMul" => "takes one range over the whole batch",
            "BatchNormalization" if is_set(node, "training_mode") => "takes its mean over the whole batch",
            _ => return subgraphs(node).find_map(batch_wide_operator),
        };
        Some(format!("{node} {why}"))
    })
}

fn is_set(node: &Node, attribute: &str) -> bool {
    matches!(node.attributes.get(attribute), Some(Attribute::Int(value)) if *value != 0)
}

fn subgraphs(node: &Node) -> impl Iterator<Item = &Graph> {
    node.attributes.0.iter().filter_map(|(_, attribute)| match attribute {
        Attribute::Graph(graph) => Some(graph.as_ref()),
        _ => None,
    })
}
