//! The pipeline language, from TOML text to a plan or to everything that is wrong with it.
//!
//! The store and the machine are told, not looked at, so that no model file is needed.

mod broken;
mod digest;
mod drawn;
mod fields;
mod many_files;
mod operations;
mod pictures;
mod syntax;
mod valid;

use rserve::diagnostic::{Report, SourceText, render};
use rserve::memory::{Budget, Use};
use rserve::plan::{
    Array, Capacity, DeviceFacts, DeviceId, Dim, Facts, ModelFacts, Plan, Port, Registries, Signature,
    VersionFacts, compile,
};
use rserve::spec;
use rserve::tensor::{DType, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// A file that uses most of the language; the tests break it in one place each.
pub const ROAD: &str = r#"[store]
path = "store"

[models.road-mask]
gpu = 0.7

[models.surface]
gpu = 0.3
version = 2

[pipelines.road]
decode.photo = { format = "image", size = [64, 64], mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }

[pipelines.road.steps]
mask = { model = "road-mask", inputs = { image = "photo" } }
surface = { model = "surface", inputs = { image = "photo", mask = "mask" } }

[pipelines.road.online]
route = "/road"
encode.reply = { format = "json", fields.surface = { from = "surface", as = "top", top = 3, labels = "labels.txt" } }
encode.overlay = { format = "png", from = "mask", as = "overlay", on = "photo" }

[pipelines.road.offline]
encode.rows = { format = "csv", fields.surface = { from = "surface.probabilities", as = "label", labels = "labels.txt" } }
"#;

/// [`ROAD`] with parts of it replaced. Each must be there.
pub fn road(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(ROAD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the text");
        text.replacen(from, to, 1)
    })
}

/// "image: float32[N, 3, 64, 64]"
fn port(text: &str) -> Port {
    let (name, ty) = text.split_once(": ").unwrap();
    let (dtype, dims) = ty.trim_end_matches(']').split_once('[').unwrap();
    let dim = |d: &str| match d.parse() {
        Ok(n) => Dim::Fixed(n),
        Err(_) => Dim::Named(d.to_owned()),
    };
    Port {
        name: name.into(),
        dtype: DType::from_name(dtype),
        declared: dtype.into(),
        dims: Some(dims.split(", ").filter(|d| !d.is_empty()).map(dim).collect()),
        ..Port::default()
    }
}

fn version(inputs: &[&str], outputs: &[&str], labels: usize) -> Result<VersionFacts, String> {
    let ports = |texts: &[&str]| texts.iter().map(|text| port(text)).collect();
    let signature = Signature::new(ports(inputs), ports(outputs));
    let lines: Vec<String> = (0..labels).map(|i| format!("class {i}")).collect();
    let index = Tensor::from_vec(vec![lines.len(), 5], vec![0f32; lines.len() * 5]).unwrap();
    let held = Arc::new(Budget::unlimited().nothing(Use::Loads));
    let arrays = BTreeMap::from([("index.npy".to_owned(), Array { tensor: index, held })]);
    let labels = if lines.is_empty() {
        BTreeMap::new()
    } else {
        BTreeMap::from([("labels.txt".into(), lines.into())])
    };
    Ok(VersionFacts { signature: Arc::new(signature), labels, texts: BTreeSet::new(), arrays, weights: 1000 })
}

