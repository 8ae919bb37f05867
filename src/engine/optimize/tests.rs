//! Each pass keeps the result: graphs are run before and after.

use super::*;
use crate::engine::onnx::{Attributes, Node};
use crate::engine::program::Program;
use crate::engine::value::Value;
use crate::engine::weights::Ledger;
use crate::tensor::Tensor;
use burn_flex::{Flex, FlexDevice};

/// A graph over one input `x`, written node by node; each value has a name.
struct Sketch {
    graph: Graph,
}

impl Sketch {
    fn new() -> Self {
        let mut graph = Graph::default();
        let x = graph.new_value("x");
        graph.inputs.push(x);
        Self { graph }
    }

    fn id(&mut self, name: &str) -> usize {
        match self.graph.values.iter().position(|v| v == name) {
            Some(id) => id,
            None => self.graph.new_value(name),
        }
    }

    fn constant(mut self, name: &str, shape: &[usize]) -> Self {
        let count: usize = shape.iter().product();
        let elements = (0..count).map(|i| ((i * 37 + name.len() * 11) % 19) as f32 / 19.0 + 0.1).collect();
        let id = self.id(name);
        self.graph.constants.insert(id, Tensor::from_vec(shape.to_vec(), elements).unwrap());
        self
    }

    fn integers(mut self, name: &str, elements: &[i64]) -> Self {
        let id = self.id(name);
        let tensor = Tensor::from_vec(vec![elements.len()], elements.to_vec()).unwrap();
        self.graph.constants.insert(id, tensor);
        self
    }

    fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) -> Self {
        let inputs = inputs.iter().map(|name| (!name.is_empty()).then(|| self.id(name))).collect();
        let outputs = vec![Some(self.id(output))];
        let mut all = Attributes::default();
        attributes.iter().for_each(|(name, attribute)| all.set(name, attribute.clone()));
        let node = Node {
            name: output.to_owned(),
            domain: String::new(),
            op: op.to_owned(),
            version: 17,
            inputs,
            outputs,
            attributes: all,
        };
        self.graph.nodes.push(node);
        self
    }

    fn output(mut self, name: &str) -> Graph {
        let id = self.id(name);
        self.graph.outputs.push(id);
        self.graph
    }
}

fn cx() -> Context<Flex> {
    Context::alone(FlexDevice, 1 << 30)
}

fn run(graph: &Graph, shape: &[usize]) -> Vec<f64> {
    let count: usize = shape.iter().product();
    let elements = (0..count).map(|i| ((i * 29) % 23) as f32 / 23.0 - 0.5).collect();
    let x = Value::Host(Tensor::from_vec(shape.to_vec(), elements).unwrap()).on_device(&FlexDevice);
    let program =
        Program::build(graph, &FlexDevice, &Registry::<Flex>::standard(), &Ledger::unlimited()).unwrap();
    program.run(vec![x], &cx()).unwrap().remove(0).into_host().unwrap().to_f64()
}

/// Optimises; checks that the result stays and that these operators remain.
fn keeps(mut graph: Graph, shape: &[usize], remain: &[&str]) {
    let before = run(&graph, shape);
    optimize(&mut graph, &Registry::<Flex>::standard(), &cx());
    let ops: Vec<&str> = graph.nodes.iter().map(|n| n.op.as_str()).collect();
    assert_eq!(ops, remain);
    same(&before, &run(&graph, shape));
    for_host(&mut graph, &Registry::<Flex>::standard());
    same(&before, &run(&graph, shape));
}

fn same(before: &[f64], after: &[f64]) {
    assert_eq!(before.len(), after.len());
    for (a, b) in before.iter().zip(after) {
        assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{before:?}\n{after:?}");
    }
}

