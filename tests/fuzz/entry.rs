//! What is done with any bytes that come from outside: a function for each place where they come in. Shared by the tests
//! beside it and by the fuzz targets (`fuzz/`). Whatever the bytes are, none of these may panic.

use bytes::Bytes;
use rserve::codec::registry;
use rserve::diagnostic::{At, Report, SourceText, render};
use rserve::picture::{self, Limits};
use rserve::plan::condition::{self, Kind, Scalar};
use rserve::plan::{
    Capacity, DecodePlan, DeviceFacts, DeviceId, Dim, Facts, ModelFacts, Payload, Port, Registries,
    Signature, VersionFacts, compile, needs,
};
use rserve::spec::document::{Value, parse};
use rserve::spec::{Codec, read};
use rserve::tensor::DType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A pipeline file: read, compiled with models that are there whatever they are called, and what is said of it.
pub fn toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut report = Report::default();
    let specs = [read(&SourceText::new("p.toml", text), &mut report)];
    let mut facts = Facts::default();
    for (store, models) in needs(&specs) {
        let models = models.into_keys().map(|name| {
            let versions = BTreeMap::from([(1, Ok(version())), (2, Err("not supported: a node".to_owned()))]);
            (name, ModelFacts { versions, ..ModelFacts::default() })
        });
        facts.stores.insert(store.path, Ok(models.collect()));
    }
    let cpu = DeviceFacts { id: DeviceId::Cpu, name: "two cores".into(), memory: None };
    let capacity = Capacity { devices: vec![cpu], no_cuda: None };
    let registries = Registries { codecs: registry(), operations: rserve::steps::registry() };
    let _ = compile(&specs, &facts, &capacity, registries, &mut report);
    let text = render(&report, false);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "it reaches a terminal: {text:?}");
}

fn version() -> VersionFacts {
    let port = |name: &str, dims: &[usize]| {
        let dims = dims.iter().map(|dim| Dim::Fixed(*dim));
        Port::tensor(name, DType::F32, Some([Dim::Named("N".into())].into_iter().chain(dims).collect()))
    };
    let inputs = vec![port("image", &[3, 64, 64]), port("mask", &[1, 64, 64])];
    let outputs = vec![port("probabilities", &[5]), port("mask", &[1, 64, 64])];
    let labels: Vec<String> = (0..5).map(|class| format!("class {class}")).collect();
    VersionFacts {
        signature: Arc::new(Signature::new(inputs, outputs)),
        labels: BTreeMap::from([("labels.txt".to_owned(), labels.into())]),
        texts: BTreeSet::new(),
        arrays: BTreeMap::new(),
        weights: 1000,
    }
}

/// A condition of `when`: parsed, checked against sources of any kind, and evaluated.
pub fn condition(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let condition = match condition::parse(text) {
        Ok(condition) => condition,
        Err(mistake) => {
            condition::guessed(text);
            return assert!(text.get(mistake.at.clone()).is_some(), "{mistake:?}");
        }
    };
    let canonical = condition.to_string();
    let again = condition::parse(&canonical).map(|again| again.to_string());
    assert_eq!(again.as_ref(), Ok(&canonical), "of {text:?}");
    let labels = ["truck", "bus"].map(str::to_owned);
    let kinds = [
        Some(Kind::Number(DType::F32)),
        Some(Kind::Number(DType::I64)),
        Some(Kind::Bool),
        Some(Kind::Class { labels: Some(&labels) }),
        Some(Kind::Class { labels: None }),
        Some(Kind::Text),
        Some(Kind::Many("float32[5]".into())),
        None,
    ];
    let values = [
        Scalar::Float(0.85, DType::F16),
        Scalar::Float(f64::NAN, DType::F64),
        Scalar::Int(i128::MIN),
        Scalar::Bool(true),
        Scalar::Text("bus".into()),
        Scalar::Class(1, Some("bus".into())),
    ];
    let sources = condition.sources().len();
    for first in 0..kinds.len() {
        let kinds: Vec<_> =
            (0..sources).map(|source| kinds[(first + source) % kinds.len()].clone()).collect();
        for mistake in condition.check(&kinds) {
            assert!(text.get(mistake.at.clone()).is_some(), "{mistake:?}");
        }
        let values: Vec<_> =
            (0..sources).map(|source| values[(first + source) % values.len()].clone()).collect();
        condition.evaluate(&values);
    }
}

