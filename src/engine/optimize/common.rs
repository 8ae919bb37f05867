//! Computes once what several nodes compute alike, and keeps equal small constants once.

use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use crate::engine::op::FactTable;
use std::collections::{BTreeSet, HashMap};

/// Constants of up to so many bytes are compared; larger ones are seldom equal.
const SMALL: usize = 256;
/// A node is compared with so many of the same operator and inputs.
const CANDIDATES: usize = 32;

pub fn run(graph: &mut Graph, facts: &FactTable) -> usize {
    let mut same: Vec<ValueId> = (0..graph.values.len()).collect();
    constants(graph, &mut same);
    let outputs: BTreeSet<ValueId> = graph.outputs.iter().copied().collect();
    let mut seen: HashMap<Key, Vec<usize>> = HashMap::new();
    let mut gone = BTreeSet::new();
    for index in 0..graph.nodes.len() {
        for input in graph.nodes[index].inputs.iter_mut().flatten() {
            *input = same[*input];
        }
        let node = &graph.nodes[index];
        // Two outputs of the graph stay two values.
        if !repeatable(node, facts) || node.outputs.iter().flatten().any(|id| outputs.contains(id)) {
            continue;
        }
        let key = (node.domain.clone(), node.op.clone(), node.version, node.inputs.clone());
        let earlier = seen.entry(key).or_default();
        let same_as = earlier.iter().rev().take(CANDIDATES).copied().find(|i| alike(&graph.nodes[*i], node));
        match same_as {
            None => earlier.push(index),
            Some(same_as) => {
                for (own, other) in node.outputs.iter().zip(&graph.nodes[same_as].outputs) {
                    if let (Some(own), Some(other)) = (own, other) {
                        same[*own] = *other;
                    }
                }
                gone.insert(index);
            }
        }
    }
    graph.remove(&gone)
}

type Key = (String, String, i64, Vec<Option<ValueId>>);

fn constants(graph: &mut Graph, same: &mut [ValueId]) {
    let mut ids: Vec<ValueId> = graph.constants.keys().copied().collect();
    ids.sort_unstable();
    let mut seen = HashMap::new();
    for id in ids {
        let Some(constant) = graph.constants.get(&id).filter(|t| t.bytes().len() <= SMALL) else { continue };
        let key = (constant.dtype(), constant.shape().to_vec(), constant.bytes().clone());
        same[id] = *seen.entry(key).or_insert(id);
    }
}

/// Whether it gives the same for the same inputs. Graphs inside nodes are not compared.
fn repeatable(node: &Node, facts: &FactTable) -> bool {
    let opaque = |a: &Attribute| matches!(a, Attribute::Graph(_) | Attribute::Other(_));
    !facts.of(node).random && !node.is("Dropout") && !node.attributes.0.iter().any(|(_, a)| opaque(a))
}

/// REQUIRES the same operator and inputs. The first must give all that the second gives.
fn alike(a: &Node, b: &Node) -> bool {
    let given = |index: usize| a.outputs.get(index).is_some_and(Option::is_some);
    let enough = b.outputs.iter().enumerate().all(|(index, out)| out.is_none() || given(index));
    enough && a.outputs.len() == b.outputs.len() && equal(&a.attributes, &b.attributes)
}

fn equal(a: &Attributes, b: &Attributes) -> bool {
    a.0.len() == b.0.len()
        && a.0.iter().all(|(name, left)| b.get(name).is_some_and(|right| same_value(left, right)))
}

fn same_value(a: &Attribute, b: &Attribute) -> bool {
    let bits = |v: &[f32]| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
    match (a, b) {
        (Attribute::Int(a), Attribute::Int(b)) => a == b,
        (Attribute::Float(a), Attribute::Float(b)) => a.to_bits() == b.to_bits(),
        (Attribute::Text(a), Attribute::Text(b)) => a == b,
        (Attribute::Ints(a), Attribute::Ints(b)) => a == b,
        (Attribute::Floats(a), Attribute::Floats(b)) => bits(a) == bits(b),
        (Attribute::Tensor(a), Attribute::Tensor(b)) => {
            a.dtype() == b.dtype() && a.shape() == b.shape() && a.bytes() == b.bytes()
        }
        _ => false,
    }
}
