//! Operators at the edges of what numbers and shapes there are: NaN, infinities, signed zeros, the ends of every type,
//! no rows and one element, alone and in chains that are fused. `tests/fixtures/edges/make.py` makes the cases from the
//! answers of ONNX Runtime and of `onnx.reference`; `differences.md` beside it says where those two disagree.

use super::conformance::{Described, item};
use bytes::Bytes;
use rserve::engine::{self, Item};
use rserve::plan::DeviceId;
use rserve::tensor::{DType, Tensor};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    inputs: Vec<Option<Described>>,
    outputs: Vec<Option<Described>>,
    rtol: f64,
    atol: f64,
    /// Bytes of the model and of the elements.
    model: usize,
    data: usize,
}

/// Every case with its model and its elements.
fn cases() -> Vec<(Case, Bytes, Bytes)> {
    let folder = super::file("tests/fixtures/edges");
    let lines = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let mut blob = Bytes::from(std::fs::read(folder.join("cases.bin")).unwrap());
    let mut cases = Vec::new();
    for line in lines.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let (model, data) = (blob.split_to(case.model), blob.split_to(case.data));
        cases.push((case, model, data));
    }
    assert!(blob.is_empty(), "{} bytes belong to no case", blob.len());
    cases
}

fn compare(case: &Case, model: Bytes, mut data: Bytes) -> Result<(), String> {
    let mut items = |described: &[Option<Described>]| -> Result<Vec<Item>, String> {
        described.iter().map(|d| item(d.as_ref(), &mut data)).collect()
    };
    let (inputs, wanted) = (items(&case.inputs)?, items(&case.outputs)?);
    let got = engine::compute(model, inputs, DeviceId::Cpu)
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    if got.len() < wanted.len() {
        return Err(format!("{} outputs instead of {}", got.len(), wanted.len()));
    }
    got.iter().zip(&wanted).try_for_each(|(got, wanted)| match (got, wanted) {
        (Item::Tensor(got), Item::Tensor(wanted)) => same(got, wanted, case),
        _ => Err(format!("{got:?} instead of {wanted:?}")),
    })
}

fn same(got: &Tensor, wanted: &Tensor, case: &Case) -> Result<(), String> {
    if got.dtype() != wanted.dtype() || got.shape() != wanted.shape() {
        return Err(format!("{got:?} instead of {wanted:?}"));
    }
    if got.dtype() == DType::String {
        let same = got.strings() == wanted.strings();
        return if same {
            Ok(())
        } else {
            Err(format!("{:?} instead of {:?}", got.strings(), wanted.strings()))
        };
    }
    if !got.dtype().is_float() {
        // Exactly, and not by way of floats, which hold fewer digits.
        if got.bytes() == wanted.bytes() {
            return Ok(());
        }
        return Err(first_difference(got, wanted, |a, b| a == b));
    }
    let close = |a: f64, b: f64| {
        let near = a.is_finite() && b.is_finite() && (a - b).abs() <= case.atol + case.rtol * b.abs();
        near || a == b || (a.is_nan() && b.is_nan())
    };
    if got.to_f64().into_iter().zip(wanted.to_f64()).all(|(a, b)| close(a, b)) {
        return Ok(());
    }
    Err(first_difference(got, wanted, close))
}

fn first_difference(got: &Tensor, wanted: &Tensor, close: impl Fn(f64, f64) -> bool) -> String {
    let (got, wanted) = (got.to_f64(), wanted.to_f64());
    let count = got.iter().zip(&wanted).filter(|(a, b)| !close(**a, **b)).count();
    match got.iter().zip(&wanted).enumerate().find(|(_, (a, b))| !close(**a, **b)) {
        Some((at, (a, b))) => {
            format!("element {at} is {a} instead of {b}, and {} more of {}", count - 1, got.len())
        }
        None => "elements differ beyond what a float64 holds".to_owned(),
    }
}

#[test]
fn every_operator_has_the_reference_answers_at_the_edges() {
    let cases = cases();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(case, model, data)| {
            compare(case, model.clone(), data.clone()).err().map(|why| format!("{}: {why}", case.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 2500, "only {} cases were compared", cases.len());
}

/// The widths of vectors are chosen once in a process, so each has one of its own.
#[test]
fn the_answers_are_those_at_every_width_of_vector() {
    let tests = std::env::current_exe().unwrap();
    for simd in ["scalar", "avx2"] {
        let ran = std::process::Command::new(&tests)
            .args(["--exact", "engine::edges::every_operator_has_the_reference_answers_at_the_edges"])
            .env("RSERVE_SIMD", simd)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "with {simd}:\n{said}");
    }
}
