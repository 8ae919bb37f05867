//! Files that are small beside the work or the memory that they ask for: each is refused, or loaded at a cost in
//! proportion to what it has.

use super::protobuf::{
    Model, attribute_floats, attribute_graph, attribute_int, attribute_ints, attribute_of_call, domain,
    function, node, of_graph_with, tensor_external, tensor_raw,
};
use bytes::Bytes;
use rserve::engine::{self, Item};
use rserve::plan::DeviceId;
use rserve::scheduler::{StopFlag, Stopped, Stopping};
use rserve::store::{Content, ModelFiles};
use rserve::tensor::Tensor;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Loads it within the time that any file may take; gives the refusal.
fn load(files: impl Into<ModelFiles>) -> Result<(), String> {
    let began = Instant::now();
    let loaded = engine::load(files, DeviceId::Cpu).map(drop).map_err(|e| e.to_string());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    loaded
}

fn refusal(bytes: Vec<u8>) -> String {
    load(Bytes::from(bytes)).unwrap_err()
}

#[test]
fn a_graph_inside_a_node_may_read_a_hundred_thousand_names() {
    let mut inner = Model::new();
    for index in 0..100_000 {
        inner = inner.node(node("Relu", "", &[&format!("outer{index}")], &[&format!("inner{index}")], &[]));
    }
    let branches = [attribute_graph("then_branch", &inner.graph()), attribute_graph("else_branch", &[])];
    let error = refusal(Model::new().node(node("If", "choose", &["x"], &["y"], &branches)).bytes());
    assert!(error.contains("\"outer0\", which nothing in the model gives"), "{error}");
}

/// The permutations of the axes of a tensor, in order.
fn permutations(rank: usize, count: usize) -> Vec<Vec<i64>> {
    let mut all = vec![(0..rank as i64).collect::<Vec<_>>()];
    while all.len() < count {
        let mut next = all[all.len() - 1].clone();
        let Some(at) = (1..rank).rev().find(|at| next[at - 1] < next[*at]) else { break };
        let with = (at..rank).rev().find(|i| next[*i] > next[at - 1]).unwrap();
        next.swap(at - 1, with);
        next[at..].reverse();
        all.push(next);
    }
    all
}