/// Checks as [`keeps`] does, for the pass of the CPU alone.
fn keeps_in_blocks(mut graph: Graph, shape: &[usize], remain: &[&str]) {
    let before = run(&graph, shape);
    for_host(&mut graph, &Registry::<Flex>::standard());
    let ops: Vec<&str> = graph.nodes.iter().map(|n| n.op.as_str()).collect();
    assert_eq!(ops, remain);
    same(&before, &run(&graph, shape));
}

/// A convolution of so many channels, in groups.
fn wide(sketch: Sketch, from: &str, to: &str, [out, input, kernel]: [usize; 3], groups: i64) -> Sketch {
    let (weight, pad) = (format!("w-{to}"), kernel as i64 / 2);
    let attributes = [("pads", Attribute::Ints(vec![pad; 4])), ("group", Attribute::Int(groups))];
    let sketch = sketch.constant(&weight, &[out, input, kernel, kernel]);
    sketch.node("Conv", &[from, &weight], to, &attributes)
}

#[test]
fn channels_stay_in_blocks_from_node_to_node() {
    let pool = [
        ("kernel_shape", Attribute::Ints(vec![3, 3])),
        ("strides", Attribute::Ints(vec![2, 2])),
        ("ceil_mode", Attribute::Int(1)),
    ];
    let sketch = wide(Sketch::new(), "x", "a", [24, 3, 3], 1).node("MaxPool", &["a"], "b", &pool);
    let sketch = wide(sketch, "b", "c", [24, 1, 3], 24).node("HardSwish", &["c"], "d", &[]);
    let sketch = sketch.node("AveragePool", &["d"], "e", &pool);
    let sketch = wide(wide(sketch, "e", "f", [40, 24, 1], 1), "e", "g", [40, 24, 3], 1);
    let sketch = sketch.node("Add", &["f", "g"], "h", &[]);
    let axes = [("axes", Attribute::Ints(vec![-1, -2]))];
    // Squeeze and excite, with either form of the mean.
    let sketch = wide(sketch.node("ReduceMean", &["h"], "i", &axes), "i", "j", [40, 40, 1], 1);
    let sketch = sketch.node("Sigmoid", &["j"], "k", &[]).node("Mul", &["k", "h"], "l", &[]);
    let sketch = sketch.node("GlobalAveragePool", &["l"], "m", &[]).node("Flatten", &["m"], "y", &[]);
    let remain = [
        "BlockedConv",
        "BlockedMaxPool",
        "BlockedConv",
        "HardSwish",
        "BlockedAveragePool",
        "BlockedConv",
        "BlockedConv",
        "Add",
        "BlockedGlobalAveragePool",
        "BlockedConv",
        "Sigmoid",
        "BlockedMul",
        "BlockedGlobalAveragePool",
        "Planes",
        "Flatten",
    ];
    keeps_in_blocks(sketch.output("y"), &[2, 3, 13, 10], &remain);
}

#[test]
fn what_cannot_read_blocks_is_given_planes_once() {
    let sketch = wide(Sketch::new(), "x", "a", [16, 12, 3], 1);
    let sketch = sketch.node("Softmax", &["a"], "b", &[("axis", Attribute::Int(1))]);
    let sketch = sketch.node("Abs", &["a"], "c", &[]).node("Sub", &["b", "c"], "d", &[]);
    // Groups of four channels have no form in blocks.
    let sketch = wide(sketch, "a", "e", [16, 4, 1], 4).node("Sub", &["d", "e"], "y", &[]);
    let remain = ["Blocked", "BlockedConv", "Planes", "Softmax", "Abs", "Sub", "Conv", "Sub"];
    keeps_in_blocks(sketch.output("y"), &[1, 12, 4, 5], &remain);
}

#[test]
fn channels_are_joined_in_blocks_whether_or_not_a_part_fills_its_own() {
    for (first, join) in [(32, "Concat"), (24, "BlockedConcat")] {
        let sketch = wide(wide(Sketch::new(), "x", "a", [first, 3, 1], 1), "x", "b", [20, 3, 1], 1);
        let sketch = sketch.node("Concat", &["a", "b"], "c", &[("axis", Attribute::Int(1))]);
        let graph = wide(sketch, "c", "y", [5, first + 20, 1], 1).output("y");
        keeps_in_blocks(graph, &[2, 3, 4, 3], &["BlockedConv", "BlockedConv", join, "BlockedConv", "Planes"]);
    }
}

