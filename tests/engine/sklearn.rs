//! scikit-learn's models, as skl2onnx exports them, held to ONNX Runtime's answers
//! (`tests/fixtures/sklearn/make.py` makes them): labels equal, scores within 1e-5.

use super::{Loaded, file};
use rserve::tensor::{DType, Tensor};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    inputs: BTreeMap<String, Described>,
    outputs: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<usize>,
    data: Vec<serde_json::Value>,
}

impl Described {
    fn tensor(&self) -> Tensor {
        let number = |v: &serde_json::Value| v.as_f64().unwrap_or(f64::NAN);
        let shape = self.shape.clone();
        match self.dtype.as_str() {
            "string" => {
                let strings = self.data.iter().map(|v| v.as_str().unwrap().into()).collect();
                Tensor::from_strings(shape, strings).unwrap()
            }
            "float32" => {
                Tensor::from_vec(shape, self.data.iter().map(|v| number(v) as f32).collect()).unwrap()
            }
            "int64" => {
                Tensor::from_vec(shape, self.data.iter().map(|v| v.as_i64().unwrap()).collect()).unwrap()
            }
            other => panic!("{other}"),
        }
    }
}

/// What is wrong with a model's answers for all its rows at once.
fn compare(name: &str) -> Result<(), String> {
    let folder = file("tests/fixtures/sklearn").join(name);
    let case: Case = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    let loaded = Loaded::try_new(&folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let inputs: Vec<Tensor> = loaded.signature.inputs.iter().map(|p| case.inputs[&p.name].tensor()).collect();
    let rows = loaded.run(&inputs).map_err(|e| e.to_string())?;
    for (index, port) in loaded.signature.outputs.iter().enumerate() {
        let wanted = case.outputs[&port.name].tensor();
        if Some(wanted.dtype()) != port.dtype {
            return Err(format!("{port} gave {wanted:?}"));
        }
        for (at, row) in rows.iter().enumerate() {
            let (got, wanted) = (&row[index], wanted.row(at).unwrap());
            let far = |(a, b): (f64, f64)| (a - b).abs() > 1e-5 * b.abs().max(1.0);
            let wrong = match wanted.dtype() {
                DType::String => got.strings() != wanted.strings(),
                _ => got.to_f64().into_iter().zip(wanted.to_f64()).any(far),
            };
            if wrong || got.shape() != wanted.shape() || got.dtype() != wanted.dtype() {
                let show = |t: &Tensor| format!("{t:?} {:?} {:?}", t.to_f64(), t.strings());
                return Err(format!("{}, row {at}: {} instead of {}", port.name, show(got), show(&wanted)));
            }
        }
    }
    Ok(())
}

#[test]
fn exported_models_give_the_reference_answers() {
    let folders = std::fs::read_dir(file("tests/fixtures/sklearn")).unwrap();
    let folders = folders.map(|f| f.unwrap().path()).filter(|f| f.is_dir());
    let mut names: Vec<String> =
        folders.map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    let wrong: Vec<String> =
        names.iter().filter_map(|name| compare(name).err().map(|e| format!("{name}: {e}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(names.len() >= 35, "only {} were compared", names.len());
}

#[test]
fn a_zip_map_is_served_as_scores_whose_classes_the_model_names() {
    let bytes = std::fs::read(file("tests/fixtures/sklearn/forest-names/model.onnx")).unwrap();
    let inspection = rserve::engine::inspect(bytes::Bytes::from(bytes)).unwrap();
    let outputs: Vec<String> = inspection.signature.outputs.iter().map(|p| p.to_string()).collect();
    assert_eq!(outputs, ["output_label: string[?]", "output_probability: float32[?, 3]"]);
    assert_eq!(inspection.classes.unwrap().as_ref(), ["asphalt", "dirt", "gravel"]);
}

#[test]
fn rows_are_answered_alone_as_together() {
    let folder = file("tests/fixtures/sklearn/columns");
    let case: Case = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    let loaded = Loaded::new(&folder.join("model.onnx"));
    let inputs: Vec<Tensor> = loaded.signature.inputs.iter().map(|p| case.inputs[&p.name].tensor()).collect();
    let together = loaded.run(&inputs).unwrap();
    for (at, row) in together.iter().enumerate() {
        let whole = |t: &Tensor| t.row(at).unwrap().reshaped([&[1], &t.shape()[1..]].concat()).unwrap();
        let alone = loaded.run(&inputs.iter().map(whole).collect::<Vec<_>>()).unwrap();
        assert_eq!(alone[0][0].strings(), row[0].strings());
        assert_eq!(alone[0][1].to_f64(), row[1].to_f64());
    }
}
