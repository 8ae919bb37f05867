//! Operators and networks on a device with streams, held to ONNX Runtime's numbers: Vulkan, in the place of CUDA.

use super::protobuf::{Model, node, tensor_raw};
use super::{classifiers, conformance, file, networks};
use rserve::engine::{self, Item};
use rserve::plan::DeviceId;
use rserve::tensor::Tensor;
use std::path::Path;

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

/// Whether a case wants what the software Vulkan has not: halves are rounded otherwise there, bfloat16 is not
/// known, and functions of float64 are wrong.
fn beyond_the_driver(name: &str) -> bool {
    let types = ["fp16", "bf16", "bfloat16", "BFLOAT16", "_double", "reduce_log_sum_exp", "einsum_sum"];
    // Its softmax is in float64.
    types.iter().any(|part| name.contains(part))
        || name.starts_with("test_attention_local_window_gqa_rank4_mask")
}

#[test]
#[ignore = "needs the cases that tests/conformance/dump.py writes, in $RSERVE_CONFORMANCE"]
fn cases_that_pass_on_the_cpu_pass_on_a_device() {
    let folder = std::env::var("RSERVE_CONFORMANCE").expect("RSERVE_CONFORMANCE names the folder of cases");
    let known = std::fs::read_to_string(file("tests/conformance/passing.txt")).unwrap();
    let mut tried = 0;
    let mut failures = vec![];
    for name in known.lines().filter(|name| !beyond_the_driver(name)) {
        tried += 1;
        if let Err(why) = conformance::run_on(&Path::new(&folder).join(name), DEVICE) {
            failures.push(format!("{name}: {why}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    println!("{tried} cases pass on the device");
    assert!(tried >= 1600, "{tried} cases");
}