/// What a body may call itself; the first byte of an input chooses.
const KINDS: [&str; 6] = [
    "multipart/form-data; boundary=B",
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/vnd.x+json",
    "",
];

/// A body, whose first byte says what it calls itself: split among decodes, and decoded.
pub fn body(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let all = ["format = \"image\", size = [8, 8]", "format = \"json\"", "format = \"npy\"", RAW];
    let all: Vec<DecodePlan> = all.iter().zip(["image", "json", "npy", "raw"]).map(decode).collect();
    let alone = [decode((&"format = \"json\", dtype = \"string\"", "json"))];
    for decodes in [&all[..], &alone, &all[..1]] {
        let Ok(parts) = rserve::ingress::payloads(kind, Bytes::copy_from_slice(body), decodes) else {
            continue;
        };
        assert_eq!(parts.len(), decodes.len());
        for (part, decode) in parts.iter().zip(decodes) {
            decode_one(decode, part);
        }
    }
}

const RAW: &str = "format = \"raw\", dtype = \"float32\", shape = [2, -1]";

/// An array in NumPy's format.
pub fn npy(bytes: &[u8]) {
    let payload = Payload::Bytes(Bytes::copy_from_slice(bytes));
    for options in
        ["format = \"npy\"", "format = \"npy\", max_elements = 100", "format = \"npy\", dtype = \"uint8\""]
    {
        if let Some(decode) = try_decode(options, "npy") {
            decode_one(&decode, &payload);
        }
    }
    let _ = rserve::codec::npy_tensor(Bytes::copy_from_slice(bytes));
}

/// A JSON document, for decodes of numbers and of texts.
pub fn json(bytes: &[u8]) {
    let payload = Payload::Bytes(Bytes::copy_from_slice(bytes));
    for options in [
        "format = \"json\"",
        "format = \"json\", dtype = \"string\"",
        "format = \"json\", dtype = \"int64\", shape = [-1, 2]",
        "format = \"json\", field = \"x\"",
    ] {
        if let Some(decode) = try_decode(options, "json") {
            decode_one(&decode, &payload);
        }
    }
}

/// A picture of any format.
pub fn picture(bytes: &[u8]) {
    let limits = Limits { pixels: 1 << 20, side: 4096 };
    let (mut rgb, mut spare) = (vec![], vec![]);
    if let Ok((width, height, _)) = picture::read(bytes, limits, Some([9, 9, 9]), &mut rgb, &mut spare) {
        assert_eq!(rgb.len(), width as usize * height as usize * 3);
    }
}

fn decode_one(decode: &DecodePlan, payload: &Payload) {
    let _ = decode.decode.weight(payload);
    if let Ok(decoded) = decode.decode.decode(payload, true) {
        let ty = decode.decode.produces();
        assert!(ty.dtype.is_none_or(|dtype| dtype == decoded.tensor.dtype()), "{}", decode.name);
    }
}

fn decode((options, name): (&&str, &str)) -> DecodePlan {
    try_decode(options, name).unwrap_or_else(|| panic!("{options}"))
}

/// The decode that these options write, where they write one.
fn try_decode(options: &str, name: &str) -> Option<DecodePlan> {
    let source = SourceText::new("p.toml", format!("{name} = {{ {options} }}"));
    let mut report = Report::default();
    let (name, value) = parse(&source, &mut report).value.entries.into_iter().next()?;
    let Value::Table(table) = &value.value else { return None };
    let At { value: Value::String(format), place } = table.get("format")? else { return None };
    let format = At::new(format.clone(), place.clone());
    let codec = Codec { name: name.clone(), format, options: value.with(table.clone()) };
    let decode = registry().decode(&codec, &mut report)?;
    Some(DecodePlan { name: name.value, decode, keep_origin: true })
}
