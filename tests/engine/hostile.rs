//! Files that mean harm, or were cut or garbled on their way: refused with a reason, or run; never a crash,
//! never a hang.

use super::protobuf::{Model, attribute_graph, attribute_int, attribute_ints, node, tensor_raw};
use super::{Loaded, file, npy};
use rserve::engine::{self, LoadError};
use rserve::plan::DeviceId;
use rserve::scheduler::{Batch, Value, Want};
use rserve::tensor::Tensor;
use std::time::{Duration, Instant};

fn refusal(bytes: Vec<u8>) -> String {
    let began = Instant::now();
    let error = match engine::load(bytes::Bytes::from(bytes), DeviceId::Cpu) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.to_string(),
    };
    assert!(began.elapsed() < Duration::from_secs(10), "{error}: {:?}", began.elapsed());
    error
}

/// Loads a model of one float input `x` and one output `y`, and runs it on `[1, 2]`, whether that is a batch to it or
/// not.
fn run(model: &Model) -> Result<Tensor, String> {
    let runner = engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu).map_err(|e| e.to_string())?;
    let run = |shape: &[usize]| {
        let x = Tensor::from_vec(shape.to_vec(), vec![1f32, -2.0]).unwrap();
        runner.run(Batch::new(vec![vec![Value::Host(x)]], vec![Want::Host]))
    };
    let answers = match run(&[2]) {
        Err(error) if error.to_string().contains("the model takes") => run(&[1, 2]),
        answers => answers,
    };
    match answers.map_err(|e| e.to_string())?.remove(0).remove(0) {
        Some(Value::Host(tensor)) => Ok(tensor),
        _ => panic!("the output is not on the host"),
    }
}

#[test]
fn what_is_no_model_is_refused() {
    for bytes in [&b""[..], b"\0", b"<!DOCTYPE html><html><body>404</body></html>", &[0xff; 4096], &[0; 64]] {
        let error = refusal(bytes.to_vec());
        assert!(error.contains("not an ONNX model"), "{error}");
    }
    assert!(refusal(Model::new().bytes_without_graph()).contains("no graph"));
}