#[test]
fn one_transpose_may_be_read_by_twenty_thousand() {
    let eight: Vec<u8> = [-1i64, 2, 1, 1, 1, 1, 1, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let turned = attribute_ints("perm", &[1, 0, 2, 3, 4, 5, 6, 7]);
    let mut model = Model::new()
        .initializer(tensor_raw("eight", 7, &[8], &eight))
        .node(node("Reshape", "long", &["x", "eight"], &["r"], &[]))
        .node(node("Transpose", "first", &["r"], &["t"], &[turned]));
    let all = permutations(8, 20_000);
    let shapes: Vec<String> = (0..all.len()).map(|index| format!("s{index}")).collect();
    for (index, (perm, shape)) in all.iter().zip(&shapes).enumerate() {
        let name = format!("t{index}");
        model = model
            .node(node("Transpose", &name, &["t"], &[&name], &[attribute_ints("perm", perm)]))
            .node(node("Shape", shape, &[&name], &[shape], &[]));
    }
    let shapes: Vec<&str> = shapes.iter().map(String::as_str).collect();
    let model = model.node(node("Max", "all", &shapes, &["m"], &[])).node(node(
        "Cast",
        "cast",
        &["m"],
        &["y"],
        &[attribute_int("to", 1)],
    ));
    let inputs = vec![Item::Tensor(Tensor::from_vec(vec![1, 2], vec![1f32, 2.0]).unwrap())];
    let began = Instant::now();
    let outputs = engine::compute(Bytes::from(model.bytes()), inputs, DeviceId::Cpu).unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let [Item::Tensor(y)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(y.to_f64(), [2.0; 8]);
}

#[test]
fn names_and_attributes_of_calls_count_for_every_node_that_they_are_given_to() {
    let call = |name: &str, attributes: &[Vec<u8>]| {
        Model::new().node([node("many", name, &["x"], &["y"], attributes), domain("local")].concat())
    };
    let relus: Vec<Vec<u8>> = (0..2000).map(|n| node("Relu", "", &["v"], &[&format!("r{n}")], &[])).collect();
    let many = function("local", "many", &["v"], &["r0"], &relus);
    let long = "n".repeat(1 << 20);
    let error = refusal(of_graph_with(&call(&long, &[]), std::slice::from_ref(&many)));
    assert!(error.contains("once they are written out"), "{error}");
    assert_eq!(load(Bytes::from(of_graph_with(&call("short", &[]), &[many]))), Ok(()));

    let taken =
        |n| node("Constant", "", &[], &[&format!("r{n}")], &[attribute_of_call("value_floats", "list")]);
    let many = function("local", "many", &["v"], &["r0"], &(0..2000).map(taken).collect::<Vec<_>>());
    let list = attribute_floats("list", &vec![1.0; 1 << 18]);
    let error = refusal(of_graph_with(&call("call", &[list]), std::slice::from_ref(&many)));
    assert!(error.contains("once they are written out"), "{error}");
    let list = attribute_floats("list", &[1.0, 2.0]);
    assert_eq!(load(Bytes::from(of_graph_with(&call("call", &[list]), &[many]))), Ok(()));
}

#[test]
fn a_node_has_no_more_attributes_than_any_operator_takes() {
    let attributes: Vec<Vec<u8>> = (0..200_000).map(|n| attribute_int(&format!("a{n}"), n)).collect();
    let error = refusal(Model::new().node(node("Relu", "wide", &["x"], &["y"], &attributes)).bytes());
    assert!(error.contains("Relu \"wide\" has 200000 attributes; 1000 are the most"), "{error}");
}

/// Each convolution packs its weights for itself.
#[test]
fn weights_that_many_nodes_share_are_not_multiplied_without_end() {
    let shared = |count: usize| {
        let weight = tensor_raw("w", 1, &[512, 512, 1, 1], &vec![0; 1 << 20]);
        let mut model = Model::new().initializer(weight);
        let names: Vec<String> = (0..count).map(|index| format!("c{index}")).collect();
        for (index, name) in names.iter().enumerate() {
            let pads = attribute_ints("pads", &[index as i64, 0, 0, 0]);
            model = model.node(node("Conv", name, &["x", "w"], &[name], &[pads]));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        model.node(node("Concat", "all", &names, &["y"], &[attribute_int("axis", 2)])).bytes()
    };
    assert_eq!(load(Bytes::from(shared(4))), Ok(()));
    let error = refusal(shared(400));
    assert!(error.contains("the weights that nodes share"), "{error}");
}

/// It panicked, which was contained, but named no operator.
#[test]
fn a_quantised_convolution_without_filters_is_refused_or_fails() {
    let scalar = |name: &str, kind: i64, bytes: &[u8]| tensor_raw(name, kind, &[], bytes);
    let scales = tensor_raw("zeros", 2, &[2], &[0, 0]);
    let model = Model::new()
        .initializer(scalar("w", 2, &[1]))
        .initializer(scalar("zero", 2, &[0]))
        .initializer(scales)
        .node(node("Cast", "bytes", &["x"], &["b"], &[attribute_int("to", 2)]))
        .node(node("ConvInteger", "conv", &["b", "w", "zero", "zeros"], &["i"], &[]))
        .node(node("Cast", "floats", &["i"], &["y"], &[attribute_int("to", 1)]));
    let x = Item::Tensor(Tensor::from_vec(vec![1, 2], vec![1f32, 1.0]).unwrap());
    let error = match engine::compute(Bytes::from(model.bytes()), vec![x], DeviceId::Cpu) {
        Ok(ran) => ran.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("conv") && !error.contains("out of bounds"), "{error}");
}

#[test]
fn weights_may_lie_beyond_two_gigabytes() {
    let zeros = Bytes::from(vec![0u8; 1 << 20]);
    let mut file = Content::default();
    // The same memory again and again.
    (0..5000).for_each(|_| file.push(zeros.clone()));
    let offset = file.len() - 3;
    file.push([3f32, 5.0].iter().flat_map(|v| v.to_le_bytes()).collect());
    let add = |offset: usize| {
        let entries = [("location", "w.bin"), ("offset", &offset.to_string()), ("length", "8")];
        let model = Model::new().node(node("Add", "sum", &["x", "w"], &["y"], &[]));
        let onnx = model.initializer(tensor_external("w", 1, &[2], &entries)).bytes().into();
        let data = BTreeMap::from([("w.bin".to_owned(), file.clone())]);
        let x = Item::Tensor(Tensor::from_vec(vec![1, 2], vec![1f32, 1.0]).unwrap());
        engine::compute(ModelFiles { onnx, data }, vec![x], DeviceId::Cpu).map_err(|e| e.to_string())
    };
    assert!(offset > 1 << 32);
    let outputs = add(offset + 3).unwrap().unwrap();
    let [Item::Tensor(y)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(y.to_f64(), [4.0, 6.0]);
    // Over the edge of a piece.
    assert!(add(offset).is_ok());
    assert!(add(offset + 4).unwrap_err().contains("beyond the end"));
}

/// A load that was not done in time went on to its end.
#[test]
fn a_load_that_was_given_up_ends() {
    let model = Model::new().node(node("Relu", "relu", &["x"], &["y"], &[]));
    let flag = StopFlag::default();
    flag.stop(Stopped::TooLong);
    let _stopping = Stopping::begin(&flag);
    assert_eq!(load(Bytes::from(model.bytes())), Err("the load was given up".to_owned()));
}
