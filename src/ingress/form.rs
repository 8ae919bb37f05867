//! A body to one payload for each decode: raw, multipart fields, or fields of a JSON object.
//!
//! Fields that no decode is called after are passed over: a form has a button with a name and a `_charset_`, and
//! a document more keys than a pipeline reads. A misspelt one shows in the field that is then missing.

use super::problem::Problem;
use crate::codec::document::{self, MOST_NAMED, Missing, SplitError};
use crate::flow::Error;
use crate::plan::{DecodeError, DecodePlan, JsonValues, Payload};
use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};
use multer::{Constraints, Multipart, SizeLimit};
use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Parts that a multipart body may have beside those of the decodes, such as the button of a form.
const SPARE_PARTS: usize = 64;

/// The ways in which a body is read, by its `content-type` and by what is wanted of it.
enum Form<'a> {
    /// It is the payload of the only decode as it is.
    Whole,
    /// It is the text of the only decode, which reads values.
    Text(&'a dyn JsonValues),
    Fields,
    Parts,
}

impl<'a> Form<'a> {
    /// `None` of a body that several decodes cannot read.
    fn of(declared: &str, body: &[u8], decodes: &'a [DecodePlan]) -> Result<Option<Self>, Problem> {
        let essence = essence(declared);
        if essence == "multipart/form-data" {
            return Ok(Some(Self::Parts));
        }
        if essence.starts_with("multipart/") {
            return Err(Problem::wrong_type(format!(
                "of multipart bodies `multipart/form-data` alone is taken, not `{essence}`"
            )));
        }
        let says_json = essence == "application/json" || essence.ends_with("+json");
        // What `curl -d` calls everything that it sends.
        let may_be_json = essence.is_empty() || essence == "application/x-www-form-urlencoded";
        Ok(match decodes {
            // A decode of JSON reads the document itself, whatever curl calls it.
            [one] => Some(match one.decode.json() {
                Some(values) if essence == "text/plain" => Self::Text(values),
                None if says_json => Self::Fields,
                _ => Self::Whole,
            }),
            _ if says_json || (may_be_json && body.trim_ascii_start().starts_with(b"{")) => {
                Some(Self::Fields)
            }
            _ => None,
        })
    }
}

