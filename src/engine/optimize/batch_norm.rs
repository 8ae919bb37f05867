//! Merges a BatchNormalization with known statistics into the convolution before it.

use super::scale::{Line, into_convolution};
use crate::engine::onnx::{Graph, Node};

pub fn run(graph: &mut Graph) -> usize {
    into_convolution(graph, line)
}

/// scale' = scale / √(variance + ε), shift' = bias - mean · scale'
pub fn line(graph: &Graph, node: &Node) -> Option<Line> {
    let plain = node.is("BatchNormalization")
        && node.version >= 7
        && node.outputs.iter().skip(1).all(Option::is_none)
        && !node.attributes.flag("training_mode").ok()?
        && node.attributes.int("spatial", 1).ok()? == 1;
    if !plain {
        return None;
    }
    let list = |input| graph.constant(node, input).filter(|t| t.dtype().is_float()).map(|t| t.to_f64());
    let (scale, bias, mean, variance) = (list(1)?, list(2)?, list(3)?, list(4)?);
    if [bias.len(), mean.len(), variance.len()] != [scale.len(); 3] {
        return None;
    }
    let epsilon = f64::from(node.attributes.float("epsilon", 1e-5).ok()?);
    let scale: Vec<f64> = scale.iter().zip(variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let shift = bias.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    Some(Line { input: node.input(0)?, scale, shift })
}
