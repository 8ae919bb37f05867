//! Operators and networks on a device with streams, held to ONNX Runtime's numbers: Vulkan, in the place of CUDA.

use super::protobuf::{Model, node, tensor_raw};
use super::{classifiers, conformance, file, networks};
use rserve::engine::{self, Item};
use rserve::plan::DeviceId;
use rserve::tensor::Tensor;

const DEVICE: DeviceId = DeviceId::Cuda(0);

#[test]
fn networks_give_the_reference_outputs_on_a_device() {
    assert!(networks::floats(DEVICE) >= 40);
    assert!(classifiers::compared(DEVICE) >= 50);
}

#[test]
fn operators_give_what_onnx_runtime_gives_on_a_device() {
    let folder = file("tests/fixtures/engine/operators");
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let folder = entry.unwrap().path();
        if let Err(why) = conformance::run_on(&folder, DEVICE) {
            failures.push(format!("{}: {why}", folder.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Fused by Burn 0.21, this came out wrong for one row.
#[test]
fn a_layer_and_its_activation_are_right_for_one_row_on_a_device() {
    let raw = |numbers: &[f32]| -> Vec<u8> { numbers.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let weights: Vec<f32> = (0..2 * 64).map(|i| ((i * 31 + 7) % 103) as f32 / 50.0 - 1.0).collect();
    let bias: Vec<f32> = (0..64).map(|i| ((i * 17) % 23) as f32 / 20.0).collect();
    let model = Model::new()
        .initializer(tensor_raw("w", 1, &[2, 64], &raw(&weights)))
        .initializer(tensor_raw("b", 1, &[64], &raw(&bias)))
        .node(node("MatMul", "product", &["x", "w"], &["p"], &[]))
        .node(node("Add", "sum", &["p", "b"], &["s"], &[]))
        .node(node("Sigmoid", "activation", &["s"], &["y"], &[]))
        .bytes();
    for rows in [1, 2] {
        let x = Tensor::from_vec(vec![rows, 2], (0..2 * rows).map(|i| i as f32 - 0.5).collect()).unwrap();
        let run = |device: DeviceId| {
            let inputs = vec![Item::Tensor(x.clone())];
            match engine::compute(bytes::Bytes::from(model.clone()), inputs, device)
                .unwrap()
                .unwrap()
                .remove(0)
            {
                Item::Tensor(y) => y.to_f64(),
                other => panic!("{other:?}"),
            }
        };
        let apart = run(DEVICE).into_iter().zip(run(DeviceId::Cpu)).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-4, "{rows} rows");
    }
}
