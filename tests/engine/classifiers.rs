//! Small variants of the usual classifiers, from both of PyTorch's exporters, held to ONNX Runtime's outputs
//! for batches of 1 and 3 (`tests/fixtures/engine/make.py` makes them).

use super::{Loaded, file, npy, relative_error};
use rserve::plan::DeviceId;
use rserve::tensor::Tensor;

#[test]
fn usual_classifiers_give_the_reference_outputs() {
    let tried = compared(DeviceId::Cpu);
    assert!(tried >= 50, "only {tried} were compared");
}

/// Gives how many batches were compared.
pub fn compared(device: DeviceId) -> usize {
    let mut tried = 0;
    let mut wrong = Vec::new();
    for folder in std::fs::read_dir(file("tests/fixtures/engine")).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !folder.join("model.onnx").exists() {
            continue;
        }
        let loaded = match Loaded::on(&folder.join("model.onnx"), device) {
            Ok(loaded) => loaded,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for batch in [1, 3] {
            let read = |kind: &str, port: &str| npy::read(&folder.join(format!("{batch}.{kind}.{port}.npy")));
            let inputs: Vec<Tensor> =
                loaded.signature.inputs.iter().map(|p| read("input", &p.name)).collect();
            match loaded.run(&inputs) {
                Err(error) => wrong.push(format!("{name}, batch {batch}: {error}")),
                Ok(rows) => {
                    let got: Vec<Tensor> = rows.into_iter().flatten().collect();
                    let error = relative_error(&got, &read("output", "scores"));
                    if error >= 1e-4 {
                        wrong.push(format!("{name}, batch {batch}: {error:.1e}"));
                    }
                }
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    tried
}
