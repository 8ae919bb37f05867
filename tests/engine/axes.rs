//! Outputs whose first axis is not the batch: what a detector finds, however much that is.

use super::Loaded;
use super::protobuf::{Model, attribute_int, attribute_ints, node};
use rserve::engine;
use rserve::plan::DeviceId;
use rserve::scheduler::{Batch, RunError, Value, Want};
use rserve::tensor::Tensor;

/// `y` holds the places of what is not 0 in `x`, one a row; the file does not say so.
fn finder() -> Loaded {
    let model = Model::new().node(node("NonZero", "find", &["x"], &["places"], &[])).node(node(
        "Transpose",
        "turn",
        &["places"],
        &["turned"],
        &[attribute_ints("perm", &[1, 0])],
    ));
    let model = model.node(node("Cast", "cast", &["turned"], &["y"], &[attribute_int("to", 1)]));
    let bytes = bytes::Bytes::from(model.bytes());
    let signature = engine::inspect(bytes.clone()).unwrap().signature;
    Loaded { signature, runner: engine::load(bytes, DeviceId::Cpu).unwrap() }
}

fn run(model: &Loaded, rows: &[[f32; 2]]) -> Result<Vec<Tensor>, RunError> {
    let row = |x: &[f32; 2]| vec![Value::Host(Tensor::from_vec(vec![2], x.to_vec()).unwrap())];
    let batch = Batch::new(rows.iter().map(row).collect(), vec![Want::Host]);
    let outputs = model.runner.run(batch)?.into_iter().flatten().flatten();
    Ok(outputs.map(host).collect())
}

#[test]
fn an_axis_of_its_own_is_given_whole_from_the_first_item_on() {
    let model = finder();
    assert!(!model.runner.joins());
    assert_eq!(run(&model, &[[0.0, 0.0]]).unwrap()[0].shape(), [0, 2]);
    let found = run(&model, &[[3.0, 4.0]]).unwrap();
    assert_eq!(found[0].shape(), [2, 2]);
    assert_eq!(found[0].elements::<f32>().unwrap().as_ref(), [0.0, 0.0, 0.0, 1.0]);
    // As long as a batch of one, by chance.
    assert_eq!(run(&model, &[[0.0, 4.0]]).unwrap()[0].shape(), [1, 2]);
}

#[test]
fn two_items_never_share_what_was_found() {
    let model = finder();
    // Two found in two items, both in the first.
    let error = run(&model, &[[1.0, 1.0], [0.0, 0.0]]).unwrap_err();
    assert!(error.to_string().contains("takes one"), "{error}");
}

fn host(value: Value) -> Tensor {
    match value {
        Value::Host(tensor) => tensor,
        Value::Device(resident) => resident.to_host().unwrap(),
    }
}
