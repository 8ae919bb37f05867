//! The codecs through their registry, as the plan uses them.

mod arrays;
mod crop;
mod encodes;
mod hostile;
mod json;
mod lists;
mod pictures;
mod resize;

use bytes::Bytes;
use rserve::diagnostic::{At, Report, SourceText};
use rserve::plan::{
    Bound, Decode, DecodeError, Decoded, Encode, Given, Input, Payload, Presence, TensorType,
};
use rserve::spec::Codec;
use rserve::spec::document::{Value, parse};
use rserve::tensor::{DType, Tensor};
use std::path::PathBuf;
use std::sync::Arc;

fn fixture(path: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codec").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The codec that `options` writes, named `photo`.
fn codec(options: &str) -> Codec {
    let source = SourceText::new("p.toml", format!("photo = {{ {options} }}"));
    let mut report = Report::default();
    let document = parse(&source, &mut report);
    assert!(!report.has_errors(), "{options}: {:?}", report.diagnostics);
    let (name, value) = document.value.entries.into_iter().next().unwrap();
    let Value::Table(table) = &value.value else { panic!("not a table") };
    let format = match table.get("format") {
        Some(At { value: Value::String(format), place }) => At::new(format.clone(), place.clone()),
        _ => panic!("no format in {options}"),
    };
    Codec { name, format, options: value.with(table.clone()) }
}

fn decode(options: &str) -> Arc<dyn Decode> {
    let mut report = Report::default();
    rserve::codec::registry()
        .decode(&codec(options), &mut report)
        .unwrap_or_else(|| panic!("{options}: {:?}", report.diagnostics))
}

fn bytes(bytes: impl Into<Bytes>) -> Payload {
    Payload::Bytes(bytes.into())
}

fn json(text: &str) -> Payload {
    Payload::Json(serde_json::value::RawValue::from_string(text.into()).unwrap())
}

/// What a decode makes of a body.
fn decoded(options: &str, body: impl Into<Bytes>) -> Result<Decoded, DecodeError> {
    decode(options).decode(&bytes(body), true)
}

/// The kind of a refusal and its text.
fn refusal(result: Result<Decoded, DecodeError>) -> String {
    match result {
        Ok(decoded) => panic!("decoded {:?}", decoded.tensor),
        Err(DecodeError::WrongType(text)) => format!("wrong type: {text}"),
        Err(DecodeError::Malformed(text)) => format!("malformed: {text}"),
        Err(DecodeError::TooLarge(text)) => format!("too large: {text}"),
        Err(DecodeError::Invalid(text)) => format!("invalid: {text}"),
    }
}

/// A type written as `float32[3, ?]`.
fn ty(text: &str) -> TensorType {
    let (dtype, dims) = text.split_once('[').unwrap();
    let dims = dims.trim_end_matches(']');
    TensorType {
        dtype: DType::from_name(dtype),
        dims: match dims {
            ".." => None,
            "" => Some(vec![]),
            dims => Some(dims.split(", ").map(|d| d.parse().ok()).collect()),
        },
    }
}

/// Binds an encode to sources of these types, each with labels where a field asks for them; else titles,
/// helps and first places of what is wrong.
fn bind(options: &str, sources: &[(&str, usize)]) -> Result<Arc<dyn Encode>, Vec<String>> {
    let mut report = Report::default();
    let draft = rserve::codec::registry()
        .encode(&codec(options), &mut report)
        .unwrap_or_else(|| panic!("{options}: {:?}", report.diagnostics));
    let wanted = draft.sources();
    assert_eq!(wanted.len(), sources.len());
    let bound: Vec<Option<Bound>> = wanted
        .into_iter()
        .zip(sources)
        .map(|(wanted, (text, labels))| {
            Some(Bound {
                from: wanted.from,
                ty: ty(text),
                labels: wanted.labels.map(|file| (file, *labels)),
                lines: None,
                note: Some(format!("model `m` gives {text}")),
                presence: Presence::default(),
            })
        })
        .collect();
    draft.bind(&bound, &mut report).ok_or_else(|| {
        report
            .diagnostics
            .iter()
            .map(|d| {
                let (place, label) = &d.places[0];
                let at = &place.source.text[place.range.clone()];
                format!("{} @ {at} ({label}) | {}", d.title, d.helps.join("; "))
            })
            .collect()
    })
}

fn input(tensor: Tensor) -> Input {
    Input { given: Given::One(tensor), labels: None }
}

fn labelled(tensor: Tensor, labels: &[&str]) -> Input {
    Input { given: Given::One(tensor), labels: Some(labels.iter().map(|l| l.to_string()).collect()) }
}

fn f32s(shape: &[usize], elements: &[f32]) -> Tensor {
    Tensor::from_vec(shape.to_vec(), elements.to_vec()).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
