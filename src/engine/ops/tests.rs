//! Every operator ends soon once its run is to end, also where one call of it takes long.

use super::*;
use crate::engine::onnx::{Attribute, Attributes, Graph, Node};
use crate::engine::program::Program;
use crate::engine::weights::Ledger;
use crate::scheduler::{Stopped, Stopping};
use crate::tensor::Tensor;
use burn_flex::{Flex, FlexDevice};
use std::time::{Duration, Instant};

/// A program of one node, whose inputs are those of the graph.
fn program(op: &str, version: i64, inputs: usize, attributes: &[(&str, Attribute)]) -> Program<Flex> {
    let mut all = Attributes::default();
    attributes.iter().for_each(|(name, value)| all.set(name, value.clone()));
    let node = Node {
        name: String::new(),
        domain: String::new(),
        op: op.to_owned(),
        version,
        inputs: (0..inputs).map(Some).collect(),
        outputs: vec![Some(inputs)],
        attributes: all,
    };
    let values = vec![String::new(); inputs + 1];
    let graph = Graph {
        values,
        inputs: (0..inputs).collect(),
        outputs: vec![inputs],
        nodes: vec![node],
        ..Graph::default()
    };
    Program::build(&graph, &FlexDevice, &Registry::standard(), &Ledger::unlimited()).unwrap()
}

/// How long it runs, to its end or with a run that is to end from the beginning.
fn took(program: &Program<Flex>, inputs: &[Tensor], stopped: bool) -> Duration {
    let cx = Context::alone(FlexDevice, 1 << 32);
    let values = inputs.iter().map(|tensor| {
        let value = Value::<Flex>::Host(tensor.clone());
        if tensor.dtype().is_float() { value.on_device(&FlexDevice) } else { value }
    });
    let values: Vec<_> = values.collect();
    if stopped {
        cx.run.stop().stop(Stopped::Abandoned);
    }
    let _stopping = Stopping::begin(cx.run.stop());
    let began = Instant::now();
    let ran = program.run(values, &cx);
    assert_eq!(ran.is_err(), stopped, "{:?}", ran.err().map(|error| error.to_string()));
    began.elapsed()
}

const MANY: usize = 1 << 20;

fn floats(shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    Tensor::from_vec(shape.to_vec(), (0..len).map(|i| (i % 7) as f32 + 0.5).collect()).unwrap()
}

fn ints(shape: &[usize], of: impl Fn(usize) -> usize) -> Tensor {
    let len: usize = shape.iter().product();
    Tensor::from_vec(shape.to_vec(), (0..len).map(|i| of(i) as i64).collect()).unwrap()
}

#[test]
fn what_takes_long_in_one_node_is_given_up_within_it() {
    let number = |value: usize| ints(&[], |_| value);
    let many = || ints(&[MANY], |i| i % 7);
    let list = |value: usize| ints(&[1], |_| value);
    let to = |code: i64| vec![("to", Attribute::Int(code))];
    let bools = Tensor::from_bools(vec![MANY], vec![true; MANY]).unwrap();
    let window = vec![("kernel_shape", Attribute::Ints(vec![4096]))];
    let mut long = vec![];
    for (op, version, inputs, attributes) in [
        ("ConstantOfShape", 20, vec![list(MANY)], vec![]),
        ("Expand", 13, vec![list(1), list(MANY)], vec![]),
        ("Tile", 13, vec![list(1), list(MANY)], vec![]),
        ("Range", 11, vec![number(0), number(MANY), number(1)], vec![]),
        ("Not", 1, vec![bools], vec![]),
        ("Cast", 13, vec![floats(&[MANY])], to(7)),
        ("Cast", 13, vec![many()], to(1)),
        ("Add", 14, vec![many(), list(1)], vec![]),
        ("Less", 13, vec![many(), list(3)], vec![]),
        ("ReduceSum", 13, vec![many()], vec![]),
        ("GatherElements", 13, vec![many(), many()], vec![]),
        ("ScatterElements", 18, vec![many(), many(), many()], vec![]),
        ("Gather", 13, vec![many(), many()], vec![]),
        ("Acosh", 9, vec![floats(&[MANY])], vec![]),
        ("Softplus", 1, vec![floats(&[MANY])], vec![]),
        ("MaxPool", 12, vec![floats(&[1, 1, 1 << 13])], window),
    ] {
        let program = program(op, version, inputs.len(), &attributes);
        let (whole, part) = (took(&program, &inputs, false), took(&program, &inputs, true));
        if part > whole / 3 + Duration::from_millis(5) {
            long.push(format!("{op}: {part:?} of {whole:?}"));
        }
    }
    assert!(long.is_empty(), "{long:?}");
}
