//! The node tests of the ONNX project, as `tests/conformance/dump.py` writes them.

use rserve::engine::{self, Item};
use rserve::plan::DeviceId;
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
pub struct Described {
    dtype: Option<String>,
    #[serde(default)]
    shape: Vec<usize>,
    strings: Option<Vec<String>>,
    sequence: Option<Vec<Option<Described>>>,
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
        let lines: Vec<String> =
            passing.iter().filter(|name| !by_chance(name)).map(|name| format!("{name}\n")).collect();
        std::fs::write(&list, lines.concat()).unwrap();
    }
    let known = std::fs::read_to_string(&list).unwrap();
    let lost: Vec<&str> = known.lines().filter(|name| !passing.contains(*name)).collect();
    assert!(lost.is_empty(), "these passed before: {lost:#?}");
    let told = documented();
    let untold: Vec<&String> = names.iter().filter(|n| !passing.contains(*n) && !told.contains(*n)).collect();
    assert!(untold.is_empty(), "docs/operators.md does not say why these fail: {untold:#?}");
    let stale: Vec<&String> = told.iter().filter(|n| passing.contains(*n) && !by_chance(n)).collect();
    assert!(stale.is_empty(), "docs/operators.md says that these fail: {stale:#?}");
}

#[test]
fn the_list_of_passing_cases_is_whole() {
    let known = std::fs::read_to_string(super::file("tests/conformance/passing.txt")).unwrap();
    let names: BTreeSet<&str> = known.lines().collect();
    assert!(names.len() >= LEAST, "{} cases are listed, of {LEAST}", names.len());
    let told = documented();
    assert_eq!(names.iter().filter(|name| told.contains(**name)).count(), 0);
}

/// So many cases are listed at least; a longer list raises it.
const LEAST: usize = 1744;

/// Whether a case that wants random numbers may pass now and then.
fn by_chance(name: &str) -> bool {
    name.starts_with("test_bernoulli")
}

/// The cases of which docs/operators.md says that they do not pass.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(super::file("docs/operators.md")).unwrap();
    let (_, section) = text.split_once("## Conformance").unwrap();
    let names = section.split('`').filter(|word| word.starts_with("test_"));
    names.map(str::to_owned).collect()
}

/// What a failure is counted under.
fn kind(why: &str) -> String {
    for (mark, kind) in [
        ("not supported", "not supported"),
        ("differ", "wrong result"),
        ("instead of", "wrong type or shape"),
    ] {
        if why.contains(mark) {
            return kind.to_owned();
        }
    }
    "failed".to_owned()
}

pub fn run(folder: &Path) -> Result<(), String> {
    run_on(folder, DeviceId::Cpu)
}

pub fn run_on(folder: &Path, device: DeviceId) -> Result<(), String> {
    let case: Case = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    let model = bytes::Bytes::from(std::fs::read(folder.join("model.onnx")).unwrap());
    let mut data = bytes::Bytes::from(std::fs::read(folder.join("data.bin")).unwrap());
    let inputs = case.inputs.iter().map(|d| item(d.as_ref(), &mut data)).collect::<Result<Vec<_>, _>>()?;
    let wanted = case.outputs.iter().map(|d| item(d.as_ref(), &mut data)).collect::<Result<Vec<_>, _>>()?;
    let signature = engine::inspect(model.clone()).map_err(|e| e.to_string())?.signature;
    let given: Vec<_> = inputs.iter().map(shape).collect();
    let got =
        engine::compute(model, inputs, device).map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    super::as_inferred(&signature, &given, &got.iter().map(shape).collect::<Vec<_>>())?;
    if got.len() < wanted.len() {
        return Err(format!("{} outputs instead of {}", got.len(), wanted.len()));
    }
    got.iter().zip(&wanted).try_for_each(|(got, wanted)| compare(got, wanted, &case))
}

/// The value that is described; its elements are taken off the data.
pub fn item(described: Option<&Described>, data: &mut bytes::Bytes) -> Result<Item, String> {
    let Some(described) = described else { return Ok(Item::Nothing) };
    if let Some(items) = &described.sequence {
        let items = items.iter().map(|d| item(d.as_ref(), data));
        return Ok(Item::Sequence(items.collect::<Result<_, _>>()?));
    }
    let shape = described.shape.clone();
    if let Some(strings) = &described.strings {
        let strings = strings.iter().map(|s| s.as_str().into()).collect();
        return Ok(Item::Tensor(Tensor::from_strings(shape, strings).unwrap()));
    }
    let name = described.dtype.as_deref().unwrap_or_default();
    let dtype = DType::from_name(name).ok_or_else(|| format!("{name} is not supported"))?;
    let elements = data.split_to(byte_len(dtype, &shape).unwrap());
    Ok(Item::Tensor(Tensor::from_bytes(dtype, shape, elements).unwrap()))
}

/// The shape of a tensor.
fn shape(item: &Item) -> Option<Vec<usize>> {
    if let Item::Tensor(tensor) = item { Some(tensor.shape().to_vec()) } else { None }
}

fn compare(got: &Item, wanted: &Item, case: &Case) -> Result<(), String> {
    match (got, wanted) {
        (Item::Tensor(got), Item::Tensor(wanted)) => tensors(got, wanted, case),
        (Item::Sequence(got), Item::Sequence(wanted)) if got.len() == wanted.len() => {
            got.iter().zip(wanted).try_for_each(|(got, wanted)| compare(got, wanted, case))
        }
        (Item::Nothing, Item::Nothing) => Ok(()),
        _ => Err(format!("{got:?} instead of {wanted:?}")),
    }
}

fn tensors(got: &Tensor, wanted: &Tensor, case: &Case) -> Result<(), String> {
    if got.dtype() != wanted.dtype() || got.shape() != wanted.shape() {
        return Err(format!("{got:?} instead of {wanted:?}"));
    }
    if got.strings() != wanted.strings() {
        return Err(format!("results differ: {:?} and {:?}", got.strings(), wanted.strings()));
    }
    if got.strings().is_some() {
        return Ok(());
    }
    for (a, b) in got.to_f64().into_iter().zip(wanted.to_f64()) {
        let close = (a - b).abs() <= case.atol.max(1e-5) + case.rtol * b.abs();
        if !(close || a == b || (a.is_nan() && b.is_nan())) {
            return Err(format!("results differ: {a} and {b}"));
        }
    }
    Ok(())
}
