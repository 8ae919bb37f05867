//! For the CPU: keeps the channels of feature maps in blocks from node to node, so that they are reordered where
//! they enter and leave a stretch of convolutions only.
//!
//! What a convolution gives is in blocks. A node that can read blocks does; before any other node, and for the
//! outputs of the graph, the value is put back into planes, once.

use super::batch_norm;
use crate::engine::kernels::blocked::BLOCK;
use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use crate::engine::op::FactTable;
use crate::engine::op::inner::DOMAIN;
use crate::engine::op::inner::blocked::{
    AVERAGE_POOL, BLOCKED, CONCAT, CONV, CONV_TRANSPOSE, GLOBAL_AVERAGE_POOL, MAX_POOL, MUL, PLANES, RESIZE,
    SHAPE, SPACE,
};
use crate::tensor::{DType, Tensor};
use std::collections::{HashMap, HashSet};

/// Input channels up to which a convolution of planes reads them where they are.
const FEW: usize = 8;

pub fn run(graph: &mut Graph, facts: &FactTable) -> usize {
    let uses = graph.uses();
    let mut pass = Blocks {
        graph,
        facts,
        nodes: Vec::new(),
        blocks: HashMap::new(),
        planes: HashSet::new(),
        uses,
        normalised: HashMap::new(),
    };
    let mut changed = 0;
    for node in std::mem::take(&mut pass.graph.nodes) {
        if pass.takes_in(&node).is_some() {
            continue;
        }
        match pass.in_blocks(&node) {
            Some(node) => {
                pass.nodes.push(node);
                changed += 1;
            }
            None => {
                node.inputs.iter().flatten().for_each(|id| pass.need_planes(*id));
                pass.nodes.push(node);
            }
        }
    }
    pass.graph.outputs.clone().into_iter().for_each(|id| pass.need_planes(id));
    let nodes = pass.nodes;
    graph.nodes = nodes;
    changed
}

/// A value in blocks.
#[derive(Clone, Copy)]
struct InBlocks {
    id: ValueId,
    channels: usize,
}

struct Blocks<'a> {
    graph: &'a mut Graph,
    facts: &'a FactTable,
    /// The nodes that are done.
    nodes: Vec<Node>,
    /// The values in blocks, by value of the graph as it was.
    blocks: HashMap<ValueId, InBlocks>,
    /// Values that are in blocks, and have been put back into planes too.
    planes: HashSet<ValueId>,
    /// How often each value of the graph as it was is read.
    uses: Vec<usize>,
    /// The normalisation among the nodes that gives a value.
    normalised: HashMap<ValueId, usize>,
}

