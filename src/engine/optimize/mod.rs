//! Graph to graph: the same results from less work. A pass a file; each keeps the result.
//!
//! The order matters: what is constant is computed first, so that later passes see constants.

mod alias;
mod attention;
mod batch_norm;
mod blocks;
mod common;
mod dead;
mod factors;
mod fold;
mod fuse;
mod gate;
mod layer_norm;
mod pattern;
mod product;
mod scale;
#[cfg(test)]
mod tests;
mod transpose;

use super::backend::Kernels;
use super::onnx::{Attribute, Graph};
use super::op::{Context, Registry};
use crate::scheduler::is_stopped;
use std::collections::BTreeMap;

/// The effect of a pass, for people. Nodes of graphs inside nodes count too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub pass: &'static str,
    /// Nodes before it and after it.
    pub before: usize,
    pub after: usize,
    /// The change in the number of nodes of each operator.
    pub changed: BTreeMap<String, i64>,
}

/// Every pass, in the order in which they run.
fn passes<B: Kernels>() -> Vec<(&'static str, Pass<B>)> {
    vec![
        ("identities removed", |g, _, _, _| alias::run(g)),
        ("constants computed", fold::run),
        ("dead nodes removed", |g, _, _, _| dead::run(g)),
        ("common nodes computed once", |g, r, _, _| common::run(g, &r.facts)),
        ("activations recognised", |g, _, _, _| gate::run(g)),
        ("normalisations recognised", |g, _, _, _| layer_norm::run(g)),
        ("attention recognised", |g, _, _, _| attention::run(g)),
        ("transposes cancelled", |g, r, _, _| transpose::run(g, &r.facts)),
        ("normalisations merged into convolutions", |g, _, _, _| batch_norm::run(g)),
        ("scales merged into convolutions", |g, _, _, _| scale::run(g)),
        ("activations and sums merged into convolutions", |g, _, _, _| fuse::run(g)),
        ("products merged with what follows them", |g, _, _, _| product::run(g)),
        ("constants that are no longer read dropped", |g, _, _, _| dead::run(g)),
    ]
}

/// Runs every pass over a graph and the graphs inside its nodes.
///
/// Constants are computed on the backend of `registry`, which should be the host's.
pub fn optimize<B: Kernels>(graph: &mut Graph, registry: &Registry<B>, cx: &Context<B>) -> Vec<Applied> {
    let mut applied = Vec::new();
    let mut before = operators(graph);
    let clock = fold::Clock::default();
    // Whoever loads the model looks whether it was given up.
    for (pass, run) in passes().into_iter().take_while(|_| !is_stopped()) {
        everywhere(graph, &mut |graph| run(graph, registry, cx, &clock));
        let after = operators(graph);
        if after != before {
            applied.push(compared(pass, &before, &after));
        }
        before = after;
    }
    applied
}

/// Runs the passes that are for the CPU alone, after [`optimize`]. Gives the number of nodes that it changed.
pub fn for_host<B: Kernels>(graph: &mut Graph, registry: &Registry<B>) -> usize {
    let mut changed = 0;
    everywhere(graph, &mut |graph| {
        changed += blocks::run(graph, &registry.facts) + factors::run(graph);
        changed
    });
    changed
}

/// Gives the number of nodes that it removed or changed.
type Pass<B> = fn(&mut Graph, &Registry<B>, &Context<B>, &fold::Clock) -> usize;

/// Inner graphs first.
fn everywhere(graph: &mut Graph, run: &mut dyn FnMut(&mut Graph) -> usize) {
    for node in &mut graph.nodes {
        for (_, attribute) in &mut node.attributes.0 {
            if let Attribute::Graph(inner) = attribute {
                everywhere(inner, run);
            }
        }
    }
    run(graph);
}

/// The number of nodes of each operator, those of inner graphs included.
pub fn operators(graph: &Graph) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        for node in &graph.nodes {
            let name =
                if node.domain.is_empty() { node.op.clone() } else { format!("{}.{}", node.domain, node.op) };
            *counts.entry(name).or_default() += 1;
            graphs.extend(node.attributes.graphs().into_iter().map(|(_, graph)| graph));
        }
    }
    counts
}

fn compared(
    pass: &'static str,
    before: &BTreeMap<String, usize>,
    after: &BTreeMap<String, usize>,
) -> Applied {
    let mut changed: BTreeMap<String, i64> = after.iter().map(|(op, n)| (op.clone(), *n as i64)).collect();
    for (op, count) in before {
        *changed.entry(op.clone()).or_default() -= *count as i64;
    }
    changed.retain(|_, difference| *difference != 0);
    Applied { pass, before: before.values().sum(), after: after.values().sum(), changed }
}
