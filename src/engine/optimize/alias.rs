//! Removes nodes that give what they are given: Identity, Dropout outside training, a transpose that leaves
//! every axis where it is.

use crate::engine::onnx::{Graph, Node, ValueId};

pub fn run(graph: &mut Graph) -> usize {
    let mut same: Vec<ValueId> = (0..graph.values.len()).collect();
    let before = graph.nodes.len();
    let mut nodes = std::mem::take(&mut graph.nodes);
    // In the order of the nodes, so that a chain ends at its beginning.
    nodes.retain_mut(|node| {
        for input in node.inputs.iter_mut().flatten() {
            *input = same[*input];
        }
        match passes_through(node) {
            Some((from, to)) => {
                same[to] = from;
                false
            }
            None => true,
        }
    });
    graph.nodes = nodes;
    for output in &mut graph.outputs {
        *output = same[*output];
    }
    before - graph.nodes.len()
}

fn passes_through(node: &Node) -> Option<(ValueId, ValueId)> {
    let plain = node.is("Identity")
        || (node.is("Transpose") && in_order(node))
        || (node.is("Dropout")
            && node.version >= 7
            && node.outputs.iter().skip(1).all(Option::is_none)
            && node.input(2).is_none());
    if plain { Some((node.input(0)?, node.outputs.first().copied()??)) } else { None }
}

fn in_order(node: &Node) -> bool {
    let perm = node.attributes.find_ints("perm");
    perm.is_ok_and(|p| p.is_some_and(|p| p.iter().enumerate().all(|(at, axis)| at as i64 == *axis)))
}
