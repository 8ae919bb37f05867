//! Sessions on a device with streams: Vulkan, in the place of CUDA. Its driver may be software.

use crate::plan::DeviceId;
use crate::scheduler::{Batch, Runner, Value, Want};
use crate::store::ModelFiles;
use crate::tensor::Tensor;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

const GPU: DeviceId = DeviceId::Cuda(0);

fn files(name: &str) -> ModelFiles {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models").join(name).join("model.onnx");
    Bytes::from(std::fs::read(file).unwrap()).into()
}

fn load(name: &str, device: DeviceId) -> Arc<dyn Runner> {
    crate::engine::load(files(name), device).unwrap()
}

/// A picture's worth of numbers that differ from row to row.
fn picture(row: usize) -> Tensor {
    let numbers = (0..3 * 64 * 64).map(|i| (((i * 7 + row * 13) % 101) as f32 - 50.0) / 40.0).collect();
    Tensor::from_vec(vec![3, 64, 64], numbers).unwrap()
}

fn pictures(rows: usize, want: Want) -> Batch {
    Batch::new((0..rows).map(|row| vec![Value::Host(picture(row))]).collect(), vec![want; 4])
}

fn numbers(answer: Vec<Vec<Option<Value>>>) -> Vec<Vec<f64>> {
    let host = |value: Value| match value {
        Value::Host(tensor) => tensor,
        Value::Device(resident) => resident.to_host().unwrap(),
    };
    answer.into_iter().map(|row| row.into_iter().flatten().flat_map(|v| host(v).to_f64()).collect()).collect()
}

#[track_caller]
fn assert_alike(a: &[Vec<f64>], b: &[Vec<f64>]) {
    assert_eq!(a.iter().map(Vec::len).collect::<Vec<_>>(), b.iter().map(Vec::len).collect::<Vec<_>>());
    let apart = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-3, "{apart} apart");
}

#[test]
fn models_give_on_the_device_what_they_give_on_the_cpu() {
    for name in ["road-mask/1", "road-mask/2"] {
        let (host, device) = (load(name, DeviceId::Cpu), load(name, GPU));
        assert!(device.stages() && !host.stages());
        for rows in [1, 3] {
            let wanted = numbers(host.run(pictures(rows, Want::Host)).unwrap());
            assert_alike(&numbers(device.run(pictures(rows, Want::Host)).unwrap()), &wanted);
            let staged = device.clone().stage(pictures(rows, Want::Host)).unwrap();
            assert_alike(&numbers(staged.run().unwrap()), &wanted);
        }
    }
}

#[test]
fn batches_that_are_sent_ahead_run_whenever_their_turn_comes() {
    let (host, device) = (load("road-mask/2", DeviceId::Cpu), load("road-mask/2", GPU));
    let batches: Vec<usize> = vec![1, 2, 4, 3];
    let staged: Vec<_> =
        batches.iter().map(|rows| device.clone().stage(pictures(*rows, Want::Host)).unwrap()).collect();
    drop(device.clone().stage(pictures(5, Want::Host)).unwrap());
    for (rows, staged) in batches.into_iter().zip(staged).rev() {
        let wanted = numbers(host.run(pictures(rows, Want::Host)).unwrap());
        assert_alike(&numbers(staged.run().unwrap()), &wanted);
    }
}

#[test]
fn rows_stay_on_the_device_between_two_models() {
    let run = |device: DeviceId, want: Want| {
        let (mask, surface) = (load("road-mask/2", device), load("surface/2", device));
        let masks = mask.run(pictures(3, want)).unwrap();
        let row = |(row, mut masks): (usize, Vec<Option<Value>>)| {
            let mask = masks.remove(0).unwrap();
            assert_eq!(matches!(mask, Value::Device(_)), want == Want::Device);
            vec![Value::Host(picture(row)), mask]
        };
        let rows = masks.into_iter().enumerate().map(row).collect();
        let batch = || Batch::new(rows, vec![Want::Host; 4]);
        numbers(if want == Want::Device {
            surface.stage(batch()).unwrap().run().unwrap()
        } else {
            surface.run(batch()).unwrap()
        })
    };
    let wanted = run(DeviceId::Cpu, Want::Host);
    assert_alike(&run(GPU, Want::Host), &wanted);
    assert_alike(&run(GPU, Want::Device), &wanted);
}

#[test]
fn many_threads_share_the_device() {
    let host = load("road-mask/2", DeviceId::Cpu);
    let wanted = numbers(host.run(pictures(2, Want::Host)).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let device = load("road-mask/2", GPU);
                for _ in 0..8 {
                    let staged = device.clone().stage(pictures(2, Want::Host)).unwrap();
                    assert_alike(&numbers(device.run(pictures(2, Want::Host)).unwrap()), &wanted);
                    assert_alike(&numbers(staged.run().unwrap()), &wanted);
                }
            });
        }
    });
}

#[test]
fn a_batch_that_breaks_off_on_the_device_is_the_only_one() {
    let device = load("road-mask/2", GPU);
    let wanted = numbers(device.run(pictures(2, Want::Host)).unwrap());
    // It fails after some of the operators were asked for.
    device.limit_batch_memory(1 << 18);
    assert!(device.run(pictures(4, Want::Host)).is_err());
    assert!(device.clone().stage(pictures(4, Want::Host)).unwrap().run().is_err());
    device.limit_batch_memory(u64::MAX);
    assert_alike(&numbers(device.run(pictures(2, Want::Host)).unwrap()), &wanted);
}