#[test]
fn errors_name_the_node_or_the_tensor() {
    let weights = |dims: &[i64], bytes: usize| tensor_raw("weights", 1, dims, &vec![0; bytes]);
    let reads = |initializer| {
        Model::new().node(node("Add", "sum", &["x", "weights"], &["y"], &[])).initializer(initializer)
    };
    for (model, wanted) in [
        (reads(weights(&[-2], 8)), r#"initialiser "weights": -2"#),
        (reads(weights(&[1 << 40], 8)), r#"initialiser "weights": float32[1099511627776] takes"#),
        (reads(weights(&[1 << 40, 1 << 40], 8)), "more elements than fit"),
        (reads(weights(&[2], 7)), "takes 8 bytes, the file has 7"),
        (reads(tensor_raw("weights", 8, &[1], &[])), "as many elements as the file has strings"),
        (reads(tensor_raw("weights", 77, &[1], &[0; 4])), "element type 77"),
        (Model::new().node(node("Relu", "act", &["nowhere"], &["y"], &[])), r#"Relu "act" reads "nowhere""#),
        (
            Model::new()
                .node(node("Add", "one", &["x", "b"], &["a"], &[]))
                .node(node("Relu", "two", &["a"], &["b"], &[]))
                .node(node("Relu", "three", &["a"], &["y"], &[])),
            r#"Add "one" waits for its own output: the graph has a cycle"#,
        ),
        (
            Model::new().node(node("Relu", "one", &["x"], &["y"], &[])).node(node(
                "Abs",
                "two",
                &["x"],
                &["y"],
                &[],
            )),
            r#"output of a node "y": something else in the graph has that name"#,
        ),
        (Model::new().node(node("Relu", "self", &["y"], &["y"], &[])), "the graph has a cycle"),
    ] {
        let error = refusal(model.bytes());
        assert!(error.contains(wanted), "{error}\n  instead of: {wanted}");
    }
}

#[test]
fn every_unsupported_node_is_named() {
    let model = Model::new()
        .node(node("Frobnicate", "first", &["x"], &["a"], &[]))
        .node(node("Relu", "fine", &["a"], &["b"], &[]))
        .node(node("StringFrobnicator", "second", &["b"], &["y"], &[]));
    let bytes = bytes::Bytes::from(model.bytes());
    let Err(LoadError::Unsupported(nodes)) = engine::load(bytes.clone(), DeviceId::Cpu) else { panic!() };
    assert_eq!(nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    let inspection = engine::inspect(bytes).unwrap();
    assert_eq!(inspection.unsupported, nodes);
    assert_eq!(inspection.operators["Relu"], 1);
}

#[test]
fn a_chain_of_100_000_nodes_is_a_model() {
    let mut model = Model::new();
    for index in 0..100_000 {
        let (from, to) = (format!("v{index}"), format!("v{}", index + 1));
        let from = if index == 0 { "x" } else { &from };
        let to = if index == 99_999 { "y" } else { &to };
        model = model.node(node(if index % 2 == 0 { "Neg" } else { "Abs" }, "", &[from], &[to], &[]));
    }
    let began = Instant::now();
    assert_eq!(run(&model).unwrap().to_f64(), [1.0, 2.0]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// Loading looked at the whole graph for every sum.
#[test]
fn a_chain_of_40_000_sums_is_a_model() {
    let mut model = Model::new();
    for index in 0..40_000 {
        let (from, to) = (format!("v{index}"), format!("v{}", index + 1));
        let from = if index == 0 { "x" } else { &from };
        let to = if index == 39_999 { "y" } else { &to };
        model = model.node(node(["Add", "Mul", "Sub"][index % 3], "", &[from, "x"], &[to], &[]));
    }
    let began = Instant::now();
    run(&model).unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn every_node_of_mixed_types_is_named_when_a_model_is_loaded() {
    let half = tensor_raw("half", 10, &[2], &[0, 60, 0, 60]);
    let model = Model::new()
        .node(node("Sub", "less", &["x", "half"], &["a"], &[]))
        .node(node("Mul", "times", &["x", "half"], &["b"], &[]))
        .node(node("Relu", "fine", &["x"], &["y"], &[]))
        .initializer(half);
    let error = refusal(model.bytes());
    for name in ["Sub \"less\": ", "Mul \"times\": ", "input 0 is float32 and input 1 is float16"] {
        assert!(error.contains(name), "{error}");
    }
    assert!(error.contains("2 nodes") && !error.contains("fine"), "{error}");
}

#[test]
fn graphs_nested_a_thousand_deep_are_refused() {
    let mut graph = Model::new().node(node("Relu", "inner", &["x"], &["y"], &[])).graph();
    for _ in 0..1000 {
        let branches = [attribute_graph("then_branch", &graph), attribute_graph("else_branch", &graph[..0])];
        graph = Model::new().node(node("If", "", &["x"], &["y"], &branches)).graph();
    }
    let error = refusal(Model::of_graph(&graph));
    assert!(error.contains("nested"), "{error}");
}

#[test]
fn a_failure_names_node_operator_and_shapes() {
    let shape = tensor_raw("shape", 7, &[1], &5i64.to_le_bytes());
    let model = Model::new().node(node("Reshape", "bend", &["x", "shape"], &["y"], &[])).initializer(shape);
    let error = run(&model).unwrap_err();
    assert!(error.contains(r#"Reshape "bend""#) && error.contains("float32[1, 2]"), "{error}");
}

#[test]
fn sizes_that_explode_fail_their_batch_alone() {
    let huge = |values: &[i64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensor_raw("huge", 7, &[values.len() as i64], &bytes)
    };
    let matrices = node("MatMul", "boom", &["tall", "wide"], &["y"], &[]);
    let unsqueezed = |name: &str, axis: i64, to: &str| {
        node("Unsqueeze", name, &["x2", if axis == 0 { "zero" } else { "one" }], &[to], &[])
    };
    let ints = |name: &str, v: i64| tensor_raw(name, 7, &[1], &v.to_le_bytes());
    for model in [
        Model::new().node(node("Expand", "boom", &["x", "huge"], &["y"], &[])).initializer(huge(&[
            1 << 40,
            1,
            1,
        ])),
        Model::new()
            .node(node("Tile", "boom", &["x", "huge"], &["y"], &[]))
            .initializer(huge(&[1 << 40, 1 << 40])),
        Model::new()
            .node(node("Tile", "boom", &["x", "huge"], &["y"], &[]))
            .initializer(huge(&[1, i64::MAX])),
        Model::new()
            .node(node("ConstantOfShape", "boom", &["huge"], &["c"], &[]))
            .node(node("Add", "sum", &["x", "c"], &["y"], &[]))
            .initializer(huge(&[1 << 45])),
        Model::new().node(node("Pad", "boom", &["x", "huge"], &["y"], &[])).initializer(huge(&[
            0,
            1 << 50,
            0,
            1 << 50,
        ])),
        Model::new()
            .node(node("Tile", "wider", &["x", "huge"], &["x2"], &[]))
            .node(unsqueezed("a", 0, "wide"))
            .node(unsqueezed("b", 1, "tall"))
            .node(node("Mul", "boom", &["tall", "wide"], &["y"], &[]))
            .initializer(huge(&[1, 1 << 22]))
            .initializer(ints("zero", 0))
            .initializer(ints("one", -1)),
        Model::new()
            .node(node("Tile", "wider", &["x", "huge"], &["x2"], &[]))
            .node(node("Reshape", "a", &["x2", "row"], &["wide"], &[]))
            .node(node("Reshape", "b", &["x2", "column"], &["tall"], &[]))
            .node(matrices)
            .initializer(huge(&[1, 1 << 22]))
            .initializer(tensor_raw("row", 7, &[2], &[1i64.to_le_bytes(), (-1i64).to_le_bytes()].concat()))
            .initializer(tensor_raw(
                "column",
                7,
                &[2],
                &[(-1i64).to_le_bytes(), 1i64.to_le_bytes()].concat(),
            )),
    ] {
        let began = Instant::now();
        let error = run(&model).unwrap_err();
        assert!(error.contains("boom"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn windows_that_cannot_be_are_errors() {
    let weight = || tensor_raw("w", 1, &[1, 1, 1, 1], &1f32.to_le_bytes());
    for attributes in [
        vec![attribute_ints("strides", &[0, 0])],
        vec![attribute_ints("strides", &[1, 1]), attribute_ints("pads", &[-1, 0, 0, 0])],
        vec![attribute_ints("dilations", &[i64::MAX, 1])],
        vec![attribute_int("group", 0)],
        vec![attribute_int("group", i64::MAX)],
        vec![attribute_ints("pads", &[1 << 60, 0, 0, 0])],
    ] {
        let model =
            Model::new().node(node("Conv", "conv", &["x", "w"], &["y"], &attributes)).initializer(weight());
        let error = run(&model).unwrap_err();
        assert!(error.contains("conv"), "{error}");
    }
}

/// Deterministic bytes that look random (xorshift).
fn noise(mut state: u64) -> impl FnMut() -> usize {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    }
}

#[test]
fn garbled_models_are_refused_or_run() {
    let folders =
        ["squeezenet-dynamo", "text-torchscript", "unet-dynamo", "vit-torchscript", "googlenet-torchscript"];
    for (seed, name) in folders.into_iter().enumerate() {
        let folder = file("tests/fixtures/engine").join(name);
        let original = std::fs::read(folder.join("model.onnx")).unwrap();
        let whole = Loaded::new(&folder.join("model.onnx"));
        let inputs: Vec<Tensor> = whole
            .signature
            .inputs
            .iter()
            .map(|p| npy::read(&folder.join(format!("1.input.{}.npy", p.name))))
            .collect();
        let mut random = noise(seed as u64 + 1);
        for round in 0..24 {
            let mut bytes = original.clone();
            if round % 4 == 3 {
                bytes.truncate(random() % original.len());
            } else {
                // The head of a file is its structure, so half of the flips go there.
                let reach = if round % 2 == 0 { original.len() } else { original.len().min(4096) };
                (0..=round).for_each(|_| bytes[random() % reach] ^= 1 << (random() % 8));
            }
            let began = Instant::now();
            let bytes = bytes::Bytes::from(bytes);
            if let (Ok(inspection), Ok(runner)) =
                (engine::inspect(bytes.clone()), engine::load(bytes, DeviceId::Cpu))
            {
                let loaded = Loaded { signature: inspection.signature, runner };
                if loaded.signature.inputs.len() == inputs.len() {
                    let _ = loaded.try_run(&inputs);
                }
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{name}, round {round}: {:?}",
                began.elapsed()
            );
        }
    }
}

/// Each of these is small in the file, and would be computed for hours or fill memory if it were computed as
/// the model is loaded.
#[test]
fn constants_that_explode_are_not_computed_at_the_load() {
    let ints = |name: &str, values: &[i64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensor_raw(name, 7, &[values.len() as i64], &bytes)
    };
    let scalar = |name: &str, value: i64| tensor_raw(name, 7, &[], &value.to_le_bytes());
    let last = node("Add", "sum", &["x", "c"], &["y"], &[]);
    let mut doubled = Model::new().initializer(ints("two", &[2]));
    for step in 0..40 {
        let (from, to) = (format!("t{step}"), if step == 39 { "t".into() } else { format!("t{}", step + 1) });
        doubled = doubled.node(node("Tile", &format!("step {step}"), &[&from, "two"], &[&to], &[]));
    }
    let doubled = doubled.initializer(ints("t0", &[1]));
    let mut squares = Model::new().initializer(tensor_raw("big", 1, &[1024, 1024], &vec![0; 4 << 20]));
    for step in 0..200 {
        let (from, to) = (format!("m{step}"), format!("m{}", step + 1));
        let from = if step == 0 { "big" } else { &from };
        squares = squares.node(node("MatMul", "square", &[from, from], &[&to], &[]));
    }
    for model in [
        doubled.node(node("Cast", "cast", &["t"], &["c"], &[attribute_int("to", 1)])).node(last.clone()),
        Model::new()
            .node(node("Range", "boom", &["zero", "most", "one"], &["r"], &[]))
            .node(node("Cast", "cast", &["r"], &["c"], &[attribute_int("to", 1)]))
            .node(last.clone())
            .initializer(scalar("zero", 0))
            .initializer(scalar("one", 1))
            .initializer(scalar("most", i64::MAX)),
        squares.node(node("ReduceMax", "c", &["m200"], &["c"], &[])).node(last),
    ] {
        let began = Instant::now();
        let loaded = engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(loaded.is_ok(), "{:?}", loaded.err());
    }
}