#[test]
fn windows_that_do_not_overlap_are_pixels_side_by_side() {
    for window in [[2, 2], [3, 2], [4, 4]] {
        let strides = [("strides", Attribute::Ints(window.map(|side| side as i64).to_vec()))];
        let sketch =
            wide(Sketch::new(), "x", "a", [20, 3, 1], 1).constant("w", &[20, 3, window[0], window[1]]);
        let sketch = sketch.constant("b", &[3]).node("ConvTranspose", &["a", "w", "b"], "y", &strides);
        keeps_in_blocks(sketch.output("y"), &[2, 3, 4, 3], &["BlockedConv", "BlockedConv", "Space"]);
    }
}

#[test]
fn pictures_are_resized_and_transposed_convolutions_run_in_blocks() {
    let linear = [
        ("mode", Attribute::Text("linear".into())),
        ("coordinate_transformation_mode", Attribute::Text("align_corners".into())),
    ];
    let doubled = [("strides", Attribute::Ints(vec![2, 3])), ("pads", Attribute::Ints(vec![1, 0, 0, 1]))];
    // Sizes as exporters write them: those of the batch and the channels from the picture itself.
    let sketch = wide(Sketch::new(), "x", "a", [20, 3, 1], 1).constant("w", &[20, 18, 3, 2]);
    let sketch = sketch.node("ConvTranspose", &["a", "w"], "b", &doubled);
    let sketch = sketch.node("Shape", &["b"], "s", &[("end", Attribute::Int(2))]).integers("hw", &[9, 5]);
    let sketch = sketch.node("Concat", &["s", "hw"], "sizes", &[("axis", Attribute::Int(0))]);
    let sketch = sketch.node("Resize", &["b", "", "", "sizes"], "c", &linear);
    let remain = [
        "BlockedConv",
        "BlockedConvTranspose",
        "BlockedShape",
        "Concat",
        "BlockedResize",
        "BlockedConv",
        "Planes",
    ];
    keeps_in_blocks(wide(sketch, "c", "y", [4, 18, 3], 1).output("y"), &[2, 3, 4, 3], &remain);
}

#[test]
fn a_convolution_takes_in_what_its_channels_are_multiplied_by() {
    // Of a picture that is large against the weights, and of a small one.
    for size in [[24, 20], [2, 2]] {
        let sketch = wide(Sketch::new(), "x", "a", [20, 3, 1], 1);
        let sketch = wide(sketch.node("GlobalAveragePool", &["a"], "b", &[]), "b", "c", [20, 20, 1], 1);
        let sketch = sketch.node("Sigmoid", &["c"], "d", &[]).node("Mul", &["d", "a"], "e", &[]);
        let sketch = wide(wide(sketch, "e", "f", [40, 20, 1], 1), "a", "g", [40, 20, 1], 1);
        let graph = sketch.node("Add", &["f", "g"], "y", &[]).output("y");
        let remain = [
            "BlockedConv",
            "BlockedGlobalAveragePool",
            "BlockedConv",
            "Sigmoid",
            "BlockedConv",
            "BlockedConv",
            "Add",
            "Planes",
        ];
        keeps_in_blocks(graph, &[2, 3, size[0], size[1]], &remain);
    }
}

