//! Values that are not plain tensors of numbers, graphs inside nodes, and weights that are not plain
//! initialisers, held to ONNX Runtime's answers (`tests/fixtures/values/make.py` makes them); and what of them
//! means harm.

use super::cases::{Case, names, same};
use super::file;
use super::protobuf::{
    Model, attribute_graph, attribute_int, domain, function, node, of_graph_with, tensor_external, value,
};
use bytes::Bytes;
use rserve::engine::{self, Item};
use rserve::memory::Budget;
use rserve::plan::DeviceId;
use rserve::store::{self, Content, Format, ModelFiles};
use rserve::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

fn compare(folder: &Path) -> Result<(), String> {
    let case = Case::read(folder);
    let files = store::model(&folder.join("model.onnx"), &engine::Onnx, &Budget::unlimited()).unwrap();
    let signature = engine::inspect(files.clone()).map_err(|e| e.to_string())?.signature;
    let inputs: Vec<Item> =
        signature.inputs.iter().map(|p| Item::Tensor(case.inputs[&p.name].tensor())).collect();
    let shape = |item: &Item| if let Item::Tensor(t) = item { Some(t.shape().to_vec()) } else { None };
    let given: Vec<_> = inputs.iter().map(shape).collect();
    let outputs = engine::compute(files, inputs, DeviceId::Cpu);
    let outputs = outputs.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    super::as_inferred(&signature, &given, &outputs.iter().map(shape).collect::<Vec<_>>())?;
    for (port, output) in signature.outputs.iter().zip(outputs) {
        let Item::Tensor(got) = output else { return Err(format!("{} is {output:?}", port.name)) };
        same(&got, &case.outputs[&port.name].tensor()).map_err(|why| format!("{}: {why}", port.name))?;
    }
    Ok(())
}

