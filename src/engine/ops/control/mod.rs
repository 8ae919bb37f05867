//! Nodes that hold graphs.

mod branch;
mod repeat;

use super::{Registry, Site};
use crate::engine::backend::Accelerator;
use crate::engine::program::Program;

pub fn register<B: Accelerator>(r: &mut Registry<B>) {
    r.op("If", 1, branch::build);
    r.op("Loop", 1, repeat::build);
}

/// A graph inside the node, built; and the inputs of the node that it captures, which are its last inputs.
struct Inner<B: Accelerator> {
    program: Program<B>,
    captures: std::ops::Range<usize>,
    /// Inputs that the graph declares.
    declared: usize,
}

fn inner<B: Accelerator>(site: &Site<'_, B>, name: &str) -> Result<Inner<B>, String> {
    let graph =
        site.node.attributes.find_graph(name)?.ok_or_else(|| format!("attribute {name:?} is missing"))?;
    let program = Program::build(graph, site.device, site.registry).map_err(|e| format!("{name}: {e}"))?;
    // Captures were appended graph by graph, in the order of the attributes.
    let all = site.node.attributes.graphs();
    let total: usize = all.iter().map(|(_, g)| g.captures.len()).sum();
    let before: usize = all.iter().take_while(|(n, _)| *n != name).map(|(_, g)| g.captures.len()).sum();
    let start =
        site.node.inputs.len().checked_sub(total).ok_or("its inputs are fewer than it captures")? + before;
    Ok(Inner { program, captures: start..start + graph.captures.len(), declared: graph.inputs.len() })
}
