//! Merges what follows a convolution into it: a sum with another tensor, then an activation.
//!
//! What comes out is the node that ONNX Runtime's optimiser writes too, `com.microsoft.FusedConv`: inputs
//! X, W, B, Z (added before the activation), attributes `activation` and `activation_params`.

use crate::engine::host;
use crate::engine::onnx::{Attribute, Graph, Node, ValueId};
use crate::tensor::DType;
use std::collections::BTreeSet;

pub fn run(graph: &mut Graph) -> usize {
    let sums = sums(graph);
    sums + activations(graph)
}

/// A two-dimensional convolution in float32 with constant weights.
fn is_conv(graph: &Graph, node: &Node) -> bool {
    let fused = node.domain == "com.microsoft" && node.op == "FusedConv";
    let weight = graph.constant(node, 1);
    (node.is("Conv") || fused) && weight.is_some_and(|w| w.dtype() == DType::F32 && w.shape().len() == 4)
}

/// Conv + Add of a tensor of the same shape. That the shapes are the same is not known here: the operator
/// adds with broadcasting where they are not.
fn sums(graph: &mut Graph) -> usize {
    let (producer, uses) = (graph.producers(), graph.uses());
    let mut gone = BTreeSet::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (Some(a), Some(b), Some(output)) =
            (node.input(0), node.input(1), node.outputs.first().copied().flatten())
        else {
            continue;
        };
        if !node.is("Add") || a == b || graph.constants.contains_key(&a) || graph.constants.contains_key(&b) {
            continue;
        }
        // The later of the two convolutions: what it adds must be there before it runs.
        let candidate = |own: ValueId, other: ValueId| {
            let conv = producer[own].filter(|c| {
                uses[own] == 1 && graph.nodes[*c].is("Conv") && is_conv(graph, &graph.nodes[*c])
            })?;
            producer[other].is_none_or(|g| g < conv).then_some((conv, other))
        };
        let Some((conv, other)) = candidate(b, a).or_else(|| candidate(a, b)) else { continue };
        let conv = &mut graph.nodes[conv];
        conv.domain = "com.microsoft".into();
        conv.op = "FusedConv".into();
        conv.version = 1;
        conv.inputs.resize(3, None);
        conv.inputs.push(Some(other));
        conv.outputs[0] = Some(output);
        gone.insert(index);
    }
    graph.remove(&gone)
}

fn activations(graph: &mut Graph) -> usize {
    let (producer, uses) = (graph.producers(), graph.uses());
    let mut gone = BTreeSet::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Some((name, params)) = activation(graph, node) else { continue };
        let (Some(input), Some(output)) = (node.input(0), node.outputs.first().copied().flatten()) else {
            continue;
        };
        let Some(conv) = producer[input].filter(|c| uses[input] == 1 && is_conv(graph, &graph.nodes[*c]))
        else {
            continue;
        };
        let conv = &mut graph.nodes[conv];
        if conv.attributes.get("activation").is_some() {
            continue;
        }
        conv.domain = "com.microsoft".into();
        conv.op = "FusedConv".into();
        conv.version = 1;
        conv.attributes.set("activation", Attribute::Text(name.into()));
        conv.attributes.set("activation_params", Attribute::Floats(params));
        conv.outputs[0] = Some(output);
        gone.insert(index);
    }
    graph.remove(&gone)
}

/// An activation that convolutions have, with its parameters.
fn activation(graph: &Graph, node: &Node) -> Option<(&'static str, Vec<f32>)> {
    let float = |name, default| node.attributes.float(name, default).ok();
    match node.op.as_str() {
        _ if !node.domain.is_empty() => None,
        "Sigmoid" => Some(("Sigmoid", Vec::new())),
        "Tanh" => Some(("Tanh", Vec::new())),
        "HardSwish" => Some(("HardSwish", Vec::new())),
        "Swish" if float("alpha", 1.0) == Some(1.0) => Some(("Swish", Vec::new())),
        "LeakyRelu" => Some(("LeakyRelu", vec![float("alpha", 0.01)?])),
        "HardSigmoid" => Some(("HardSigmoid", vec![float("alpha", 0.2)?, float("beta", 0.5)?])),
        _ => clipped(graph, node),
    }
}

/// Relu, or a Clip with known bounds.
pub fn clipped(graph: &Graph, node: &Node) -> Option<(&'static str, Vec<f32>)> {
    if node.is("Relu") {
        return Some(("Relu", Vec::new()));
    }
    if !node.is("Clip") {
        return None;
    }
    let bound = |name: &str, input: usize, default: f32| -> Option<f32> {
        if node.version < 11 {
            return node.attributes.float(name, default).ok();
        }
        match node.input(input) {
            None => Some(default),
            Some(id) => Some(host::only(graph.constants.get(&id)?).ok()?.as_f64() as f32),
        }
    };
    Some(("Clip", vec![bound("min", 1, f32::MIN)?, bound("max", 2, f32::MAX)?]))
}
