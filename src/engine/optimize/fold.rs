//! Computes nodes whose inputs are all constant.

use crate::engine::backend::Kernels;
use crate::engine::onnx::{Attribute, Graph, Node};
use crate::engine::op::{Context, FactTable, Registry};
use crate::engine::program::Program;
use crate::engine::weights::Ledger;
use crate::scheduler::is_stopped;
use crate::tensor::Tensor;
use std::cell::OnceCell;
use std::time::{Duration, Instant};

/// Bytes that one computed constant may take: past that the file would grow in memory beyond what its author
/// wrote.
const ONE: usize = 64 << 20;
/// Bytes that all of them may take together, beside a multiple of what the file has: weights of 8 bits become
/// floats.
const ALL: usize = 256 << 20;
/// Elements that an operator may be given here if it does more than move or convert them.
const WORK: usize = 1 << 15;
/// What it may take in all. What is left is computed where it is run.
const TIME: Duration = Duration::from_secs(3);

/// The time at which the first graph of a model is begun with; those inside its nodes have what is left of the time.
#[derive(Default)]
pub struct Clock(OnceCell<Instant>);

pub fn run<B: Kernels>(graph: &mut Graph, registry: &Registry<B>, cx: &Context<B>, clock: &Clock) -> usize {
    let cx = Context::<B>::alone(cx.device.clone(), cx.max_bytes.min(ONE));
    let began = *clock.0.get_or_init(Instant::now);
    let written: usize = graph.constants.values().map(|t| t.bytes().len()).sum();
    let mut left = ALL.saturating_add(written.saturating_mul(4));
    let mut folded = 0;
    let mut uses = graph.uses();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let in_time = left > 0 && began.elapsed() < TIME && !is_stopped();
        let results = if in_time && foldable(&node, graph, &registry.facts) {
            compute(&node, graph, registry, &cx)
        } else {
            None
        };
        let Some(results) = results else {
            kept.push(node);
            continue;
        };
        folded += 1;
        for id in node.inputs.iter().flatten() {
            uses[*id] -= 1;
            if uses[*id] == 0 {
                graph.constants.remove(id);
            }
        }
        for (id, tensor) in node.outputs.iter().zip(results) {
            if let Some(id) = id {
                left = left.saturating_sub(tensor.bytes().len());
                graph.constants.insert(*id, tensor);
            }
        }
    }
    graph.nodes = kept;
    folded
}

fn foldable(node: &Node, graph: &Graph, facts: &FactTable) -> bool {
    let known = node.inputs.iter().flatten().all(|id| graph.constants.contains_key(id));
    let inner = node.attributes.0.iter().any(|(_, a)| matches!(a, Attribute::Graph(_)));
    let facts = facts.of(node);
    let elements: usize =
        node.inputs.iter().flatten().filter_map(|id| graph.constants.get(id)).map(Tensor::len).sum();
    known && !inner && !facts.random && (elements <= WORK || facts.linear)
}

/// A node that fails here is left to fail, with its name, where it is run.
fn compute<B: Kernels>(
    node: &Node,
    graph: &Graph,
    registry: &Registry<B>,
    cx: &Context<B>,
) -> Option<Vec<Tensor>> {
    let mut alone = Graph { values: Vec::new(), ..Graph::default() };
    let mut node = node.clone();
    let mut rename = |id: &mut Option<usize>, constant: bool| {
        if let Some(outer) = id {
            let inner = alone.new_value("");
            if constant {
                alone.constants.insert(inner, graph.constants.get(outer)?.clone());
            }
            *outer = inner;
        }
        Some(())
    };
    for id in &mut node.inputs {
        rename(id, true)?;
    }
    for id in &mut node.outputs {
        rename(id, false)?;
    }
    alone.outputs = node.outputs.iter().flatten().copied().collect();
    let present: Vec<bool> = node.outputs.iter().map(Option::is_some).collect();
    alone.nodes.push(node);
    let program = Program::build(&alone, &cx.device, registry, &Ledger::unlimited()).ok()?;
    let mut results = program.run(Vec::new(), cx).ok()?.into_iter();
    // One for each place among the outputs, so that the caller can go by position.
    present
        .into_iter()
        .map(|present| {
            if present {
                results.next()?.into_host().ok()
            } else {
                Tensor::from_vec::<f32>(vec![0], vec![]).ok()
            }
        })
        .collect()
}
