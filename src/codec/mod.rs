//! Bytes to tensors and back: a file a format, and one registry. Knows neither HTTP nor folders.
//!
//! - `decode`: what the pipeline takes; each format reads its options from the TOML and then decodes
//!   payloads on the calling thread.
//! - `encode`: what the pipeline answers; a format reads its options, is bound to the sources it names,
//!   and then writes whole answers or rows.
//! - `document`: JSON documents, and how several decodes share one.
//! - `fields`: the named fields that json, jsonl, csv and parquet share.
//! - `npy`, `parquet`: the files themselves; `tables`: how rows become a file and are rows again.
//!
//! A new format is one file and one line in `DECODES` or `ENCODES`.

mod classes;
mod decode;
pub mod document;
mod element;
mod encode;
mod fields;
pub mod npy;
mod options;
mod parquet;
mod payload;
pub mod tables;

use crate::diagnostic::{Diagnostic, Report, Span};
use crate::plan::{Codecs, Decode, Draft};
use crate::spec;
use crate::spec::document::Reader;
use std::sync::Arc;

/// Reads the options of a decode. Errors go to the report; the registry then drops what was read.
type ReadDecode = fn(&spec::Codec, &mut Reader<'_>, &mut Report) -> Option<Arc<dyn Decode>>;
/// Reads the options of an encode, as [`ReadDecode`] reads those of a decode.
type ReadEncode = fn(&spec::Codec, &mut Reader<'_>, &mut Report) -> Option<Box<dyn Draft>>;

/// All decodes, each with the options that decide what type it gives.
const DECODES: &[(&str, ReadDecode, &[&str])] = &[
    ("image", decode::image::read, decode::image::DECIDE_TYPE),
    ("json", decode::json::read, decode::json::DECIDE_TYPE),
    ("npy", decode::npy::read, decode::npy::DECIDE_TYPE),
    ("raw", decode::raw::read, decode::raw::DECIDE_TYPE),
];

const ENCODES: &[(&str, ReadEncode)] = &[
    ("json", encode::json::read),
    ("jsonl", encode::jsonl::read),
    ("csv", encode::csv::read),
    ("parquet", encode::parquet::read),
    ("png", encode::png::read),
    ("npy", encode::npy::read),
];

/// All formats of rserve.
pub fn registry() -> &'static dyn Codecs {
    &Registry
}

struct Registry;

impl Codecs for Registry {
    fn decode(&self, codec: &spec::Codec, report: &mut Report) -> Option<Arc<dyn Decode>> {
        let others = ENCODES.iter().map(|(name, _)| *name);
        let deciding = DECODES.iter().find(|(name, ..)| *name == codec.format.value).map(|(.., keys)| *keys);
        let formats: Vec<_> = DECODES.iter().map(|(name, read, _)| (*name, *read)).collect();
        look_up("decode", &formats, others, codec, report, |error| {
            !about_the_type(codec, deciding.unwrap_or_default(), error)
        })
    }

    fn encode(&self, codec: &spec::Codec, report: &mut Report) -> Option<Box<dyn Draft>> {
        look_up("encode", ENCODES, DECODES.iter().map(|(name, ..)| *name), codec, report, |_| true)
    }
}

/// Whether an error in the options of a decode leaves open what it gives: that of one of the `deciding`
/// options, or of a key that may be meant for one.
fn about_the_type(codec: &spec::Codec, deciding: &[&str], error: &Diagnostic) -> bool {
    let Some((place, _)) = error.places.first() else { return true };
    let on = |at: &Span| at.range.start <= place.range.start && place.range.end <= at.range.end;
    let option = codec.options.entries.iter().find(|(key, value)| on(&key.place) || on(&value.place));
    option.is_none_or(|(key, value)| !on(&value.place) || deciding.contains(&key.value.as_str()))
}

type Read<T> = fn(&spec::Codec, &mut Reader<'_>, &mut Report) -> Option<T>;

/// Reads the codec with the format it names. `others` are the formats of the other direction, known only
/// so that a format on the wrong side is told from one that does not exist. What was read with errors is
/// returned where each of them is `harmless`.
fn look_up<T>(
    side: &str,
    formats: &[(&'static str, Read<T>)],
    mut others: impl Iterator<Item = &'static str>,
    codec: &spec::Codec,
    report: &mut Report,
    harmless: impl Fn(&Diagnostic) -> bool,
) -> Option<T> {
    let wanted = codec.format.value.as_str();
    let Some((_, read)) = formats.iter().find(|(name, _)| *name == wanted) else {
        let list: Vec<String> = formats.iter().map(|(name, _)| format!("`{name}`")).collect();
        let list = list.join(", ");
        let mut d = Diagnostic::error(format!("unknown {side} format `{wanted}`"));
        if others.any(|other| other == wanted) {
            d = d.at(&codec.format.place, format!("this format does not {side}"));
        } else {
            d = d.at(&codec.format.place, "");
            if let Some(near) = crate::diagnostic::nearest(wanted, formats.iter().map(|(name, _)| *name)) {
                d = d.help(format!("did you mean `{near}`?"));
            }
        }
        report.push(d.note(format!("{side} formats: {list}")));
        return None;
    };
    let mut found = Report::default();
    let mut options =
        Reader::new(format!("`{side}.{}`", codec.name.value), &codec.options, &codec.name.place);
    options.take("format");
    let codec = read(codec, &mut options, &mut found);
    options.finish(&mut found);
    let codec = codec.filter(|_| found.diagnostics.iter().all(harmless));
    found.diagnostics.into_iter().for_each(|d| report.push(d));
    codec
}

#[cfg(test)]
mod tests;

pub use decode::cells;
pub use decode::npy::tensor as npy_tensor;