#[test]
fn a_normalisation_before_a_convolution_runs_in_blocks() {
    for (reads, remain) in [
        (1, &["BlockedConv", "BlockedConv", "BlockedConv", "Planes"][..]),
        (2, &["BlockedConv", "BlockedConv", "Relu", "BlockedConv", "Add", "Planes"]),
    ] {
        let sketch = wide(Sketch::new(), "x", "a", [20, 3, 1], 1);
        let names = ["scale", "shift", "mean", "var"];
        let sketch = names.iter().fold(sketch, |sketch, name| sketch.constant(name, &[20]));
        let sketch = sketch.node("BatchNormalization", &["a", "scale", "shift", "mean", "var"], "b", &[]);
        let sketch = wide(sketch.node("Relu", &["b"], "c", &[]), "c", "d", [20, 20, 3], 1);
        let graph = if reads == 1 {
            sketch.output("d")
        } else {
            sketch.node("Add", &["d", "b"], "y", &[]).output("y")
        };
        keeps_in_blocks(graph, &[2, 3, 4, 3], remain);
    }
}

#[test]
fn a_picture_whose_channels_are_resized_leaves_the_blocks() {
    let sketch = wide(Sketch::new(), "x", "a", [20, 3, 1], 1).integers("sizes", &[1, 10, 8, 8]);
    let graph = sketch.node("Resize", &["a", "", "", "sizes"], "y", &[]).output("y");
    keeps_in_blocks(graph, &[1, 3, 4, 3], &["BlockedConv", "Planes", "Resize"]);
}

#[test]
fn operands_that_broadcast_over_channels_are_not_taken_into_blocks() {
    // One channel against many: in blocks they would not line up.
    let sketch = wide(wide(Sketch::new(), "x", "a", [20, 3, 1], 1), "x", "b", [1, 3, 1], 1);
    let graph = sketch.node("Mul", &["a", "b"], "y", &[]).output("y");
    keeps_in_blocks(graph, &[1, 3, 4, 3], &["BlockedConv", "BlockedConv", "Planes", "Planes", "Mul"]);
}

fn conv(sketch: Sketch, from: &str, to: &str) -> Sketch {
    let weight = format!("w-{to}");
    let pads = ("pads", Attribute::Ints(vec![1; 4]));
    sketch.constant(&weight, &[4, 4, 3, 3]).node("Conv", &[from, &weight], to, &[pads])
}

fn norm(sketch: Sketch, from: &str, to: &str) -> Sketch {
    let sketch = sketch.constant("scale", &[4]).constant("bias", &[4]).constant("mean", &[4]);
    sketch.constant("var", &[4]).node("BatchNormalization", &[from, "scale", "bias", "mean", "var"], to, &[])
}

#[test]
fn a_residual_block_becomes_two_convolutions() {
    let sketch = norm(conv(Sketch::new(), "x", "a"), "a", "b").node("Relu", &["b"], "c", &[]);
    let sketch = norm(conv(sketch, "c", "d"), "d", "e").node("Add", &["e", "x"], "f", &[]);
    keeps(sketch.node("Relu", &["f"], "y", &[]).output("y"), &[2, 4, 5, 5], &["FusedConv", "FusedConv"]);
}

