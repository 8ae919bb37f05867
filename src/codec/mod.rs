//! Bytes to tensors and back: a file a format, and one registry. Knows neither HTTP nor folders.
//!
//! - [`decode`]: what the pipeline takes; each format reads its options from the TOML and then decodes
//!   payloads on the calling thread.
//! - [`encode`]: what the pipeline answers; a format reads its options, is bound to the sources it names,
//!   and then writes whole answers or rows.
//! - [`picture`]: pictures of all formats to upright RGB, resized as Pillow resizes.
//! - [`fields`]: the named fields that json, jsonl and csv share.
//!
//! A new format is one file and one line in [`DECODES`] or [`ENCODES`].

mod classes;
mod decode;
mod element;
mod encode;
mod fields;
mod npy;
mod options;
mod payload;
mod picture;

use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{Codecs, Decode, Draft};
use crate::spec;
use crate::spec::document::Reader;
use std::sync::Arc;

/// Reads the options of a decode. Errors go to the report; the registry then drops what was read.
type ReadDecode = fn(&spec::Codec, &mut Reader<'_>, &mut Report) -> Option<Arc<dyn Decode>>;
/// The same for an encode.
type ReadEncode = fn(&spec::Codec, &mut Reader<'_>, &mut Report) -> Option<Box<dyn Draft>>;

const DECODES: &[(&str, ReadDecode)] = &[
    ("image", decode::image::read),
    ("json", decode::json::read),
    ("npy", decode::npy::read),
    ("raw", decode::raw::read),
];

const ENCODES: &[(&str, ReadEncode)] = &[
    ("json", encode::json::read),
    ("jsonl", encode::jsonl::read),
    ("csv", encode::csv::read),
    ("png", encode::png::read),
    ("npy", encode::npy::read),
];

/// All formats of rserve.
pub fn registry() -> impl Codecs {
    Registry
}

struct Registry;

impl Codecs for Registry {
    fn decode(&self, codec: &spec::Codec, report: &mut Report) -> Option<Arc<dyn Decode>> {
        look_up("decode", DECODES, ENCODES.iter().map(|(name, _)| *name), codec, report)
    }

    fn encode(&self, codec: &spec::Codec, report: &mut Report) -> Option<Box<dyn Draft>> {
        look_up("encode", ENCODES, DECODES.iter().map(|(name, _)| *name), codec, report)
    }
}

type Read<T> = fn(&spec::Codec, &mut Reader<'_>, &mut Report) -> Option<T>;

/// Reads the codec with the format it names. `others` are the formats of the other direction, known only
/// so that a format on the wrong side is told from one that does not exist.
fn look_up<T>(
    side: &str,
    formats: &[(&'static str, Read<T>)],
    mut others: impl Iterator<Item = &'static str>,
    codec: &spec::Codec,
    report: &mut Report,
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
    let before = report.errors();
    let mut options =
        Reader::new(format!("`{side}.{}`", codec.name.value), &codec.options, &codec.name.place);
    options.take("format");
    let found = read(codec, &mut options, report);
    options.finish(report);
    found.filter(|_| report.errors() == before)
}

#[cfg(test)]
mod tests;