/// The payloads of a body that is called `declared`, in the order of `decodes`. It computes, and is to be called where
/// that holds up nobody.
pub fn payloads(declared: &str, body: Bytes, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Problem> {
    match (Form::of(declared, &body, decodes)?, decodes) {
        (Some(Form::Whole), _) => Ok(vec![Payload::Bytes(body)]),
        (Some(Form::Text(values)), [one, ..]) => Ok(vec![field(one, values.field(body))?]),
        (Some(Form::Fields), _) => json_fields(&body, decodes),
        (Some(Form::Parts), _) => {
            let parts = at_once(multipart(declared, body, decodes));
            parts.unwrap_or_else(|| Err(Problem::internal("a multipart body was waited for")))
        }
        _ => Err(Problem::wrong_type(format!(
            "this pipeline takes several things at once ({}); send `multipart/form-data` with a field for \
             each, or `application/json` with one object",
            listed(decodes),
        ))
        .with("decodes", names(decodes))),
    }
}

/// Whether the payloads of a body are copies of parts of it, rather than the body itself.
pub fn is_copied(declared: &str, decodes: &[DecodePlan]) -> bool {
    decodes.len() != 1 || !matches!(Form::of(declared, b"", decodes), Ok(Some(Form::Whole)))
}

fn essence(declared: &str) -> String {
    declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// What a future gives that waits for nothing.
fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Whether a body may be as `curl -d @photo.jpg` sends a file, by what it is called.
pub fn may_have_lost_line_ends(declared: &str) -> bool {
    declared.starts_with("application/x-www-form-urlencoded")
}

/// Whether a body is as `curl -d @photo.jpg` sends a file: without its line ends, by the name of a form.
pub fn has_lost_line_ends(declared: &str, body: &[u8]) -> bool {
    let is_text = matches!(body.first(), None | Some(b'{' | b'['));
    may_have_lost_line_ends(declared) && !is_text && !body.iter().any(|b| b"\r\n".contains(b))
}

/// The error of a body that [`has_lost_line_ends`], with what may be behind it.
pub fn explained(decodes: &[DecodePlan], error: Error) -> Error {
    let (decode, error, one) = match (error, decodes) {
        (Error::Decode { decode, error }, [one]) => (decode, error, one),
        (error, _) => return error,
    };
    if one.decode.json().is_some() {
        return Error::Decode { decode, error };
    }
    let more = |text: String| {
        format!("{text}; `curl -d` takes the line ends out of a file, `curl --data-binary` sends it as it is")
    };
    let error = match error {
        DecodeError::WrongType(text) => DecodeError::WrongType(more(text)),
        DecodeError::Malformed(text) => DecodeError::Malformed(more(text)),
        DecodeError::Invalid(text) => DecodeError::Invalid(more(text)),
        DecodeError::TooLarge(text) => DecodeError::TooLarge(text),
    };
    Error::Decode { decode, error }
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
    let mut found: Vec<Option<Payload>> = decodes.iter().map(|_| None).collect();
    let mut others = vec![];
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        count += 1;
        if count > decodes.len() + SPARE_PARTS {
            return Err(malformed(&format!("more than {} parts", decodes.len() + SPARE_PARTS)));
        }
        let Some(name) = part.name().map(str::to_owned) else {
            return Err(malformed(&format!("part {count} has no name; it must be {}", listed(decodes))));
        };
        let Some(index) = decodes.iter().position(|d| d.name == name) else {
            if others.len() < MOST_NAMED {
                others.push(name);
            }
            continue;
        };
        let is_json = part.content_type().is_some_and(|kind| {
            kind.essence_str() == "application/json" || kind.suffix().is_some_and(|suffix| suffix == "json")
        });
        let bytes = part.bytes().await.map_err(broken)?;
        let payload = match decodes[index].decode.json() {
            Some(values) if !is_json => field(&decodes[index], values.field(bytes))?,
            _ => Payload::Bytes(bytes),
        };
        if found[index].replace(payload).is_some() {
            return Err(twice(&name));
        }
    }
    document::complete(found, decodes, &others).map_err(|lacking| missing(&lacking, decodes))
}

/// The value that a form's field is to its decode.
fn field(plan: &DecodePlan, read: Result<Payload, DecodeError>) -> Result<Payload, Problem> {
    read.map_err(|error| Problem::from(Error::Decode { decode: plan.name.clone(), error }))
}

fn json_fields(body: &[u8], decodes: &[DecodePlan]) -> Result<Vec<Payload>, Problem> {
    document::split(body, decodes).map_err(|unsplit| match unsplit {
        SplitError::NotText(why) => Problem::malformed(format!("the body is not JSON: {why}")),
        SplitError::NotJson(error) => Problem::malformed(format!("the body is not JSON: {error}"))
            .with("line", error.line())
            .with("column", error.column()),
        SplitError::NotFields => {
            Problem::malformed(format!("the JSON body must be one object with {}", listed(decodes)))
                .with("decodes", names(decodes))
        }
        SplitError::Twice(name) => twice(&name),
        SplitError::Missing(lacking) => missing(&lacking, decodes),
    })
}

fn twice(name: &str) -> Problem {
    Problem::malformed(format!("the field `{name}` is there twice")).with("field", name)
}

fn missing(lacking: &Missing, decodes: &[DecodePlan]) -> Problem {
    let list: Vec<String> = lacking.names.iter().map(|name| format!("`{name}`")).collect();
    let hint = lacking.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
    let problem = Problem::malformed(format!("missing field {}{hint}", list.join(", ")))
        .with("missing", lacking.names.clone())
        .with("decodes", names(decodes));
    match lacking.others.is_empty() {
        true => problem,
        false => problem.with("others", lacking.others.clone()),
    }
}

fn names(decodes: &[DecodePlan]) -> Vec<&str> {
    decodes.iter().map(|d| d.name.as_str()).collect()
}

fn listed(decodes: &[DecodePlan]) -> String {
    let list: Vec<String> = decodes.iter().map(|d| format!("`{}` ({})", d.name, d.decode.format())).collect();
    list.join(", ")
}