impl Blocks<'_> {
    /// The node as it reads and gives blocks; `None` where it cannot.
    fn in_blocks(&mut self, node: &Node) -> Option<Node> {
        if node.is("Conv") || (node.domain == "com.microsoft" && node.op == "FusedConv") {
            return self.conv(node);
        }
        if node.is("ConvTranspose") {
            return self.conv_transpose(node);
        }
        if node.is("BatchNormalization") {
            return self.batch_norm(node);
        }
        if node.outputs.iter().skip(1).any(Option::is_some) {
            return None;
        }
        let x = *self.blocks.get(&node.input(0)?)?;
        let facts = self.facts.of(node);
        // What fills the last block up is not read, and must not become what spreads.
        if facts.elementwise && facts.finite {
            return self.replaced(node, None, x.channels, &[x]);
        }
        if !node.domain.is_empty() {
            return None;
        }
        match node.op.as_str() {
            "MaxPool" | "AveragePool" => {
                let kernel = node.attributes.find_ints("kernel_shape").ok()??;
                let name = if node.is("MaxPool") { MAX_POOL } else { AVERAGE_POOL };
                (kernel.len() == 2).then(|| self.replaced(node, Some(name), x.channels, &[x]))?
            }
            "GlobalAveragePool" => self.replaced(node, Some(GLOBAL_AVERAGE_POOL), x.channels, &[x]),
            "ReduceMean" if self.is_global(node) => {
                let mut pool = self.replaced(node, Some(GLOBAL_AVERAGE_POOL), x.channels, &[x])?;
                pool.inputs.truncate(1);
                pool.attributes = Attributes::default();
                Some(pool)
            }
            "Add" | "Mul" => {
                let y = *self.blocks.get(&node.input(1)?)?;
                // With as many channels each, they lie alike.
                let name = if node.is("Mul") { Some(MUL) } else { None };
                (x.channels == y.channels).then(|| self.replaced(node, name, x.channels, &[x, y]))?
            }
            "Concat" => self.concat(node),
            "Resize" | "Upsample" => self.resize(node, x),
            "Shape" => {
                let mut shape = node.clone();
                rename(&mut shape, SHAPE);
                shape.inputs[0] = Some(x.id);
                shape.attributes.set("channels", Attribute::Int(x.channels as i64));
                Some(shape)
            }
            _ => None,
        }
    }

    fn conv(&mut self, node: &Node) -> Option<Node> {
        let weight = self.graph.constant(node, 1)?;
        let [out, per_group, ..] = weight.shape()[..] else { return None };
        let bias = node.input(2).is_none() || self.graph.constant(node, 2)?.dtype() == DType::F32;
        let padded = matches!(node.attributes.text("auto_pad", "NOTSET").ok()?, "NOTSET" | "VALID" | "");
        let groups = usize::try_from(node.attributes.int("group", 1).ok()?).ok()?;
        let depthwise = groups == out && per_group == 1;
        let usable = weight.dtype() == DType::F32 && weight.shape().len() == 4 && !weight.is_empty() && bias;
        if !usable || !padded || (groups != 1 && !depthwise) {
            return None;
        }
        let input = node.input(0)?;
        let planes = groups == 1 && per_group <= FEW && !self.blocks.contains_key(&input);
        let residual = match node.input(3) {
            None => None,
            Some(id) => Some(*self.blocks.get(&id).filter(|blocks| blocks.channels == out)?),
        };
        if self.blocks.get(&input).is_some_and(|blocks| blocks.channels != per_group * groups) {
            return None;
        }
        let mut conv = node.clone();
        rename(&mut conv, CONV);
        if planes {
            conv.attributes.set("planes", Attribute::Int(1));
        } else {
            conv.inputs[0] = Some(self.need_blocks(input, per_group * groups));
        }
        if let Some(residual) = residual {
            conv.inputs[3] = Some(residual.id);
        }
        self.give(&mut conv, out);
        Some(conv)
    }

    /// Makes a normalisation that no convolution took in one of each channel by itself, which a depthwise convolution
    /// of 1 by 1 does. Takes in the Relu after it.
    fn batch_norm(&mut self, node: &Node) -> Option<Node> {
        let x = *self.blocks.get(&node.input(0)?)?;
        let line = batch_norm::line(self.graph, node).filter(|line| line.scale.len() == x.channels)?;
        let mut constant = |shape: Vec<usize>, values: &[f64]| {
            let tensor = Tensor::from_vec(shape, values.iter().map(|v| *v as f32).collect()).ok()?;
            let id = self.graph.new_value("");
            self.graph.constants.insert(id, tensor);
            Some(id)
        };
        let weight = constant(vec![x.channels, 1, 1, 1], &line.scale)?;
        let bias = constant(vec![x.channels], &line.shift)?;
        let mut conv = node.clone();
        rename(&mut conv, CONV);
        conv.inputs = vec![Some(x.id), Some(weight), Some(bias)];
        conv.attributes = Attributes::default();
        conv.attributes.set("group", Attribute::Int(x.channels as i64));
        let given = node.outputs.first().copied().flatten()?;
        self.give(&mut conv, x.channels);
        self.normalised.insert(given, self.nodes.len());
        Some(conv)
    }

    /// Lets the normalisation that alone feeds a Relu do what that does.
    fn takes_in(&mut self, relu: &Node) -> Option<()> {
        let input = relu.input(0).filter(|id| relu.is("Relu") && self.uses[*id] == 1)?;
        let output = relu.outputs.first().copied().flatten()?;
        let conv = self.nodes.get_mut(*self.normalised.get(&input)?)?;
        conv.attributes.set("activation", Attribute::Text("Relu".into()));
        let blocks = self.blocks.remove(&input)?;
        self.blocks.insert(output, blocks);
        Some(())
    }

    /// Channels after one another, which start new blocks each.
    fn concat(&mut self, node: &Node) -> Option<Node> {
        let parts = node.inputs.iter().map(|id| self.blocks.get(id.as_ref()?).copied());
        let parts = parts.collect::<Option<Vec<InBlocks>>>()?;
        let axis = *node.attributes.find_int("axis").ok()??;
        let (_, before) = parts.split_last()?;
        if !(axis == 1 || axis == -3) {
            return None;
        }
        let whole = before.iter().all(|part| part.channels.is_multiple_of(BLOCK));
        let channels = parts.iter().map(|part| part.channels).sum();
        let mut joined = self.replaced(node, (!whole).then_some(CONCAT), channels, &parts)?;
        if whole {
            joined.attributes.set("axis", Attribute::Int(1));
        } else {
            let list = parts.iter().map(|part| part.channels as i64).collect();
            joined.attributes.set("channels", Attribute::Ints(list));
        }
        Some(joined)
    }

    /// Makes a transposed convolution one by phases; see the kernel.
    fn conv_transpose(&mut self, node: &Node) -> Option<Node> {
        let weight = self.graph.constant(node, 1)?;
        let [inputs, outputs, height, width] = weight.shape()[..] else { return None };
        let bias = node.input(2).is_none() || self.graph.constant(node, 2)?.dtype() == DType::F32;
        let attributes = &node.attributes;
        let ints = |name: &str| attributes.find_ints(name).ok().map(|v| v.cloned().unwrap_or_default());
        let plain = matches!(attributes.text("auto_pad", "NOTSET").ok()?, "NOTSET" | "")
            && attributes.int("group", 1).ok()? == 1
            && ints("dilations")?.iter().all(|d| *d == 1)
            && ints("output_shape")?.is_empty()
            && matches!(ints("output_padding")?.len(), 0 | 2);
        // A pad of more than the kernel is nothing that the phases are for.
        let side = i64::try_from(height.min(width)).ok()?;
        let narrow = ints("pads")?.iter().all(|pad| (0..=side).contains(pad));
        // Windows far apart have nothing but the bias between them, and each phase of the stride would be packed.
        let dense = ints("strides")?.iter().all(|stride| (1..=side.saturating_mul(4)).contains(stride));
        if weight.dtype() != DType::F32 || weight.is_empty() || !bias || !plain || !narrow || !dense {
            return None;
        }
        // Of few channels, most of each block would be computed for nothing, and by what follows too.
        if outputs < BLOCK / 2 {
            let zeros = |name: &str| ints(name).is_some_and(|list| list.iter().all(|v| *v == 0));
            let strides = ints("strides")?.iter().map(|s| usize::try_from(*s).ok()).collect::<Vec<_>>();
            let apart = strides == [Some(height), Some(width)] && zeros("pads") && zeros("output_padding");
            return if apart { self.apart(node) } else { None };
        }
        let blocks = *self.blocks.get(&node.input(0)?).filter(|blocks| blocks.channels == inputs)?;
        self.replaced(node, Some(CONV_TRANSPOSE), outputs, &[blocks])
    }

    /// A transposed convolution whose windows do not overlap: a convolution of 1 by 1 gives the pixels of every window as
    /// channels, which then become planes.
    fn apart(&mut self, node: &Node) -> Option<Node> {
        let weight = self.graph.constant(node, 1)?;
        let [inputs, outputs, height, width] = weight.shape()[..] else { return None };
        let blocks = *self.blocks.get(&node.input(0)?).filter(|blocks| blocks.channels == inputs)?;
        let (window, elements) = (height * width, weight.elements::<f32>()?);
        let all = outputs * window;
        let turned: Vec<f32> = (0..all * inputs).map(|i| elements[i % inputs * all + i / inputs]).collect();
        let bias = match node.input(2) {
            Some(_) => self.graph.constant(node, 2)?.elements::<f32>()?.into_owned(),
            None => vec![0.0; outputs],
        };
        let bias = bias.iter().flat_map(|bias| std::iter::repeat_n(*bias, window)).collect();
        let constants =
            [Tensor::from_vec(vec![all, inputs, 1, 1], turned), Tensor::from_vec(vec![all], bias)];
        let mut conv = node.clone();
        rename(&mut conv, CONV);
        (conv.inputs, conv.attributes) = (vec![Some(blocks.id)], Attributes::default());
        for constant in constants {
            let id = self.graph.new_value("");
            self.graph.constants.insert(id, constant.ok()?);
            conv.inputs.push(Some(id));
        }
        let pixels = self.graph.new_value("");
        conv.outputs = vec![Some(pixels)];
        self.nodes.push(conv);
        let mut space = reorder(SPACE, pixels, node.outputs.first().copied().flatten()?, outputs);
        space.name.clone_from(&node.name);
        space.attributes.set("sides", Attribute::Ints(vec![height as i64, width as i64]));
        Some(space)
    }

    /// Where height and width alone change, as far as can be seen: the operator looks again when it runs.
    fn resize(&mut self, node: &Node, x: InBlocks) -> Option<Node> {
        let old = node.op == "Upsample" || node.version < 11;
        let crops = node.attributes.text("coordinate_transformation_mode", "").ok()? == "tf_crop_and_resize";
        let axes = node.attributes.find_ints("axes").ok()?.cloned().unwrap_or_else(|| vec![0, 1, 2, 3]);
        let place = |axis: i64| axes.iter().position(|a| *a == axis || *a == axis - 4);
        let listed =
            |input: usize| self.graph.constant(node, input).filter(|t| !t.is_empty()).map(|t| t.to_f64());
        let scales = match node.attributes.find_floats("scales").ok()? {
            Some(scales) => Some(scales.iter().map(|s| f64::from(*s)).collect()),
            None => listed(if old { 1 } else { 2 }),
        };
        let sizes = if old { None } else { listed(3) };
        let at = |list: &Option<Vec<f64>>, axis| {
            list.as_ref().zip(place(axis)).and_then(|(l, p)| l.get(p).copied())
        };
        let kept = [0, 1].into_iter().all(|axis| at(&scales, axis).is_none_or(|scale| scale == 1.0))
            && at(&sizes, 1).is_none_or(|channels| channels == x.channels as f64);
        if crops || !kept {
            return None;
        }
        let mut resized = self.replaced(node, Some(RESIZE), x.channels, &[x])?;
        resized.attributes.set("op", Attribute::Text(node.op.clone()));
        resized.attributes.set("opset", Attribute::Int(node.version));
        resized.attributes.set("channels", Attribute::Int(x.channels as i64));
        Some(resized)
    }

    /// Whether the node reduces height and width, and keeps their axes. What is in blocks has rank 4.
    fn is_global(&self, node: &Node) -> bool {
        let axes = match node.attributes.find_ints("axes") {
            Ok(Some(axes)) => Some(axes.clone()),
            _ => self.graph.constant(node, 1).and_then(|t| crate::engine::op::ints(t).ok()),
        };
        let kept = node.attributes.int("keepdims", 1).is_ok_and(|keep| keep != 0);
        let spatial = |axes: Vec<i64>| {
            let mut axes: Vec<i64> = axes.into_iter().map(|a| if a < 0 { a + 4 } else { a }).collect();
            axes.sort_unstable();
            axes == [2, 3]
        };
        kept && axes.is_some_and(spatial)
    }

    /// The node with its first inputs, and its output, in blocks.
    fn replaced(
        &mut self,
        node: &Node,
        op: Option<&str>,
        channels: usize,
        inputs: &[InBlocks],
    ) -> Option<Node> {
        let mut node = node.clone();
        if let Some(op) = op {
            rename(&mut node, op);
        }
        node.inputs.iter_mut().zip(inputs).for_each(|(input, blocks)| *input = Some(blocks.id));
        node.outputs.first().copied().flatten()?;
        self.give(&mut node, channels);
        Some(node)
    }

    /// Lets the node give its output in blocks.
    fn give(&mut self, node: &mut Node, channels: usize) {
        if let Some(Some(output)) = node.outputs.first().copied() {
            let id = self.graph.new_value("");
            self.blocks.insert(output, InBlocks { id, channels });
            node.outputs[0] = Some(id);
        }
    }

    fn need_blocks(&mut self, value: ValueId, channels: usize) -> ValueId {
        if let Some(blocks) = self.blocks.get(&value) {
            return blocks.id;
        }
        let id = self.graph.new_value("");
        self.nodes.push(reorder(BLOCKED, value, id, channels));
        self.planes.insert(value);
        self.blocks.insert(value, InBlocks { id, channels });
        id
    }

    fn need_planes(&mut self, value: ValueId) {
        let Some(blocks) = self.blocks.get(&value).copied() else { return };
        if self.planes.insert(value) {
            self.nodes.push(reorder(PLANES, blocks.id, value, blocks.channels));
        }
    }
}

fn rename(node: &mut Node, op: &str) {
    node.domain = DOMAIN.into();
    node.op = op.into();
    node.version = 1;
}

fn reorder(op: &str, from: ValueId, to: ValueId, channels: usize) -> Node {
    let mut attributes = Attributes::default();
    attributes.set("channels", Attribute::Int(channels as i64));
    Node {
        name: String::new(),
        domain: DOMAIN.into(),
        op: op.into(),
        version: 1,
        inputs: vec![Some(from)],
        outputs: vec![Some(to)],
        attributes,
    }
}
