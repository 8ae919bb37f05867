//! Cancels transposes: two in a row are one, and one that changes nothing is none. A transpose moves behind
//! an activation if there it meets another.

use super::pattern::Links;
use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use crate::engine::op::FactTable;
use std::collections::BTreeSet;

/// Steps over the whole graph, at most: as many as halve the longest of chains.
const STEPS: usize = 64;

pub fn run(graph: &mut Graph, facts: &FactTable) -> usize {
    let before = graph.nodes.len();
    // Each step brings what is left of a chain nearer together by half.
    for _ in 0..STEPS {
        if !step(graph, facts) {
            break;
        }
    }
    before - graph.nodes.len()
}

/// Merges every pair that does not overlap another; false where there is none.
fn step(graph: &mut Graph, facts: &FactTable) -> bool {
    let found = pairs(graph, facts);
    let any = !found.is_empty();
    let mut same: Vec<ValueId> = (0..graph.values.len()).collect();
    let outputs: BTreeSet<ValueId> = graph.outputs.iter().copied().collect();
    let mut gone = BTreeSet::new();
    for pair in found {
        merge(graph, pair, &outputs, &mut same, &mut gone);
    }
    graph.remove(&gone);
    for input in graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten()) {
        while same[*input] != *input {
            *input = same[*input];
        }
    }
    any
}

/// The pairs that do not overlap, in the order of their second nodes.
fn pairs(graph: &Graph, facts: &FactTable) -> Vec<Pair> {
    let links = Links::new(graph);
    let mut found = Vec::new();
    // A transpose that others read too stays as it is, so that several pairs may begin with it.
    let (mut changed, mut read) = (vec![false; graph.nodes.len()], vec![false; graph.nodes.len()]);
    for index in 0..graph.nodes.len() {
        let Some(pair) = links.pair(index, facts) else { continue };
        let own = || [pair.second].into_iter().chain(pair.between).chain(pair.alone.then_some(pair.first));
        if changed[pair.first] || own().any(|i| changed[i] || read[i]) {
            continue;
        }
        read[pair.first] = true;
        own().for_each(|i| changed[i] = true);
        found.push(pair);
    }
    found
}

/// Merges one pair. Nodes that are no longer needed are `gone`; a value that is another one from now on is the `same`.
fn merge(
    graph: &mut Graph,
    pair: Pair,
    outputs: &BTreeSet<ValueId>,
    same: &mut [ValueId],
    gone: &mut BTreeSet<usize>,
) {
    let given = graph.nodes[pair.second].outputs[0];
    let (Some(given), Some(source)) = (given, graph.nodes[pair.first].input(0)) else { return };
    let plain = pair.perm.iter().enumerate().all(|(at, axis)| at as i64 == *axis);
    // Activations between the two work on the first's input.
    let (last, feeds) = match pair.between {
        Some(between) => {
            graph.nodes[between].inputs[0] = Some(source);
            (Some(between), graph.nodes[between].outputs[0])
        }
        None => (None, Some(source)),
    };
    if pair.alone {
        gone.insert(pair.first);
    }
    match (plain, last) {
        (true, Some(last)) => {
            graph.nodes[last].outputs[0] = Some(given);
            gone.insert(pair.second);
        }
        // An output of the graph needs a node that gives it.
        (true, None) if outputs.contains(&given) => {
            let node = &mut graph.nodes[pair.second];
            node.op = "Identity".into();
            node.inputs = vec![Some(source)];
            node.attributes = Attributes::default();
        }
        (true, None) => {
            same[given] = source;
            gone.insert(pair.second);
        }
        (false, _) => {
            let node = &mut graph.nodes[pair.second];
            node.inputs = vec![feeds];
            node.attributes.set("perm", Attribute::Ints(pair.perm));
        }
    }
}

struct Pair {
    first: usize,
    /// An activation between the two.
    between: Option<usize>,
    second: usize,
    /// What the two do together.
    perm: Vec<i64>,
    /// Whether nothing else reads what the first gives.
    alone: bool,
}

impl Links<'_> {
    /// A transpose that ends a pair.
    fn pair(&self, second: usize, facts: &FactTable) -> Option<Pair> {
        let outer = perm(self.node(second))?;
        let input = self.node(second).input(0)?;
        let together = |inner: &[i64]| -> Option<Vec<i64>> {
            outer.iter().map(|axis| inner.get(usize::try_from(*axis).ok()?).copied()).collect()
        };
        if let Some(first) = self.producer(input, "Transpose") {
            let inner = perm(self.node(first))?;
            let alone = self.uses(input) == 1;
            return Some(Pair { first, between: None, second, perm: together(&inner)?, alone });
        }
        let between = self.alone(input, |node| facts.is_unary(node))?;
        let given = self.node(between).input(0)?;
        let first = self.only(given, "Transpose")?;
        let inner = perm(self.node(first))?;
        Some(Pair { first, between: Some(between), second, perm: together(&inner)?, alone: true })
    }
}

/// The axes of a transpose that names each once.
fn perm(node: &Node) -> Option<Vec<i64>> {
    if !node.is("Transpose") {
        return None;
    }
    let perm = node.attributes.find_ints("perm").ok()??.clone();
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    (sorted.iter().enumerate().all(|(at, axis)| at as i64 == *axis)).then_some(perm)
}
