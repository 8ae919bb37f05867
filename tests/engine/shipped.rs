//! Every shipped model and version, held to the outputs that ONNX Runtime gives for the same inputs.

use super::{Loaded, file, npy, relative_error};
use rserve::tensor::Tensor;

#[test]
fn shipped_models_give_the_reference_outputs() {
    let mut tried = 0;
    let mut wrong = Vec::new();
    for folder in std::fs::read_dir(file("tests/fixtures/reference")).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let (model, version) = name.rsplit_once('-').unwrap();
        let loaded = Loaded::new(&file(&format!("examples/models/{model}/{version}/model.onnx")));
        let tensor = |kind: &str, port: &str| npy::read(&folder.join(format!("{kind}.{port}.npy")));
        let inputs: Vec<Tensor> = loaded.signature.inputs.iter().map(|p| tensor("input", &p.name)).collect();
        let rows = loaded.run(&inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (index, port) in loaded.signature.outputs.iter().enumerate() {
            let got: Vec<Tensor> = rows.iter().map(|row| row[index].clone()).collect();
            let error = relative_error(&got, &tensor("output", &port.name));
            if error >= 1e-4 {
                wrong.push(format!("{name}, {}: {error:.1e}", port.name));
            }
            tried += 1;
        }
    }
    assert!(tried >= 8, "only {tried} outputs were compared");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
