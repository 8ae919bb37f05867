//! Removes nodes whose outputs nothing reads, and constants that nothing reads.

use crate::engine::onnx::Graph;

pub fn run(graph: &mut Graph) -> usize {
    let mut live = vec![false; graph.values.len()];
    graph.outputs.iter().for_each(|id| live[*id] = true);
    let before = graph.nodes.len();
    let mut kept = Vec::with_capacity(before);
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if !node.outputs.iter().flatten().any(|id| live[*id]) {
            continue;
        }
        node.inputs.iter().flatten().for_each(|id| live[*id] = true);
        kept.push(node);
    }
    kept.reverse();
    graph.nodes = kept;
    graph.constants.retain(|id, _| live[*id]);
    before - graph.nodes.len()
}