/// The store that the tests tell of.
pub fn facts() -> Facts {
    let mask = || version(&["image: float32[N, 3, 64, 64]"], &["mask: float32[N, 1, 64, 64]"], 0);
    let surface = |labels| {
        let inputs = ["image: float32[N, 3, 64, 64]", "mask: float32[N, 1, 64, 64]"];
        version(&inputs, &["probabilities: float32[N, 5]"], labels)
    };
    let resnet = version(&["data: float32[N, 3, 224, 224]"], &["logits: float32[N, 1000]"], 1000);
    let spot = version(
        &["safety: float32[N, 4, 96, 96]"],
        &["centre: float32[N, 2]", "radius: float32[N, 1]", "confidence: float32[N, 1]"],
        0,
    );
    let safety = version(&["image: float32[N, 3, 96, 96]"], &["classes: float32[N, 4, 96, 96]"], 4);
    let bytes = version(&["image: uint8[N, 64, 64, 3]"], &["mask: float32[N, 1, 64, 64]"], 0);
    let gray = version(&["image: float32[N, 1, 28, 28]"], &["digit: float32[N, 10]"], 0);
    let single = version(&["image: float32[1, 3, 64, 64]"], &["mask: float32[1, 1, 64, 64]"], 0);
    let words = version(&["text: sequence[N]"], &["vector: float32[N, 8]"], 0);
    let detector = version(&["image: float32[N, 3, 64, 64]"], &["output0: float32[N, 7, 84]"], 3);
    let pairs = version(
        &["image: float32[N, 3, 64, 64]"],
        &["boxes: float32[N, 10, 4]", "scores: float32[N, 10]", "classes: int64[N, 10]"],
        3,
    );
    let reader = version(&["image: float32[N, 3, 32, 96]"], &["kinds: float32[N, 9]"], 0);
    let broken = || Err::<VersionFacts, _>("node `nms` (NonMaxSuppression): not supported".to_owned());
    let models = [
        ("road-mask", vec![(1, mask()), (2, mask())]),
        ("surface", vec![(1, surface(5)), (2, surface(5))]),
        ("resnet", vec![(1, resnet)]),
        ("landing-spot", vec![(1, spot)]),
        ("landing-safety", vec![(1, safety.clone())]),
        ("bytes", vec![(1, bytes)]),
        ("gray", vec![(1, gray)]),
        ("single", vec![(1, single)]),
        ("words", vec![(1, words)]),
        ("half-broken", vec![(1, mask()), (2, broken())]),
        ("broken", vec![(1, broken())]),
        ("changed", vec![(1, safety), (2, mask())]),
        ("relabelled", vec![(1, surface(4)), (2, surface(5))]),
        ("mislabelled", vec![(1, surface(4))]),
        ("detector", vec![(1, detector)]),
        ("pairs", vec![(1, pairs)]),
        ("reader", vec![(1, reader)]),
        ("empty", vec![]),
    ];
    let models = models.into_iter().map(|(name, versions)| {
        (name.to_owned(), ModelFacts { versions: versions.into_iter().collect(), ..ModelFacts::default() })
    });
    let shop = Err("No such file or directory".to_owned());
    Facts {
        stores: BTreeMap::from([
            (PathBuf::from("store"), Ok(models.collect())),
            (PathBuf::from("shop"), shop),
        ]),
    }
}

pub fn cpu() -> DeviceFacts {
    DeviceFacts { id: DeviceId::Cpu, name: "two cores".into(), memory: None }
}

pub fn gpu(index: usize) -> DeviceFacts {
    DeviceFacts { id: DeviceId::Cuda(index), name: "a GPU".into(), memory: Some(80 << 30) }
}

pub fn on_cpu() -> Capacity {
    Capacity {
        devices: vec![cpu()],
        no_cuda: Some("this rserve was built without the `cuda` feature".into()),
    }
}

pub fn with_gpus(count: usize) -> Capacity {
    let devices = std::iter::once(cpu()).chain((0..count).map(gpu)).collect();
    Capacity { devices, no_cuda: None }
}

/// Compiles files, by name and text; and all that was said.
pub fn compile_on(capacity: &Capacity, files: &[(&str, &str)]) -> (Option<Plan>, Report) {
    compile_with(&facts(), capacity, files)
}

/// The same, with another store.
pub fn compile_with(facts: &Facts, capacity: &Capacity, files: &[(&str, &str)]) -> (Option<Plan>, Report) {
    let mut report = Report::default();
    let specs: Vec<spec::Spec> =
        files.iter().map(|(path, text)| spec::read(&SourceText::new(path, *text), &mut report)).collect();
    let registries = Registries { codecs: rserve::codec::registry(), operations: rserve::steps::registry() };
    let plan = compile(&specs, facts, capacity, registries, &mut report);
    assert_eq!(plan.is_none(), report.has_errors(), "{}", render(&report, false));
    (plan, report)
}

/// What is said of a file that has errors.
pub fn errors(text: &str) -> String {
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", text)]);
    assert!(plan.is_none(), "this was to be refused:\n{text}");
    render(&report, false)
}

/// The plan of a file that has none.
pub fn plan(text: &str) -> Plan {
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", text)]);
    plan.unwrap_or_else(|| panic!("{}", render(&report, false)))
}