#[test]
fn values_of_every_kind_give_the_reference_answers() {
    let folder = file("tests/fixtures/values");
    let names = names(&folder);
    let wrong: Vec<String> = names
        .iter()
        .filter_map(|name| compare(&folder.join(name)).err().map(|e| format!("{name}: {e}")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(names.len() >= 9, "only {} were compared", names.len());
}

fn refusal(files: ModelFiles) -> String {
    let began = Instant::now();
    let error = match engine::load(files, DeviceId::Cpu) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.to_string(),
    };
    assert!(began.elapsed() < Duration::from_secs(10), "{error}: {:?}", began.elapsed());
    error
}

#[test]
fn weights_in_other_files_are_checked_before_they_are_read() {
    let model = |entries: &[(&str, &str)]| {
        let model = Model::new().node(node("Add", "sum", &["x", "w"], &["y"], &[]));
        Content::from(model.initializer(tensor_external("w", 1, &[2], entries)).bytes())
    };
    let data = || BTreeMap::from([("w.bin".to_owned(), Bytes::from(vec![0; 12]).into())]);
    for (entries, wanted) in [
        (&[("location", "../w.bin")][..], "\"../w.bin\", which is not beside the model"),
        (&[("location", "/etc/passwd")], "not beside the model"),
        (&[], "which it does not name"),
        (&[("location", "w.bin"), ("offset", "8"), ("length", "8")], "beyond the end of 12 bytes"),
        (&[("location", "w.bin"), ("offset", "18446744073709551615")], "beyond the end"),
        (&[("location", "w.bin"), ("offset", "-4")], "its offset in \"w.bin\" is \"-4\""),
        (&[("location", "w.bin"), ("length", "1099511627776")], "it takes 8 bytes"),
    ] {
        let error = refusal(ModelFiles { onnx: model(entries), data: data() });
        assert!(error.contains("initialiser \"w\"") && error.contains(wanted), "{error}");
    }
    let sound = model(&[("location", "w.bin"), ("offset", "4"), ("length", "8")]);
    let wanted = BTreeMap::from([("w.bin".to_owned(), std::iter::once(4..12).collect())]);
    assert_eq!(engine::Onnx.data(&sound), wanted, "by name, where its tensors lie");
    assert!(engine::load(ModelFiles { onnx: sound, data: data() }, DeviceId::Cpu).is_ok());
}

#[test]
fn a_function_that_calls_itself_from_a_branch_is_refused() {
    let call = node("again", "call", &["v"], &["r"], &[]);
    let branch = Model::new().node([call, super::protobuf::domain("local")].concat()).graph();
    let branch = [branch, value(12, "r")].concat();
    let branches = [attribute_graph("then_branch", &branch), attribute_graph("else_branch", &branch)];
    let body = node("If", "choose", &["v"], &["w"], &branches);
    let function = function("local", "again", &["v"], &["w"], &[body]);
    let graph = Model::new()
        .node([node("again", "first", &["x"], &["y"], &[]), super::protobuf::domain("local")].concat());
    let error = refusal(Bytes::from(of_graph_with(&graph, &[function])).into());
    assert!(error.contains("deep") || error.contains("more than"), "{error}");
}

#[test]
fn a_graph_in_a_function_may_name_its_values_as_the_caller_does() {
    // Both branches give "x", as the caller calls what the function knows as "v".
    let branch = |op| [Model::new().node(node(op, "", &["v"], &["x"], &[])).graph(), value(12, "x")].concat();
    let branches =
        [attribute_graph("then_branch", &branch("Neg")), attribute_graph("else_branch", &branch("Abs"))];
    let body = [
        node("ReduceMax", "", &["v"], &["most"], &[attribute_int("keepdims", 0)]),
        node("Cast", "", &["most"], &["c"], &[attribute_int("to", 9)]),
        node("If", "choose", &["c"], &["w"], &branches),
    ];
    let function = function("local", "turned", &["v"], &["w"], &body);
    let graph = Model::new().node([node("turned", "t", &["x"], &["y"], &[]), domain("local")].concat());
    let x = Tensor::from_vec(vec![1, 2], vec![1f32, -2.0]).unwrap();
    let bytes = Bytes::from(of_graph_with(&graph, &[function]));
    let given = engine::compute(bytes, vec![Item::Tensor(x)], DeviceId::Cpu).unwrap().unwrap();
    let Some(Item::Tensor(y)) = given.first() else { panic!("{given:?}") };
    assert_eq!(y.to_f64(), [-1.0, 2.0]);
}

#[test]
fn loops_that_do_not_end_are_ended() {
    // A loop without a trip count whose condition stays true.
    let body = Model::new().node(node("Identity", "", &["c"], &["d"], &[])).graph();
    let body = [body, value(11, "i"), value(11, "c"), value(12, "d")].concat();
    let model = Model::new()
        .node(node("Loop", "forever", &["", ""], &[], &[attribute_graph("body", &body)]))
        .node(node("Relu", "relu", &["x"], &["y"], &[]));
    let x = Tensor::from_vec(vec![1, 2], vec![1f32, -2.0]).unwrap();
    // Nothing reads what the loop gives, so it is not run.
    let given =
        engine::compute(Bytes::from(model.bytes()), vec![Item::Tensor(x.clone())], DeviceId::Cpu).unwrap();
    assert!(given.is_ok());

    let body = Model::new()
        .node(node("Identity", "", &["c"], &["d"], &[]))
        .node(node("Identity", "", &["s"], &["t"], &[]))
        .graph();
    let ports = [value(11, "i"), value(11, "c"), value(11, "s"), value(12, "d"), value(12, "t")].concat();
    let body = [body, ports].concat();
    let model =
        Model::new().node(node("Loop", "forever", &["", "", "x"], &["y"], &[attribute_graph("body", &body)]));
    let given = engine::compute(Bytes::from(model.bytes()), vec![Item::Tensor(x)], DeviceId::Cpu).unwrap();
    let error = given.unwrap_err().to_string();
    assert!(error.contains("forever") && error.contains("has not ended"), "{error}");
}
