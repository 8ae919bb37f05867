//! The answer of a pipeline, with what served it and how long each part took; or the problem that stands in its place.

use super::clients::RequestMemory;
use super::outgoing::Outgoing;
use super::problem::Problem;
use super::{Response, via_protocol};
use crate::flow::{Answer, Side, StepTiming, Timings};
use crate::plan::{Entry, Step};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use std::fmt::Write;
use std::time::Duration;

pub const MODELS: HeaderName = HeaderName::from_static("x-rserve-models");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

impl Problem {
    /// The problem as what is sent.
    pub fn response(&self, request_id: &str) -> Response {
        let mut response = Response::new(Outgoing::from(Bytes::from(self.document(request_id))));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers() {
            headers.insert(name, value.clone());
        }
        response
    }
}

/// The answer of an entry: online the one encode, offline all of them behind one another.
pub fn ok(
    mut answer: Answer,
    entry: &Entry,
    side: Side,
    media_type: HeaderValue,
    took: Duration,
    memory: &RequestMemory,
) -> Result<Response, Problem> {
    let timing = server_timing(entry, &answer, took);
    let body = match (side, answer.encoded.pop()) {
        (Side::Online, Some((_, body))) => Bytes::from(body),
        (Side::Online, None) => return Err(Problem::internal("the flow gave no answer")),
        (Side::Offline, last) => {
            let parts: Vec<Vec<u8>> = answer.encoded.into_iter().chain(last).map(|(_, part)| part).collect();
            via_protocol::joined(&parts)
        }
    };
    let mut response = Response::new(Outgoing::reserved(body, memory)?);
    let headers = response.headers_mut();
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, media_type);
    if let Ok(models) = HeaderValue::from_str(&answer.models) {
        headers.insert(MODELS, models);
    }
    if let Ok(timing) = HeaderValue::from_maybe_shared(Bytes::from(timing)) {
        headers.insert(SERVER_TIMING, timing);
    }
    Ok(response)
}

/// "photo;dur=0.412, read;dur=1.203;desc=\"5 elements, 1 skipped\", total;dur=2.011", in milliseconds.
fn server_timing(entry: &Entry, answer: &Answer, total: Duration) -> String {
    let Timings { decodes, steps, encodes } = &answer.timings;
    let mut text = String::with_capacity(24 * (decodes.len() + steps.len() + encodes.len() + 1));
    let mut add = |name: &str, took: Duration, desc: Option<String>| {
        // Writing to a string does not fail. Names are tokens already: `[a-z0-9._-]`.
        let _ = write!(text, "{name};dur={:.3}", took.as_secs_f64() * 1e3);
        if let Some(desc) = desc {
            let _ = write!(text, ";desc=\"{desc}\"");
        }
        text.push_str(", ");
    };
    for (decode, took) in entry.decodes.iter().zip(decodes) {
        add(&decode.name, *took, None);
    }
    for (step, timing) in entry.steps.iter().zip(steps) {
        if let Some(timing) = timing {
            add(&step.name, timing.took, described(step, timing));
        }
    }
    for ((encode, _), took) in answer.encoded.iter().zip(encodes) {
        if let Some(encode) = entry.encodes.get(*encode) {
            add(&encode.name, *took, None);
        }
    }
    add("total", total, None);
    text.truncate(text.len() - 2);
    text
}

/// What became of the elements of a step, where that is not that it ran once.
fn described(step: &Step, timing: &StepTiming) -> Option<String> {
    let mut parts = vec![];
    if step.each.is_some() {
        let plural = if timing.ran == 1 { "" } else { "s" };
        parts.push(format!("{} element{plural}", timing.ran));
    }
    let counts = [(timing.skipped, "skipped"), (timing.late, "late")];
    for (count, word) in counts.into_iter().filter(|(count, _)| *count > 0) {
        parts.push(if step.each.is_some() { format!("{count} {word}") } else { word.to_owned() });
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}
