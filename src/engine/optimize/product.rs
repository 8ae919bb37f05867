//! Makes a product with constant weights, the bias after it, a sum with another tensor and an activation one operator:
//! `Linear`, inputs x, weights, bias, residual, attributes `transB`, `activation` and `activation_params`.

use super::fuse::clipped;
use super::pattern::Links;
use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use crate::engine::op::inner;
use crate::tensor::{DType, Tensor};
use std::collections::BTreeSet;

pub fn run(graph: &mut Graph) -> usize {
    let made = products(graph);
    made + biases(graph) + sums(graph) + activations(graph)
}

fn is_linear(node: &Node) -> bool {
    node.domain == inner::DOMAIN && node.op == inner::LINEAR
}

fn single(tensor: &Tensor) -> bool {
    tensor.dtype() == DType::F32 && !tensor.is_empty()
}

/// MatMul and Gemm whose right-hand side is constant.
fn products(graph: &mut Graph) -> usize {
    let mut made = 0;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Some((transposed, bias)) = product(graph, node) else { continue };
        let node = &mut graph.nodes[index];
        node.domain = inner::DOMAIN.to_owned();
        node.op = inner::LINEAR.to_owned();
        node.version = 1;
        node.inputs.truncate(2);
        node.inputs.push(bias);
        node.attributes = Attributes::default();
        node.attributes.set("transB", Attribute::Int(transposed.into()));
        made += 1;
    }
    made
}

/// Whether the weights lie the other way round, and the bias.
fn product(graph: &Graph, node: &Node) -> Option<(bool, Option<ValueId>)> {
    let gemm = node.is("Gemm");
    if !gemm && !node.is("MatMul") {
        return None;
    }
    let weights = graph.constant(node, 1).filter(|w| single(w))?;
    let [first, second] = *weights.shape() else { return None };
    if graph.constant(node, 0).is_some() {
        return None;
    }
    if !gemm {
        return Some((false, None));
    }
    let attributes = &node.attributes;
    let plain = attributes.float("alpha", 1.0).ok()? == 1.0
        && attributes.float("beta", 1.0).ok()? == 1.0
        && !attributes.flag("transA").ok()?;
    let transposed = attributes.flag("transB").ok()?;
    let columns = if transposed { first } else { second };
    let bias = node.input(2);
    let fits =
        bias.is_none_or(|id| graph.constants.get(&id).is_some_and(|b| single(b) && b.shape() == [columns]));
    (plain && fits).then_some((transposed, bias))
}

/// Linear + Add of one number for each column.
fn biases(graph: &mut Graph) -> usize {
    let links = Links::new(graph);
    let mut found = Vec::new();
    for index in 0..graph.nodes.len() {
        if !links.node(index).is("Add") {
            continue;
        }
        let fits = |(product, bias): (ValueId, ValueId)| {
            let linear = links.alone(product, is_linear)?;
            let node = links.node(linear);
            let weights = graph.constant(node, 1)?;
            let columns = weights.shape()[usize::from(!node.attributes.flag("transB").ok()?)];
            let plain = node.input(2).is_none()
                && node.inputs.len() <= 3
                && node.attributes.get("activation").is_none();
            let constant = graph.constants.get(&bias)?;
            (plain && single(constant) && constant.shape() == [columns]).then_some((linear, bias))
        };
        if let Some((linear, bias)) = links.pairs(index).into_iter().find_map(fits) {
            found.push((index, linear, bias));
        }
    }
    let mut gone = BTreeSet::new();
    for (add, linear, bias) in found {
        graph.nodes[linear].outputs[0] = graph.nodes[add].outputs[0];
        graph.nodes[linear].inputs[2] = Some(bias);
        gone.insert(add);
    }
    graph.remove(&gone)
}

/// Linear + Add of a tensor of the same shape. That the shapes are the same is not known here: the operator adds
/// with broadcasting where they are not.
fn sums(graph: &mut Graph) -> usize {
    let mut gone = BTreeSet::new();
    // Kept up to date as nodes change: to look at the whole graph for every sum would take for ever.
    let (mut producer, uses) = (graph.producers(), graph.uses());
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (true, Some(a), Some(b)) = (node.is("Add"), node.input(0), node.input(1)) else { continue };
        let constant = |id: &ValueId| graph.constants.contains_key(id);
        let fits = |(product, other): (ValueId, ValueId)| {
            let linear = producer[product].filter(|_| uses[product] == 1)?;
            let node = &graph.nodes[linear];
            let plain = is_linear(node)
                && node.inputs.len() <= 3
                && node.attributes.get("activation").is_none()
                && product != other;
            // What is added must be there before the product runs.
            let before = producer[other].is_none_or(|producer| producer < linear);
            (plain && before && !constant(&other)).then_some((linear, other))
        };
        let Some((linear, other)) = [(a, b), (b, a)].into_iter().find_map(fits) else { continue };
        let output = node.outputs[0];
        // The product is no more, and what is added is read as often as before.
        output.into_iter().for_each(|id| producer[id] = Some(linear));
        let node = &mut graph.nodes[linear];
        node.inputs.push(Some(other));
        node.outputs[0] = output;
        // Of no use to anyone; removed below.
        (graph.nodes[index].outputs[0], graph.nodes[index].inputs) = (None, Vec::new());
        gone.insert(index);
    }
    graph.remove(&gone)
}

fn activations(graph: &mut Graph) -> usize {
    let links = Links::new(graph);
    let mut found = Vec::new();
    for index in 0..graph.nodes.len() {
        let node = links.node(index);
        let Some((name, params)) = activation(graph, node) else { continue };
        let Some(linear) = node.input(0).and_then(|id| links.alone(id, is_linear)) else { continue };
        if links.node(linear).attributes.get("activation").is_none() {
            found.push((index, linear, name, params));
        }
    }
    let mut gone = BTreeSet::new();
    for (index, linear, name, params) in found {
        let output = graph.nodes[index].outputs[0];
        let node = &mut graph.nodes[linear];
        node.attributes.set("activation", Attribute::Text(name.to_owned()));
        node.attributes.set("activation_params", Attribute::Floats(params));
        node.outputs[0] = output;
        gone.insert(index);
    }
    graph.remove(&gone)
}

fn activation(graph: &Graph, node: &Node) -> Option<(&'static str, Vec<f32>)> {
    match clipped(graph, node) {
        Some(("Relu", _)) => return Some(("Clip", vec![0.0, f32::INFINITY])),
        Some(found) => return Some(found),
        None => {}
    }
    let standard = node.domain.is_empty();
    let exact = node.attributes.text("approximate", "none").ok()? == "none";
    let plain = match node.op.as_str() {
        "Gelu" => exact && (standard || node.domain == "com.microsoft"),
        "Swish" => standard && node.attributes.float("alpha", 1.0).ok()? == 1.0,
        "Sigmoid" | "HardSwish" | "Tanh" | "Erf" => standard,
        _ => false,
    };
    let (name, _) = inner::LINEAR_ACTIVATIONS.iter().find(|(name, _)| plain && *name == node.op)?;
    Some((name, Vec::new()))
}
