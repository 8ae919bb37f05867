//! A body to one payload for each decode: raw, multipart fields, or fields of a JSON object.
//!
//! Fields that no decode is called after are passed over: a form has a button with a name and a `_charset_`, and
//! a document more keys than a pipeline reads. A misspelt one shows in the field that is then missing.

use super::problem::Problem;
use crate::diagnostic::nearest;
use crate::plan::{DecodePlan, Payload};
use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use multer::{Constraints, Multipart, SizeLimit};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Parts that a multipart body may have beside those of the decodes: more than a form has, and few enough to be
/// passed over quickly.
const SPARE_PARTS: usize = 64;

/// In the order of `decodes`.
pub async fn payloads(
    headers: &HeaderMap,
    body: Bytes,
    decodes: &[DecodePlan],
) -> Result<Vec<Payload>, Problem> {
    let declared = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == "multipart/form-data" {
        return multipart(declared, body, decodes).await;
    }
    if essence.starts_with("multipart/") {
        return Err(Problem::wrong_type(format!(
            "of multipart bodies `multipart/form-data` alone is taken, not `{essence}`"
        )));
    }
    let says_json = essence == "application/json" || essence.ends_with("+json");
    match decodes {
        // A decode of JSON reads the document itself, whatever curl calls it.
        [one] if !says_json || one.decode.format() == "json" => Ok(vec![Payload::Bytes(body)]),
        _ if says_json => json_fields(&body, decodes),
        _ => Err(Problem::wrong_type(format!(
            "this pipeline takes several things at once ({}); send `multipart/form-data` with a field for \
             each, or `application/json` with one object",
            listed(decodes),
        ))
        .with("decodes", names(decodes))),
    }
}

/// One slot for each decode, filled by name.
struct Slots<'a> {
    decodes: &'a [DecodePlan],
    filled: Vec<Option<Payload>>,
    /// The first few fields that no decode is called after.
    others: Vec<String>,
}

/// Fields that are remembered for what they may have been meant to be.
const REMEMBERED: usize = 16;

impl<'a> Slots<'a> {
    fn new(decodes: &'a [DecodePlan]) -> Self {
        Self { decodes, filled: decodes.iter().map(|_| None).collect(), others: vec![] }
    }

    fn pass_over(&mut self, name: &str) {
        if self.others.len() < REMEMBERED {
            self.others.push(name.chars().take(64).collect());
        }
    }

    fn put(&mut self, name: &str, payload: Payload) -> Result<(), Problem> {
        let Some(index) = self.decodes.iter().position(|d| d.name == name) else {
            self.pass_over(name);
            return Ok(());
        };
        if self.filled[index].replace(payload).is_some() {
            return Err(Problem::malformed(format!("the field `{name}` is there twice")).with("field", name));
        }
        Ok(())
    }

    fn all(self) -> Result<Vec<Payload>, Problem> {
        let decodes = self.decodes;
        let missing: Vec<&str> = self
            .filled
            .iter()
            .zip(decodes)
            .filter(|(p, _)| p.is_none())
            .map(|(_, d)| d.name.as_str())
            .collect();
        if !missing.is_empty() {
            let list: Vec<String> = missing.iter().map(|m| format!("`{m}`")).collect();
            let meant = missing.iter().find_map(|missing| {
                let near = self.others.iter().find(|other| nearest(other, [*missing]).is_some())?;
                Some(format!("; there is `{near}`, did you mean `{missing}`?"))
            });
            let detail = format!("missing field {}{}", list.join(", "), meant.unwrap_or_default());
            let problem = Problem::malformed(detail).with("missing", missing).with("decodes", names(decodes));
            return Err(match self.others.is_empty() {
                true => problem,
                false => problem.with("others", self.others),
            });
        }
        Ok(self.filled.into_iter().flatten().collect())
    }
}

async fn multipart(declared: &str, body: Bytes, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Problem> {
    let malformed = |e: &dyn fmt::Display| Problem::malformed(format!("multipart body: {e}"));
    let boundary = multer::parse_boundary(declared).map_err(|_| {
        malformed(&"the content-type names no boundary; leave it to the client to set it (`curl -F`)")
    })?;
    let end = format!("`--{}--`", boundary.chars().take(70).collect::<String>());
    let broken = |error: multer::Error| match error {
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => malformed(&format!(
            "it ends before its last boundary, {end}; was it cut off, or is the boundary in the content-type \
             another than the one in the body?"
        )),
        multer::Error::IncompleteHeaders => malformed(&"it ends within the headers of a part"),
        multer::Error::ReadHeaderFailed(_) => {
            malformed(&"a part has headers that cannot be read, or too many")
        }
        error => malformed(&error),
    };
    let limits = SizeLimit::new().whole_stream(body.len() as u64);
    let stream = BodyDataStream::new(Full::new(body));
    let constraints = Constraints::new().size_limit(limits);
    let mut parts = Multipart::with_constraints(stream, boundary, constraints);
    let mut slots = Slots::new(decodes);
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        count += 1;
        if count > decodes.len() + SPARE_PARTS {
            return Err(malformed(&format!("more than {} parts", decodes.len() + SPARE_PARTS)));
        }
        let Some(name) = part.name().map(str::to_owned) else {
            return Err(malformed(&format!("part {count} has no name; it must be {}", listed(decodes))));
        };
        if !decodes.iter().any(|d| d.name == name) {
            slots.pass_over(&name);
            continue;
        }
        let bytes = part.bytes().await.map_err(broken)?;
        slots.put(&name, Payload::Bytes(bytes))?;
    }
    slots.all()
}

fn json_fields(body: &[u8], decodes: &[DecodePlan]) -> Result<Vec<Payload>, Problem> {
    let Fields(fields) = serde_json::from_slice(body).map_err(|e| {
        if e.is_data() {
            Problem::malformed(format!("the JSON body must be one object with {}", listed(decodes)))
                .with("decodes", names(decodes))
        } else {
            not_json(&e)
        }
    })?;
    let mut slots = Slots::new(decodes);
    for (key, value) in fields {
        let named = |d: &&DecodePlan| d.name == key;
        let decode = decodes.iter().find(named);
        let decode = decode.or_else(|| decodes.iter().find(|d| d.decode.field() == Some(&key)));
        slots.put(decode.map_or(&key, |d| &d.name), Payload::Json(value))?;
    }
    slots.all()
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed(format!("the body is not JSON: {error}"))
        .with("line", error.line())
        .with("column", error.column())
}

fn names(decodes: &[DecodePlan]) -> Vec<&str> {
    decodes.iter().map(|d| d.name.as_str()).collect()
}

fn listed(decodes: &[DecodePlan]) -> String {
    let list: Vec<String> = decodes.iter().map(|d| format!("`{}` ({})", d.name, d.decode.format())).collect();
    list.join(", ")
}

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
