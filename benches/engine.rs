//! Time of the shipped models by batch size, on the CPU.
//!
//! `cargo bench --bench engine`; `RSERVE_BENCH_MODELS` may list further files, separated by commas, whose
//! images are 224 by 224.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rserve::engine;
use rserve::plan::{DeviceId, Dim};
use rserve::scheduler::{Batch, Value, Want};
use rserve::tensor::Tensor;
use std::hint::black_box;
use std::path::{Path, PathBuf};

fn shipped(c: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models");
    let shipped = ["road-mask/1", "road-mask/2", "surface/2", "landing-safety/2", "landing-spot/2"];
    let mut models: Vec<PathBuf> =
        shipped.iter().map(|model| folder.join(model).join("model.onnx")).collect();
    let further = std::env::var("RSERVE_BENCH_MODELS").unwrap_or_default();
    models.extend(further.split(',').filter(|path| !path.is_empty()).map(PathBuf::from));
    for path in models {
        let name = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
        let bytes = bytes::Bytes::from(std::fs::read(path).expect("the model is there"));
        let signature = engine::inspect(bytes.clone()).expect("it is ONNX").signature;
        let runner = engine::load(bytes, DeviceId::Cpu).expect("it is supported");
        let row: Vec<Value> = signature
            .inputs
            .iter()
            .map(|port| {
                let dims = port.dims.iter().flatten().skip(1);
                let shape: Vec<usize> = dims.map(|d| if let Dim::Fixed(n) = d { *n } else { 224 }).collect();
                let elements = (0..shape.iter().product()).map(|i: usize| (i % 17) as f32 / 17.0).collect();
                Value::Host(Tensor::from_vec::<f32>(shape, elements).expect("the sizes agree"))
            })
            .collect();
        let wants = vec![Want::Host; signature.outputs.len()];
        let mut group = c.benchmark_group(name);
        for rows in [1usize, 8, 16] {
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::from_parameter(rows), |b| {
                b.iter(|| {
                    let batch = Batch::new(vec![row.clone(); rows], wants.clone());
                    black_box(runner.run(batch).expect("it runs"))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, shipped);
criterion_main!(benches);
