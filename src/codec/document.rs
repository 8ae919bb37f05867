//! JSON documents as programs write them, and the fields of one that several decodes read.
//!
//! - A byte-order mark before the document is passed over; UTF-16 is refused by name.
//! - `NaN`, `Infinity` and `-Infinity`, for which JSON has no words and which Python's `json.dumps` writes,
//!   are read as `null` and as strings of these names, which a decode of floats takes.
//! - A field is read by the decode of its name, or by that whose `field` it is. Other fields are passed over.

use crate::diagnostic::nearest;
use crate::plan::{DecodePlan, Payload};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The text of a document, or why it cannot be one.
pub fn text(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let utf_16 = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        // The first character of JSON is one of ASCII, of which UTF-16 makes two bytes.
        [0, b, ..] | [b, 0, ..] => *b != 0,
        _ => false,
    };
    match utf_16 {
        true => Err("it is UTF-16, and JSON is sent as UTF-8"),
        false => Ok(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)),
    }
}

/// The document with `null` for each `NaN` and a string for each infinity. `None` where there is neither.
pub fn with_words(text: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [(&[u8], &[u8]); 3] =
        [(b"NaN", b"null"), (b"-Infinity", b"\"-Infinity\""), (b"Infinity", b"\"Infinity\"")];
    let is_end = |byte: Option<&u8>| byte.is_none_or(|b| b",]} \t\r\n".contains(b));
    let mut out = vec![];
    let (mut copied, mut at) = (0, 0);
    let mut in_string = false;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'N' | b'I' | b'-' if !in_string => {
                let word = WORDS
                    .iter()
                    .find(|(word, _)| text[at..].starts_with(word) && is_end(text.get(at + word.len())));
                if let Some((word, json)) = word {
                    out.extend_from_slice(&text[copied..at]);
                    out.extend_from_slice(json);
                    at += word.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    (copied > 0).then(|| {
        out.extend_from_slice(&text[copied..]);
        out
    })
}

/// Why a document is not one payload for each decode.
#[derive(Debug)]
pub enum SplitError {
    NotText(&'static str),
    NotJson(serde_json::Error),
    /// It is JSON, and no object, or one of very many fields.
    NotFields,
    /// Two fields for this decode.
    Twice(String),
    Missing(Missing),
}

/// Decodes for which there is no field.
#[derive(Debug)]
pub struct Missing {
    pub names: Vec<String>,
    /// What is there beside: "there is `met`, did you mean `meta`?"
    pub hint: Option<String>,
    /// The first few fields that no decode reads.
    pub others: Vec<String>,
}

/// The fields of an object as one payload for each decode, in their order.
pub fn split(body: &[u8], decodes: &[DecodePlan]) -> Result<Vec<Payload>, SplitError> {
    let body = text(body).map_err(SplitError::NotText)?;
    let parsed = serde_json::from_slice(body).or_else(|error: serde_json::Error| match with_words(body) {
        Some(mended) if !error.is_data() => serde_json::from_slice(&mended).map_err(|_| error),
        _ => Err(error),
    });
    let Fields(fields) =
        parsed.map_err(|e| if e.is_data() { SplitError::NotFields } else { SplitError::NotJson(e) })?;
    let mut found: Vec<Option<Payload>> = decodes.iter().map(|_| None).collect();
    let mut others = vec![];
    for (key, value) in fields {
        let named = decodes.iter().position(|d| d.name == key);
        let reader = named.or_else(|| decodes.iter().position(|d| d.decode.field() == Some(&key)));
        let Some(index) = reader else {
            if others.len() < MOST_NAMED {
                others.push(key);
            }
            continue;
        };
        if found[index].replace(Payload::Json(value)).is_some() {
            return Err(SplitError::Twice(decodes[index].name.clone()));
        }
    }
    complete(found, decodes, &others).map_err(SplitError::Missing)
}

/// Gives all payloads, where each decode has one; `others` are the names of what else there is.
pub fn complete(
    found: Vec<Option<Payload>>,
    decodes: &[DecodePlan],
    others: &[String],
) -> Result<Vec<Payload>, Missing> {
    let lacking = found.iter().zip(decodes).filter(|(payload, _)| payload.is_none());
    let names: Vec<String> = lacking.map(|(_, decode)| decode.name.clone()).collect();
    if names.is_empty() {
        return Ok(found.into_iter().flatten().collect());
    }
    let hint = meant(names.iter().map(String::as_str), others);
    let others = others.iter().map(|name| shown(name)).collect();
    Err(Missing { names, hint, others })
}

/// What of `others` was probably meant for one of `missing`, or else what there is.
pub fn meant<'a>(missing: impl IntoIterator<Item = &'a str>, others: &[String]) -> Option<String> {
    let near = missing.into_iter().find_map(|name| {
        let near = others.iter().find(|other| nearest(other, [name]).is_some())?;
        Some(format!("there is `{}`, did you mean `{name}`?", shown(near)))
    });
    near.or_else(|| {
        let list: Vec<String> = others.iter().take(8).map(|name| format!("`{}`", shown(name))).collect();
        (!list.is_empty()).then(|| format!("there is {}", list.join(", ")))
    })
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Fields of no decode that are remembered, to be named where one is missing.
pub const MOST_NAMED: usize = 16;

/// The fields of a JSON object as they stand in the text: no tree is built, and a field that is there
/// twice is seen twice.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = vec![];
                while let Some(field) = map.next_entry()? {
                    if fields.len() == MOST_FIELDS {
                        return Err(A::Error::custom("too many fields"));
                    }
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Fields that a JSON object may have; far more than any pipeline has decodes.
const MOST_FIELDS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_no_words_for_is_read_outside_of_strings() {
        let mended = |text: &str| with_words(text.as_bytes()).map(|out| String::from_utf8(out).unwrap());
        for (text, wanted) in [
            (r#"{"x": NaN}"#, r#"{"x": null}"#),
            ("[1, -Infinity,Infinity , NaN]", r#"[1, "-Infinity","Infinity" , null]"#),
            ("NaN", "null"),
            (r#"{"NaN": "NaN, NaN", "y": NaN}"#, r#"{"NaN": "NaN, NaN", "y": null}"#),
            (r#"["\"", NaN]"#, r#"["\"", null]"#),
        ] {
            assert_eq!(mended(text).as_deref(), Some(wanted));
        }
        for text in ["", "[1]", "[NaNs]", r#""NaN""#, "[-Infinit", r#"{"a": "\\\" NaN"}"#, "-"] {
            assert_eq!(mended(text), None, "{text}");
        }
    }

    #[test]
    fn a_mark_is_passed_over_and_utf_16_is_named() {
        assert_eq!(text(b"\xef\xbb\xbf[1]"), Ok(&b"[1]"[..]));
        assert_eq!(text(b"[1]"), Ok(&b"[1]"[..]));
        for utf_16 in [&b"\xff\xfe[\0"[..], b"\xfe\xff\0[", b"[\0\x31\0", b"\0[\0\x31"] {
            assert!(text(utf_16).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_gone_through(text: Vec<u8>) {
            let _ = with_words(&text);
        }
    }
}
