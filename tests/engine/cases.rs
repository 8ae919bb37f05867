//! `case.json` beside a model: what it is given, and what ONNX Runtime gives for it.

use rserve::tensor::{DType, Tensor};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
pub struct Case {
    pub inputs: BTreeMap<String, Described>,
    pub outputs: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
pub struct Described {
    dtype: String,
    shape: Vec<usize>,
    data: Vec<serde_json::Value>,
}

impl Case {
    pub fn read(folder: &Path) -> Self {
        serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap()
    }
}

impl Described {
    pub fn tensor(&self) -> Tensor {
        let shape = self.shape.clone();
        let numbers = || self.data.iter().map(|v| v.as_f64().unwrap_or(f64::NAN));
        let ints = || self.data.iter().map(|v| v.as_i64().unwrap());
        match self.dtype.as_str() {
            "string" => {
                let strings = self.data.iter().map(|v| v.as_str().unwrap().into()).collect();
                Tensor::from_strings(shape, strings).unwrap()
            }
            "float32" => Tensor::from_vec(shape, numbers().map(|v| v as f32).collect()).unwrap(),
            "int64" => Tensor::from_vec(shape, ints().collect()).unwrap(),
            "uint8" => Tensor::from_vec(shape, ints().map(|v| v as u8).collect()).unwrap(),
            "bool" => {
                Tensor::from_bools(shape, self.data.iter().map(|v| v.as_bool().unwrap()).collect()).unwrap()
            }
            other => panic!("{other}"),
        }
    }
}

/// Whether a tensor is what it should be: numbers within 1e-5.
pub fn same(got: &Tensor, wanted: &Tensor) -> Result<(), String> {
    let far = |(a, b): (f64, f64)| (a - b).abs() > 1e-5 * b.abs().max(1.0);
    let wrong = match wanted.dtype() {
        DType::String => got.strings() != wanted.strings(),
        _ => got.to_f64().into_iter().zip(wanted.to_f64()).any(far),
    };
    if wrong || got.shape() != wanted.shape() || got.dtype() != wanted.dtype() {
        let show = |t: &Tensor| format!("{t:?} {:?} {:?}", t.to_f64(), t.strings());
        return Err(format!("{} instead of {}", show(got), show(wanted)));
    }
    Ok(())
}

/// The names of the folders with cases.
pub fn names(folder: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).filter(|f| f.is_dir());
    let mut names: Vec<String> =
        folders.map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}
