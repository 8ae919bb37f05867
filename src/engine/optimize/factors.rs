//! For the CPU, after the channels are in blocks: hands a product that a convolution of 1 by 1 alone reads, as those of
//! squeeze and excite are, to the convolution, whose weights may be fewer than its inputs.

use crate::engine::onnx::{Graph, Node, ValueId};
use crate::engine::op::inner::DOMAIN;
use crate::engine::op::inner::blocked::{CONV, MUL};
use crate::tensor::Tensor;
use std::collections::{HashMap, HashSet};

pub fn run(graph: &mut Graph) -> usize {
    let uses = graph.uses();
    let gives = |node: &Node| node.outputs.first().copied().flatten();
    let products: HashMap<ValueId, [Option<ValueId>; 2]> = (graph.nodes.iter())
        .filter(|node| node.domain == DOMAIN && node.op == MUL)
        .filter_map(|node| Some((gives(node).filter(|id| uses[*id] == 1)?, [node.input(0), node.input(1)])))
        .collect();
    let mut taken = HashSet::new();
    let constants = &graph.constants;
    for node in graph.nodes.iter_mut().filter(|node| node.domain == DOMAIN && node.op == CONV) {
        let kernel = node.input(1).and_then(|weight| constants.get(&weight)).map(Tensor::shape);
        let ints = |name: &str| node.attributes.find_ints(name).ok().flatten().cloned().unwrap_or_default();
        let plain = matches!(kernel, Some([_, _, 1, 1]))
            && node.attributes.int("group", 1) == Ok(1)
            && ints("pads").iter().all(|pad| *pad == 0)
            && ints("strides").iter().all(|stride| *stride == 1);
        let given = node.input(0).filter(|_| plain).and_then(|id| Some((id, *products.get(&id)?)));
        if let Some((id, [x, by])) = given {
            node.inputs.resize(5, None);
            (node.inputs[0], node.inputs[4]) = (x, by);
            taken.insert(id);
        }
    }
    graph.nodes.retain(|node| !gives(node).is_some_and(|id| taken.contains(&id)));
    taken.len()
}
