//! Problem documents (RFC 9457). The one place where an error becomes a status.

use super::{Failure, Response, coding};
use crate::plan::DecodeError;
use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde_json::{Map, Value, json};

/// An answer that is not 200.
#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// What the log is told and the client is not.
    pub internals: Option<String>,
    document: Box<Document>,
}

#[derive(Debug)]
struct Document {
    /// The last part of its type, `urn:rserve:problem:KIND`.
    kind: &'static str,
    title: &'static str,
    detail: String,
    /// Members beside the standard ones.
    extras: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let document = Document { kind, title, detail, extras: Map::new(), headers: vec![] };
        Self { status, internals: None, document: Box::new(document) }
    }

    /// Adds a member to the document.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.document.extras.insert(key.to_owned(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.document.headers.push((name, value));
        self
    }

    /// Ends the connection with the answer. For HTTP/1 alone: HTTP/2 forbids the header.
    pub fn closing(self) -> Self {
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    fn retry_after(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub fn response(&self, request_id: &str) -> Response {
        let mut document = json!({
            "type": format!("urn:rserve:problem:{}", self.document.kind),
            "title": self.document.title,
            "status": self.status.as_u16(),
            "detail": self.document.detail,
            "request_id": request_id,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.document.extras.clone());
        }
        let mut body = serde_json::to_vec_pretty(&document).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in &self.document.headers {
            headers.insert(name, value.clone());
        }
        response
    }

    // What each status is for, in ascending order.

    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request is malformed", detail)
    }

    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "This asks for a token", detail)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
    }

    pub fn method_not_allowed(allow: &'static str, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "This method is not served here",
            detail,
        )
        .header(ALLOW, HeaderValue::from_static(allow))
    }

    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "No encode gives what `Accept` wants", detail)
    }

    pub fn slow_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body came too slowly", detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "This is too large", detail)
    }

    pub fn wrong_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wrong-type",
            "This type of content is not taken here",
            detail,
        )
    }

    /// RFC 9110, 15.5.16: the answer names the codings that are taken.
    pub fn wrong_coding(detail: impl Into<String>) -> Self {
        Self::wrong_type(detail).header(ACCEPT_ENCODING, HeaderValue::from_static(coding::TAKEN))
    }

    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unprocessable",
            "The content cannot be worked with",
            detail,
        )
    }

    pub fn internal(internals: impl Into<String>) -> Self {
        let detail = "The log of the server says more under this request_id.";
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed to answer this",
            detail,
        );
        problem.internals = Some(internals.into());
        problem
    }

    pub fn not_ready(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready to serve this", detail)
            .retry_after(1)
    }

    pub fn no_room(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-room", "Too much is being sent at once", detail)
            .retry_after(1)
    }

    pub fn deadline(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline", "The answer was not ready in time", detail)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Decode { decode, error } => {
                let detail = format!("decode `{decode}`: {error}");
                match error {
                    DecodeError::WrongType(_) => Self::wrong_type(detail),
                    DecodeError::Malformed(_) => Self::malformed(detail),
                    DecodeError::TooLarge(_) => Self::too_large(detail),
                    DecodeError::Invalid(_) => Self::unprocessable(detail),
                }
                .with("decode", decode)
            }
            Failure::Input { step, reason } => {
                Self::unprocessable(format!("step `{step}`: {reason}")).with("step", step)
            }
            Failure::QueueFull { model, retry_after } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "queue-full",
                "Too many requests wait already",
                format!("the queue of model `{model}` is full"),
            )
            .with("model", model)
            .retry_after((retry_after.as_secs_f64().ceil() as u32).max(1)),
            Failure::NotReady { model } => {
                Self::not_ready(format!("model `{model}` is not ready")).with("model", model)
            }
            Failure::Version { detail, model, known } => {
                Self::new(StatusCode::BAD_REQUEST, "version", "There is no such version to answer", detail)
                    .with("model", model)
                    .with("served", known)
            }
            Failure::Deadline { at } => {
                Self::deadline(format!("the time allowed for this pipeline ran out at {at}")).with("at", at)
            }
            Failure::Failed(internals) => Self::internal(internals),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::time::Duration;

    fn status(failure: Failure) -> u16 {
        Problem::from(failure).status.as_u16()
    }

    #[test]
    fn each_failure_has_its_status() {
        let decode = |error| Failure::Decode { decode: "photo".into(), error };
        assert_eq!(status(decode(DecodeError::Malformed("x".into()))), 400);
        assert_eq!(status(decode(DecodeError::TooLarge("x".into()))), 413);
        assert_eq!(status(decode(DecodeError::WrongType("x".into()))), 415);
        assert_eq!(status(decode(DecodeError::Invalid("x".into()))), 422);
        assert_eq!(status(Failure::Input { step: "mask".into(), reason: "x".into() }), 422);
        assert_eq!(status(Failure::QueueFull { model: "mask".into(), retry_after: Duration::ZERO }), 429);
        assert_eq!(status(Failure::Failed("x".into())), 500);
        let known = json!([1, 2]);
        assert_eq!(status(Failure::Version { detail: "x".into(), model: "mask".into(), known }), 400);
        assert_eq!(status(Failure::NotReady { model: "mask".into() }), 503);
        assert_eq!(status(Failure::Deadline { at: "step `mask`".into() }), 504);
    }

    #[tokio::test]
    async fn a_document_names_the_decode_and_hides_internals() {
        let failure =
            Failure::Decode { decode: "photo".into(), error: DecodeError::Invalid("truncated".into()) };
        let response = Problem::from(failure).response("r1");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            document,
            json!({
                "type": "urn:rserve:problem:unprocessable",
                "title": "The content cannot be worked with",
                "status": 422,
                "detail": "decode `photo`: truncated",
                "decode": "photo",
                "request_id": "r1",
            })
        );
        let response = Problem::from(Failure::Failed("secret".into())).response("r2");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
}
