//! scikit-learn's models, as skl2onnx exports them, held to ONNX Runtime's answers
//! (`tests/fixtures/sklearn/make.py` makes them): labels equal, scores within 1e-5.

use super::cases::{Case, names, same};
use super::protobuf::{Model, attribute_int, attribute_ints, domain, node};
use super::{Loaded, file};
use rserve::plan::DeviceId;
use rserve::scheduler::{Batch, RunError, Value, Want};
use rserve::tensor::Tensor;

/// What is wrong with a model's answers for all its rows at once.
fn compare(name: &str) -> Result<(), String> {
    let folder = file("tests/fixtures/sklearn").join(name);
    let case = Case::read(&folder);
    let loaded = Loaded::try_new(&folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let inputs: Vec<Tensor> = loaded.signature.inputs.iter().map(|p| case.inputs[&p.name].tensor()).collect();
    let rows = loaded.run(&inputs).map_err(|e| e.to_string())?;
    for (index, port) in loaded.signature.outputs.iter().enumerate() {
        let wanted = case.outputs[&port.name].tensor();
        if Some(wanted.dtype()) != port.dtype {
            return Err(format!("{port} gave {wanted:?}"));
        }
        for (at, row) in rows.iter().enumerate() {
            let wanted = wanted.row(at).unwrap();
            same(&row[index], &wanted).map_err(|why| format!("{}, row {at}: {why}", port.name))?;
        }
    }
    Ok(())
}

#[test]
fn exported_models_give_the_reference_answers() {
    let names = names(&file("tests/fixtures/sklearn"));
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
    let case = Case::read(&folder);
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

#[test]
fn a_category_that_the_encoder_does_not_know_is_the_fault_of_the_request() {
    let zeros = attribute_int("zeros", 0);
    let encoder =
        node("OneHotEncoder", "encode", &["x"], &["y"], &[attribute_ints("cats_int64s", &[1, 2]), zeros]);
    let model = Model::new().node([encoder, domain("ai.onnx.ml")].concat());
    let runner = rserve::engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu).unwrap();
    let run = |values: Vec<f32>| {
        let x = Tensor::from_vec(vec![2], values).unwrap();
        runner.run(Batch::new(vec![vec![Value::Host(x)]], vec![Want::Host]))
    };
    assert!(run(vec![2.0, 1.0]).is_ok());
    let Err(error) = run(vec![0.0, 1.0]) else { panic!("it ran") };
    assert!(
        matches!(&error, RunError::Input(why) if why.contains("0 is none of its 2 categories")),
        "{error}"
    );
}
