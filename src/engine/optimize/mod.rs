//! Graph to graph: the same results from less work. A pass a file; each keeps the result.
//!
//! The order matters: what is constant is computed first, so that later passes see constants.

mod alias;
mod batch_norm;
mod dead;
mod fold;
mod fuse;
mod gate;
mod scale;
#[cfg(test)]
mod tests;

use super::backend::Accelerator;
use super::onnx::{Attribute, Graph};
use super::ops::{Context, Registry};

/// What a pass did, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub pass: &'static str,
    /// Nodes that it removed or changed.
    pub nodes: usize,
}

/// Runs every pass over a graph and the graphs inside its nodes.
///
/// Constants are computed on the backend of `registry`, which should be the host's.
pub fn optimize<B: Accelerator>(graph: &mut Graph, registry: &Registry<B>, cx: &Context<B>) -> Vec<Applied> {
    for node in &mut graph.nodes {
        for (_, attribute) in &mut node.attributes.0 {
            if let Attribute::Graph(inner) = attribute {
                optimize(inner, registry, cx);
            }
        }
    }
    let passes: [(&'static str, Pass<B>); 7] = [
        ("identities removed", |g, _, _| alias::run(g)),
        ("constants computed", fold::run),
        ("dead nodes removed", |g, _, _| dead::run(g)),
        ("activations recognised", |g, _, _| gate::run(g)),
        ("normalisations merged into convolutions", |g, _, _| batch_norm::run(g)),
        ("scales merged into convolutions", |g, _, _| scale::run(g)),
        ("activations and sums merged into convolutions", |g, _, _| fuse::run(g)),
    ];
    let mut applied = Vec::new();
    for (pass, run) in passes {
        let nodes = run(graph, registry, cx);
        if nodes > 0 {
            applied.push(Applied { pass, nodes });
        }
    }
    dead::run(graph);
    applied
}

/// Gives the number of nodes that it removed or changed.
type Pass<B> = fn(&mut Graph, &Registry<B>, &Context<B>) -> usize;
