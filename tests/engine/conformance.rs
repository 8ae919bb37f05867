//! The node tests of the ONNX project, as `tests/conformance/dump.py` writes them.

use super::Loaded;
use rserve::tensor::{DType, Tensor, byte_len};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Deserialize)]
struct Case {
    inputs: Vec<Option<Described>>,
    outputs: Vec<Option<Described>>,
    rtol: f64,
    atol: f64,
}

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<usize>,
}

#[test]
#[ignore = "needs the cases that tests/conformance/dump.py writes, in $RSERVE_CONFORMANCE"]
fn no_case_that_passed_fails() {
    let folder = std::env::var("RSERVE_CONFORMANCE").expect("RSERVE_CONFORMANCE names the folder of cases");
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut passing = BTreeSet::new();
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in &names {
        match run(&Path::new(&folder).join(name)) {
            Ok(()) => {
                passing.insert(name.clone());
            }
            Err(why) => failures.entry(kind(&why)).or_default().push(format!("{name}: {why}")),
        }
    }
    for (kind, cases) in &failures {
        println!("--- {kind}: {}", cases.len());
        cases.iter().for_each(|case| println!("  {}", case.replace('\n', " ")));
    }
    println!("{} of {} cases pass", passing.len(), names.len());
    let list = super::file("tests/conformance/passing.txt");
    if std::env::var("RSERVE_CONFORMANCE_BLESS").is_ok() {
        let lines: Vec<String> = passing.iter().map(|name| format!("{name}\n")).collect();
        std::fs::write(&list, lines.concat()).unwrap();
    }
    let known = std::fs::read_to_string(&list).unwrap();
    let lost: Vec<&str> = known.lines().filter(|name| !passing.contains(*name)).collect();
    assert!(lost.is_empty(), "these passed before: {lost:#?}");
}

/// What a failure is counted under.
fn kind(why: &str) -> String {
    for (mark, kind) in [
        ("values that are not", "no tensor of numbers"),
        ("not supported", "not supported"),
        ("differ", "wrong result"),
        ("shape", "wrong shape"),
    ] {
        if why.contains(mark) {
            return kind.to_owned();
        }
    }
    "failed".to_owned()
}

pub fn run(folder: &Path) -> Result<(), String> {
    let case: Case = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    let loaded = Loaded::try_new(&folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let data = bytes::Bytes::from(std::fs::read(folder.join("data.bin")).unwrap());
    let mut at = 0;
    let mut tensor = |described: &Option<Described>| -> Result<Tensor, String> {
        let described = described.as_ref().ok_or("values that are not tensors of numbers")?;
        let dtype = DType::from_name(&described.dtype)
            .ok_or_else(|| format!("values that are not of our types: {}", described.dtype))?;
        let size = byte_len(dtype, &described.shape).unwrap();
        if at + size > data.len() {
            return Err("values that are not tensors of numbers".into());
        }
        let tensor = Tensor::from_bytes(dtype, described.shape.clone(), data.slice(at..at + size)).unwrap();
        at += size;
        Ok(tensor)
    };
    let inputs = case.inputs.iter().map(&mut tensor).collect::<Result<Vec<_>, _>>()?;
    let outputs = case.outputs.iter().map(&mut tensor).collect::<Result<Vec<_>, _>>()?;
    let rows = loaded.run(&inputs).map_err(|e| e.to_string())?;
    for (index, wanted) in outputs.iter().enumerate() {
        let got: Vec<&Tensor> = rows.iter().map(|row| &row[index]).collect();
        let shape: Vec<usize> = wanted.shape().to_vec();
        let item = got[0].shape();
        let fits = item == shape || (rows.len() == *shape.first().unwrap_or(&0) && item == &shape[1..]);
        if !fits || got[0].dtype() != wanted.dtype() {
            return Err(format!("output {index} has type and shape {:?}, not {wanted:?}", got[0]));
        }
        let got: Vec<f64> = got.iter().flat_map(|t| t.to_f64()).collect();
        for (a, b) in got.iter().zip(wanted.to_f64()) {
            let close = (a - b).abs() <= case.atol.max(1e-5) + case.rtol * b.abs();
            if !(close || *a == b || (a.is_nan() && b.is_nan())) {
                return Err(format!("results differ: {a} instead of {b}"));
            }
        }
    }
    Ok(())
}