#[test]
fn a_sum_that_broadcasts_keeps_its_result() {
    let sketch = conv(Sketch::new(), "x", "a").node("GlobalAveragePool", &["x"], "b", &[]);
    let graph = sketch.node("Add", &["a", "b"], "c", &[]).node("Relu", &["c"], "y", &[]).output("y");
    let mut optimised = graph.clone();
    let before = run(&graph, &[1, 4, 6, 6]);
    optimize(&mut optimised, &Registry::<Flex>::standard(), &cx());
    let after = run(&optimised, &[1, 4, 6, 6]);
    assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn a_value_that_is_read_twice_is_not_merged_away() {
    let sketch = conv(Sketch::new(), "x", "a").node("Relu", &["a"], "b", &[]);
    keeps(sketch.node("Mul", &["a", "b"], "y", &[]).output("y"), &[1, 4, 3, 3], &["Conv", "Relu", "Mul"]);
}

#[test]
fn a_transposed_convolution_takes_its_normalisation_in() {
    let sketch = Sketch::new().constant("w", &[4, 2, 2, 2]);
    let attributes = [("strides", Attribute::Ints(vec![2, 2])), ("group", Attribute::Int(2))];
    let sketch = sketch.node("ConvTranspose", &["x", "w"], "a", &attributes);
    keeps(norm(sketch, "a", "y").output("y"), &[1, 4, 3, 3], &["ConvTranspose"]);
}

#[test]
fn scales_of_channels_are_merged() {
    let sketch = conv(Sketch::new(), "x", "a").constant("gamma", &[1, 4, 1, 1]).constant("beta", &[4, 1, 1]);
    let sketch = sketch.node("Mul", &["gamma", "a"], "b", &[]).node("Sub", &["b", "beta"], "y", &[]);
    keeps(sketch.output("y"), &[1, 4, 3, 3], &["Conv"]);
}

#[test]
fn what_is_constant_is_computed_and_what_is_unread_dropped() {
    let sketch = Sketch::new().constant("a", &[4]).constant("b", &[4]).node("Mul", &["a", "b"], "c", &[]);
    let sketch = sketch.node("Identity", &["x"], "x2", &[]).node("Exp", &["x2"], "unread", &[]);
    keeps(sketch.node("Add", &["x2", "c"], "y", &[]).output("y"), &[2, 4], &["Add"]);
}

#[test]
fn a_clip_with_known_bounds_is_merged() {
    let mut sketch = conv(Sketch::new(), "x", "a");
    for (name, bound) in [("low", 0f32), ("high", 0.5)] {
        let id = sketch.id(name);
        sketch.graph.constants.insert(id, Tensor::from_vec(vec![], vec![bound]).unwrap());
    }
    keeps(sketch.node("Clip", &["a", "low", "high"], "y", &[]).output("y"), &[1, 4, 4, 4], &["FusedConv"]);
}

#[test]
fn gates_are_recognised() {
    let sketch = Sketch::new().node("Sigmoid", &["x"], "s", &[]).node("Mul", &["s", "x"], "y", &[]);
    keeps(sketch.output("y"), &[40], &["Swish"]);
    let scalars = |mut sketch: Sketch| {
        for (name, value) in [("root", std::f32::consts::SQRT_2), ("one", 1.0), ("half", 0.5)] {
            let id = sketch.id(name);
            sketch.graph.constants.insert(id, Tensor::from_vec(vec![], vec![value]).unwrap());
        }
        let sketch = sketch.node("Div", &["x", "root"], "d", &[]).node("Erf", &["d"], "e", &[]);
        sketch.node("Add", &["e", "one"], "a", &[])
    };
    // As PyTorch's two exporters write it.
    let old = scalars(Sketch::new()).node("Mul", &["x", "a"], "m", &[]).node("Mul", &["m", "half"], "y", &[]);
    keeps(old.output("y"), &[40], &["Gelu"]);
    let new = scalars(Sketch::new()).node("Mul", &["half", "x"], "m", &[]).node("Mul", &["m", "a"], "y", &[]);
    keeps(new.output("y"), &[40], &["Gelu"]);
}

fn number(mut sketch: Sketch, name: &str, value: f32) -> Sketch {
    let id = sketch.id(name);
    sketch.graph.constants.insert(id, Tensor::from_vec(vec![], vec![value]).unwrap());
    sketch
}

#[test]
fn gelu_by_tanh_is_recognised() {
    for cube in [true, false] {
        let mut sketch = Sketch::new();
        for (name, value) in
            [("three", 3.0), ("small", 0.044715), ("root", 0.797_884_6), ("one", 1.0), ("half", 0.5)]
        {
            sketch = number(sketch, name, value);
        }
        let sketch = if cube {
            sketch.node("Pow", &["x", "three"], "c", &[])
        } else {
            sketch.node("Mul", &["x", "x"], "s", &[]).node("Mul", &["x", "s"], "c", &[])
        };
        let sketch = sketch.node("Mul", &["c", "small"], "m", &[]).node("Add", &["x", "m"], "a", &[]);
        let sketch = sketch.node("Mul", &["a", "root"], "i", &[]).node("Tanh", &["i"], "t", &[]);
        let sketch = sketch.node("Add", &["one", "t"], "p", &[]).node("Mul", &["half", "x"], "h", &[]);
        keeps(sketch.node("Mul", &["h", "p"], "y", &[]).output("y"), &[3, 9], &["Gelu"]);
    }
}

/// mean, difference, square, mean of squares and deviation of `x` over its last axis, the way exporters do.
fn normalised(sketch: Sketch, centred: bool) -> Sketch {
    let last = [("axes", Attribute::Ints(vec![-1]))];
    let sketch = number(number(sketch, "two", 2.0), "epsilon", 1e-3);
    let (sketch, off) = if centred {
        let sketch = sketch.node("ReduceMean", &["x"], "mean", &last);
        (sketch.node("Sub", &["x", "mean"], "off", &[]), "off")
    } else {
        (sketch, "x")
    };
    let sketch =
        sketch.node("Pow", &[off, "two"], "square", &[]).node("ReduceMean", &["square"], "var", &last);
    sketch.node("Add", &["var", "epsilon"], "sum", &[]).node("Sqrt", &["sum"], "deviation", &[])
}

#[test]
fn normalisations_written_out_are_recognised() {
    let sketch = normalised(Sketch::new(), true).constant("scale", &[8]).constant("shift", &[8]);
    let sketch = sketch.node("Div", &["off", "deviation"], "n", &[]).node("Mul", &["n", "scale"], "m", &[]);
    keeps(sketch.node("Add", &["m", "shift"], "y", &[]).output("y"), &[2, 3, 8], &["LayerNormalization"]);
    let sketch = normalised(Sketch::new(), false).constant("scale", &[8]);
    let sketch = sketch.node("Reciprocal", &["deviation"], "r", &[]).node("Mul", &["x", "r"], "n", &[]);
    let graph = sketch.node("Mul", &["scale", "n"], "y", &[]).output("y");
    keeps(graph, &[2, 3, 8], &["SimplifiedLayerNormalization"]);
}

#[test]
fn a_normalisation_whose_parts_are_read_elsewhere_stays() {
    let sketch = normalised(Sketch::new(), true).constant("scale", &[8]);
    let sketch = sketch.node("Div", &["off", "deviation"], "n", &[]).node("Mul", &["n", "scale"], "m", &[]);
    // The differences from the mean are wanted too: what can be merged is what comes after them.
    let graph = sketch.node("Add", &["m", "off"], "y", &[]).output("y");
    keeps(graph, &[2, 8], &["ReduceMean", "Sub", "SimplifiedLayerNormalization", "Add"]);
}

#[test]
fn attention_is_recognised() {
    let perm = |axes: [i64; 4]| [("perm", Attribute::Ints(axes.to_vec()))];
    let sketch = number(Sketch::new(), "eight", 2.83).constant("mask", &[1, 1, 1, 5]);
    let sketch = sketch.node("Transpose", &["x"], "q", &perm([0, 2, 1, 3]));
    let sketch = sketch.node("Transpose", &["x"], "k", &perm([0, 2, 3, 1]));
    let sketch = sketch.node("Relu", &["x"], "r", &[]).node("Transpose", &["r"], "v", &perm([0, 2, 1, 3]));
    let sketch = sketch.node("MatMul", &["q", "k"], "s", &[]).node("Div", &["s", "eight"], "d", &[]);
    let sketch = sketch.node("Add", &["d", "mask"], "m", &[]);
    let sketch = sketch.node("Softmax", &["m"], "w", &[("axis", Attribute::Int(-1))]);
    let graph = sketch.node("MatMul", &["w", "v"], "y", &[]).output("y");
    keeps(graph, &[2, 5, 3, 8], &["Transpose", "Transpose", "Relu", "Transpose", "Attend"]);
}

/// Attention as PyTorch's older exporter writes it: three axes, both sides scaled.
#[test]
fn attention_of_three_axes_is_recognised() {
    let turned = [("perm", Attribute::Ints(vec![0, 2, 1]))];
    let sketch = number(Sketch::new(), "root", 0.6).node("Transpose", &["x"], "t", &turned);
    let sketch = sketch.node("Mul", &["x", "root"], "q", &[]).node("Mul", &["t", "root"], "k", &[]);
    let sketch = sketch.node("MatMul", &["q", "k"], "s", &[]).node("Relu", &["x"], "v", &[]);
    let sketch = sketch.node("Softmax", &["s"], "w", &[("axis", Attribute::Int(-1))]);
    let graph = sketch.node("MatMul", &["w", "v"], "y", &[]).output("y");
    keeps(graph, &[3, 20, 6], &["Transpose", "Relu", "Attend"]);
}

#[test]
fn attention_whose_weights_are_read_elsewhere_stays() {
    let turned = [("perm", Attribute::Ints(vec![0, 2, 1]))];
    let sketch = Sketch::new().node("Transpose", &["x"], "k", &turned).node("MatMul", &["x", "k"], "s", &[]);
    let sketch = sketch.node("Softmax", &["s"], "w", &[("axis", Attribute::Int(-1))]);
    let sketch = sketch.node("MatMul", &["w", "x"], "a", &[]).node("MatMul", &["w", "a"], "y", &[]);
    let ops = ["Transpose", "MatMul", "Softmax", "MatMul", "MatMul"];
    keeps(sketch.output("y"), &[3, 6, 4], &ops);
}

#[test]
fn what_follows_a_product_is_merged_into_it() {
    let sketch = Sketch::new().constant("w", &[6, 8]).constant("b", &[8]).constant("v", &[8, 6]);
    let sketch = sketch.node("MatMul", &["x", "w"], "m", &[]).node("Add", &["b", "m"], "a", &[]);
    let sketch = sketch.node("Relu", &["a"], "r", &[]).node("MatMul", &["r", "v"], "n", &[]);
    let sketch = sketch.node("Add", &["n", "x"], "s", &[]).node("Tanh", &["s"], "y", &[]);
    keeps(sketch.output("y"), &[2, 3, 6], &["Linear", "Linear"]);
}

#[test]
fn layers_keep_their_results() {
    let flag = [("transB", Attribute::Int(1))];
    let sketch = Sketch::new().constant("w", &[5, 6]).constant("b", &[5]);
    let sketch = sketch.node("Gemm", &["x", "w", "b"], "g", &flag).node("Sigmoid", &["g"], "y", &[]);
    keeps(sketch.output("y"), &[3, 6], &["Linear"]);
    // A scale of its own, and a matrix that is added: not ours.
    let scaled = [("alpha", Attribute::Float(0.5))];
    let sketch = Sketch::new().constant("w", &[6, 5]).node("Gemm", &["x", "w"], "y", &scaled);
    keeps(sketch.output("y"), &[3, 6], &["Gemm"]);
    // A sum that makes the result larger, and one of a product that is read again.
    let sketch = Sketch::new().constant("w", &[6, 6]).node("MatMul", &["x", "w"], "m", &[]);
    let axes = [("axes", Attribute::Ints(vec![0]))];
    let sketch = sketch.node("ReduceSum", &["m"], "t", &[]).node("ReduceMax", &["x"], "r", &axes);
    let sketch = sketch.node("MatMul", &["r", "w"], "n", &[]).node("Add", &["n", "x"], "a", &[]);
    let graph = sketch.node("Add", &["a", "t"], "y", &[]).output("y");
    keeps(graph, &[4, 6], &["Linear", "ReduceSum", "ReduceMax", "Linear", "Add"]);
}

#[test]
fn a_vector_is_a_row() {
    let sketch = Sketch::new().constant("w", &[6, 5]).constant("b", &[5]);
    let sketch = sketch.node("MatMul", &["x", "w"], "m", &[]).node("Add", &["m", "b"], "y", &[]);
    keeps(sketch.output("y"), &[6], &["Linear"]);
}

#[test]
fn transposes_cancel() {
    let perm = |axes: [i64; 4]| [("perm", Attribute::Ints(axes.to_vec()))];
    let sketch = Sketch::new().node("Transpose", &["x"], "a", &perm([0, 2, 3, 1]));
    let sketch = sketch.node("Relu", &["a"], "b", &[]).node("Transpose", &["b"], "c", &perm([0, 3, 1, 2]));
    keeps(sketch.node("Abs", &["c"], "y", &[]).output("y"), &[1, 2, 3, 4], &["Relu", "Abs"]);
    // Two that do not undo each other are one; what the first gives may be read elsewhere.
    let sketch = Sketch::new().node("Transpose", &["x"], "a", &perm([0, 2, 3, 1]));
    let sketch = sketch.node("Transpose", &["a"], "b", &perm([0, 2, 3, 1])).node("Shape", &["a"], "s", &[]);
    let sketch = sketch.node("Reshape", &["b", "s"], "y", &[]);
    keeps(sketch.output("y"), &[1, 2, 3, 4], &["Transpose", "Transpose", "Shape", "Reshape"]);
    let sketch = Sketch::new().node("Transpose", &["x"], "a", &perm([0, 3, 1, 2]));
    keeps(
        sketch.node("Transpose", &["a"], "y", &perm([0, 2, 3, 1])).output("y"),
        &[1, 2, 3, 4],
        &["Identity"],
    );
}

#[test]
fn what_is_computed_twice_is_computed_once() {
    let sketch = Sketch::new().constant("c", &[4]).constant("d", &[4]);
    let sketch = sketch.node("Add", &["x", "c"], "a", &[]).node("Add", &["x", "d"], "b", &[]);
    let sketch = sketch.node("Softmax", &["a"], "e", &[("axis", Attribute::Int(0))]);
    let sketch = sketch.node("Softmax", &["b"], "f", &[("axis", Attribute::Int(1))]);
    keeps(
        sketch.node("Sub", &["e", "f"], "y", &[]).output("y"),
        &[3, 4],
        &["Add", "Softmax", "Softmax", "Sub"],
    );
}

#[test]
fn a_pass_tells_what_it_did() {
    let sketch = norm(conv(Sketch::new(), "x", "a"), "a", "b").node("Relu", &["b"], "y", &[]);
    let mut graph = sketch.output("y");
    let applied = optimize(&mut graph, &Registry::<Flex>::standard(), &cx());
    let told: Vec<String> =
        applied.iter().map(|a| format!("{} -> {}: {:?}", a.before, a.after, a.changed)).collect();
    let merged = r#"2 -> 1: {"Conv": -1, "Relu": -1, "com.microsoft.FusedConv": 1}"#;
    assert_eq!(told, [r#"3 -> 2: {"BatchNormalization": -1}"#, merged]);
}

#[test]
fn a_constant_that_would_be_large_or_slow_is_left_to_the_run() {
    let mut sketch = Sketch::new().constant("big", &[300, 300]);
    let id = sketch.id("shape");
    sketch.graph.constants.insert(id, Tensor::from_vec(vec![2], vec![1i64 << 20, 1 << 20]).unwrap());
    let sketch = sketch.node("MatMul", &["big", "big"], "m", &[]).node("Add", &["x", "m"], "a", &[]);
    let sketch = number(sketch, "one", 1.0).node("Expand", &["one", "shape"], "e", &[]);
    let mut graph = sketch.node("Add", &["a", "e"], "y", &[]).output("y");
    optimize(&mut graph, &Registry::<Flex>::standard(), &cx());
    let ops: Vec<&str> = graph.nodes.iter().map(|n| n.op.as_str()).collect();
    assert_eq!(ops, ["MatMul", "Add", "Expand", "Add"]);
}
