//! The answer of a pipeline, with what served it and how long each part took.

use super::{Answer, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

pub const MODELS: HeaderName = HeaderName::from_static("x-rserve-models");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub fn ok(answer: Answer, media_type: HeaderValue, took: Duration) -> Response {
    let timing = server_timing(&answer.timings, took);
    let mut response = Response::new(Full::new(answer.body));
    let headers = response.headers_mut();
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, media_type);
    if let Ok(models) = HeaderValue::from_str(&answer.models) {
        headers.insert(MODELS, models);
    }
    if let Ok(timing) = HeaderValue::from_maybe_shared(Bytes::from(timing)) {
        headers.insert(SERVER_TIMING, timing);
    }
    response
}

/// "photo;dur=0.412, mask;dur=1.203, total;dur=2.011", in milliseconds.
fn server_timing(timings: &[(Cow<'static, str>, Duration)], total: Duration) -> String {
    let mut text = String::with_capacity(24 * (timings.len() + 1));
    for (name, took) in timings {
        // Writing to a string does not fail. Names are tokens already: `[a-z0-9._-]`.
        let _ = write!(text, "{name};dur={:.3}, ", took.as_secs_f64() * 1e3);
    }
    let _ = write!(text, "total;dur={:.3}", total.as_secs_f64() * 1e3);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_models_and_times() {
        let answer = Answer {
            body: Bytes::from_static(b"{}"),
            models: "mask@3, surface@2".into(),
            timings: vec![("mask".into(), Duration::from_micros(1203))],
        };
        let response = ok(answer, HeaderValue::from_static("application/json"), Duration::from_millis(2));
        assert_eq!(response.headers()["x-rserve-models"], "mask@3, surface@2");
        assert_eq!(response.headers()["server-timing"], "mask;dur=1.203, total;dur=2.000");
    }
}
