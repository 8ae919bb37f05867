//! Merges what a node does to each channel alone, x · scale + shift, into the convolution before it.

use crate::engine::onnx::{Graph, Node, ValueId};
use crate::tensor::{DType, Tensor};
use std::collections::BTreeSet;

/// Elements of weights that are looked at in all: a long chain may be merged into one convolution again and
/// again.
const WORK: usize = 1 << 28;

/// A function of each channel of a value, x · scale + shift.
pub struct Line {
    pub input: ValueId,
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

/// Mul and Add of a constant that has one element for each channel.
pub fn run(graph: &mut Graph) -> usize {
    into_convolution(graph, line)
}

fn line(graph: &Graph, node: &Node) -> Option<Line> {
    let (mul, add, sub) = (node.is("Mul"), node.is("Add"), node.is("Sub"));
    if !(mul || add || sub) {
        return None;
    }
    let (input, constant) = match (graph.constant(node, 0), graph.constant(node, 1)) {
        (None, Some(constant)) => (node.input(0)?, constant),
        (Some(constant), None) if !sub => (node.input(1)?, constant),
        _ => return None,
    };
    // [1, C, 1, 1] or [C, 1, 1]: aligned from the end, which only rank 4 leaves no doubt about.
    let channels = match constant.shape() {
        [1, channels, 1, 1] | [channels, 1, 1] => *channels,
        _ => return None,
    };
    let values = constant.to_f64();
    let line = |scale, shift| Some(Line { input, scale, shift });
    if mul {
        line(values, vec![0.0; channels])
    } else {
        line(vec![1.0; channels], if sub { values.iter().map(|v| -v).collect() } else { values })
    }
}

/// Finds such nodes, and takes them into the convolution that alone feeds them.
pub fn into_convolution(graph: &mut Graph, line: fn(&Graph, &Node) -> Option<Line>) -> usize {
    let mut uses = graph.uses();
    let mut producer = graph.producers();
    let mut gone = BTreeSet::new();
    let mut work = WORK;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let weight = |id: &ValueId| {
            let conv = graph.nodes.get(producer[*id].filter(|_| uses[*id] == 1)?)?;
            graph.constant(conv, 1).filter(|_| conv.is("Conv") || conv.is("ConvTranspose"))
        };
        // Looked at before anything is computed.
        let Some(weight) = node.inputs.iter().flatten().find_map(weight) else { continue };
        let Some(left) = work.checked_sub(weight.len()) else { break };
        work = left;
        let Some(found) = line(graph, node) else { continue };
        let (Some(conv), Some(output)) = (producer[found.input], node.outputs.first().copied().flatten())
        else {
            continue;
        };
        let weight = graph.nodes[conv].input(1);
        if uses[found.input] != 1 || merge(graph, conv, &found).is_none() {
            continue;
        }
        // Freed at once: all weights of a network may be merged here.
        if let Some(weight) = weight.filter(|id| uses[*id] == 1) {
            graph.constants.remove(&weight);
        }
        // The convolution now gives what the node gave.
        graph.nodes[conv].outputs[0] = Some(output);
        producer[output] = Some(conv);
        gone.insert(index);
        uses.resize(graph.values.len(), 1);
        producer.resize(graph.values.len(), None);
    }
    graph.remove(&gone)
}

fn merge(graph: &mut Graph, conv: usize, line: &Line) -> Option<()> {
    let node = &graph.nodes[conv];
    let transposed = node.is("ConvTranspose");
    if !(node.is("Conv") || transposed) {
        return None;
    }
    let weight = graph.constant(node, 1).filter(|w| w.dtype() == DType::F32 && w.shape().len() >= 3)?;
    let groups = usize::try_from(node.attributes.int("group", 1).ok()?).ok().filter(|g| *g > 0)?;
    // A constant of rank 3 or 4 lines its channels up with the second axis only where there are two
    // spatial ones.
    if weight.shape().len() != 4 {
        return None;
    }
    let outputs = if transposed { weight.shape()[1].checked_mul(groups)? } else { weight.shape()[0] };
    if line.scale.len() != outputs || weight.is_empty() {
        return None;
    }
    let bias = match node.input(2) {
        None => vec![0.0; outputs],
        Some(id) => graph.constants.get(&id).map(|b| b.to_f64()).filter(|b| b.len() == outputs)?,
    };
    let inner: usize = weight.shape()[2..].iter().product();
    let (first, second) = (weight.shape()[0], weight.shape()[1]);
    let channel = |at: usize| {
        let (row, column) = (at / (second * inner), at / inner % second);
        if transposed { row / (first / groups).max(1) * second + column } else { row }
    };
    let elements = weight.elements::<f32>()?;
    let scaled: Vec<f32> = (elements.iter().enumerate())
        .map(|(at, w)| Some((f64::from(*w) * line.scale.get(channel(at))?) as f32))
        .collect::<Option<_>>()?;
    let weight = Tensor::from_vec(weight.shape().to_vec(), scaled).ok()?;
    let bias: Vec<f32> =
        bias.iter().zip(&line.scale).zip(&line.shift).map(|((b, s), t)| (b * s + t) as f32).collect();
    let bias = Tensor::from_vec(vec![outputs], bias).ok()?;
    let (weight_id, bias_id) = (graph.new_value(""), graph.new_value(""));
    graph.constants.insert(weight_id, weight);
    graph.constants.insert(bias_id, bias);
    let node = &mut graph.nodes[conv];
    node.inputs.resize(3, None);
    node.inputs[1] = Some(weight_id);
    node.inputs[2] = Some(bias_id);
    Some(())
}
