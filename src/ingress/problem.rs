//! Problem documents (RFC 9457). The one place where an error becomes a status.

use crate::flow;
use crate::lifecycle::NotReady;
use crate::plan::{DecodeError, EncodeError, OperationError};
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The kinds of problem. Each has one status of HTTP, one `type` and one title; another protocol that answers with
/// statuses of its own maps these, and not the errors that they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Malformed,
    Version,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    SlowBody,
    TooLarge,
    WrongType,
    Unprocessable,
    /// The pipeline refuses what its steps found, with a status of its own.
    Refused(StatusCode),
    QueueFull,
    ClientFull,
    Internal,
    NotReady,
    NoRoom,
    Deadline,
}

impl Kind {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Version => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Refused(status) => status,
            Self::QueueFull | Self::ClientFull => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotReady | Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The last part of the type, `urn:rserve:problem:NAME`, and the title.
    fn name_and_title(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("malformed", "The request is malformed"),
            Self::Version => ("version", "There is no such version to answer"),
            Self::Unauthorized => ("unauthorized", "This asks for a token"),
            Self::Forbidden => ("forbidden", "This is not allowed"),
            Self::NotFound => ("not-found", "There is nothing here"),
            Self::MethodNotAllowed => ("method-not-allowed", "This method is not served here"),
            Self::NotAcceptable => ("not-acceptable", "No encode gives what `Accept` wants"),
            Self::SlowBody => ("slow-body", "The body came too slowly"),
            Self::TooLarge => ("too-large", "This is too large"),
            Self::WrongType => ("wrong-type", "This type of content is not taken here"),
            Self::Unprocessable => ("unprocessable", "The content cannot be worked with"),
            Self::Refused(_) => ("refused", "The pipeline refuses this"),
            Self::QueueFull => ("queue-full", "Too many requests wait already"),
            Self::ClientFull => ("client-full", "This client has too much in flight"),
            Self::Internal => ("internal", "The server failed to answer this"),
            Self::NotReady => ("not-ready", "Not ready to serve this"),
            Self::NoRoom => ("no-room", "Too much is being sent at once"),
            Self::Deadline => ("deadline", "The answer was not ready in time"),
        }
    }
}

/// An answer that is not 200.
#[derive(Debug)]
pub struct Problem {
    pub kind: Kind,
    /// What the log is told and the client is not.
    pub internals: Option<String>,
    document: Box<Document>,
}

#[derive(Debug)]
struct Document {
    detail: String,
    /// Members beside the standard ones.
    extras: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let document = Document { detail: detail.into(), extras: Map::new(), headers: vec![] };
        Self { kind, internals: None, document: Box::new(document) }
    }

    pub fn status(&self) -> StatusCode {
        self.kind.status()
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

    /// The document that is sent of the problem.
    pub fn document(&self, request_id: &str) -> Vec<u8> {
        let (name, title) = self.kind.name_and_title();
        let mut document = json!({
            "type": format!("urn:rserve:problem:{name}"),
            "title": title,
            "status": self.status().as_u16(),
            "detail": self.document.detail,
            "request_id": request_id,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.document.extras.clone());
        }
        let mut body = serde_json::to_vec_pretty(&document).unwrap_or_default();
        body.push(b'\n');
        body
    }

    /// The headers that are sent with the document.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.document.headers
    }

    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    pub fn no_such_version(detail: impl Into<String>) -> Self {
        Self::new(Kind::Version, detail)
    }

    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unauthorized, detail).header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    pub fn method_not_allowed(allow: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::MethodNotAllowed, detail).header(ALLOW, HeaderValue::from_static(allow))
    }

    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotAcceptable, detail)
    }

    pub fn slow_body(detail: impl Into<String>) -> Self {
        Self::new(Kind::SlowBody, detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge, detail)
    }

    pub fn body_too_large(limit: usize) -> Self {
        Self::too_large(format!("a body may have {limit} bytes here (`max_body` in `[server]`)"))
            .with("max_body", limit)
    }

    pub fn wrong_type(detail: impl Into<String>) -> Self {
        Self::new(Kind::WrongType, detail)
    }

    /// RFC 9110, 15.5.16: the answer names the codings that are taken.
    pub fn wrong_coding(taken: &'static str, detail: impl Into<String>) -> Self {
        Self::wrong_type(detail).header(ACCEPT_ENCODING, HeaderValue::from_static(taken))
    }

    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unprocessable, detail)
    }

    pub fn refused(status: u16, say: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
        Self::new(Kind::Refused(status), say)
    }

    pub fn queue_full(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(Kind::QueueFull, detail).retry_after((retry_after.as_secs_f64().ceil() as u32).max(1))
    }

    pub fn client_full(detail: impl Into<String>) -> Self {
        Self::new(Kind::ClientFull, detail).retry_after(1)
    }

    /// Our own fault. `internals` are for the log, never for the client.
    pub fn internal(internals: impl Into<String>) -> Self {
        let mut problem = Self::new(Kind::Internal, "The log of the server says more under this request_id.");
        problem.internals = Some(internals.into());
        problem
    }

    pub fn not_ready(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotReady, detail).retry_after(1)
    }

    pub fn no_room(detail: impl Into<String>) -> Self {
        Self::new(Kind::NoRoom, detail).retry_after(1)
    }

    pub fn deadline(detail: impl Into<String>) -> Self {
        Self::new(Kind::Deadline, detail)
    }
}

impl From<flow::Error> for Problem {
    fn from(error: flow::Error) -> Self {
        use flow::Error;
        match error {
            Error::Decode { decode, error } => {
                let detail = format!("decode `{decode}`: {error}");
                match error {
                    DecodeError::WrongType(_) => Self::wrong_type(detail),
                    DecodeError::Malformed(_) => Self::malformed(detail),
                    DecodeError::TooLarge(_) => Self::too_large(detail),
                    DecodeError::Invalid(_) => Self::unprocessable(detail),
                }
                .with("decode", decode)
            }
            Error::Input { step, reason, .. } => {
                Self::unprocessable(format!("{step}: {reason}")).with("step", step.name)
            }
            Error::Operation { ref step, error: OperationError::Input(_) } => {
                Self::unprocessable(error.to_string()).with("step", step.name.clone())
            }
            Error::Refused { status, say } => Self::refused(status, say),
            Error::Full { model, retry_after } => {
                Self::queue_full(format!("the queue of model `{model}` is full"), retry_after)
                    .with("model", model)
            }
            Error::Crowded { at, retry_after } => {
                Self::queue_full(format!("too many requests of this pipeline wait at {at}"), retry_after)
            }
            Error::NoMemory { at, full } if full.is_for_good() => Self::too_large(format!(
                "{at}: it takes {} bytes of memory, and there are {} for all that is decoded (`memory` in `[server]`)",
                full.wanted, full.most
            )),
            Error::NoMemory { at, .. } => Self::no_room(format!(
                "{at}: other requests take all the memory that there is for what is decoded; send it again"
            )),
            Error::NotReady(error) => error.into(),
            Error::Closed { model } => {
                Self::not_ready(format!("model `{model}` is not ready")).with("model", model)
            }
            Error::Deadline { at } => {
                Self::deadline(format!("the time allowed for this pipeline ran out at {at}")).with("at", at)
            }
            Error::TooLong { step, model } => {
                Self::deadline(format!("model `{model}` ran for longer than it may (`max_run`) at {step}"))
                    .with("at", step.to_string())
                    .with("model", model)
            }
            Error::StepMemory { step, reason, for_good, .. } => {
                let detail = format!("{step}: {reason}");
                if for_good { Self::unprocessable(detail) } else { Self::no_room(detail) }
                    .with("step", step.name)
            }
            Error::Encode { ref encode, error: EncodeError::Nothing(_) } => {
                Self::unprocessable(error.to_string()).with("encode", encode.clone())
            }
            Error::Step { .. }
            | Error::Operation { .. }
            | Error::Encode { .. }
            | Error::Panic { .. }
            | Error::Request(_) => Self::internal(error.to_string()),
        }
    }
}

impl From<NotReady> for Problem {
    fn from(error: NotReady) -> Self {
        let said = error.to_string();
        match error {
            NotReady::Nothing { model } => {
                Self::not_ready(format!("model `{model}` is not ready")).with("model", model)
            }
            NotReady::Version { model, served, .. } => {
                let list: Vec<String> = served.iter().map(u64::to_string).collect();
                Self::no_such_version(format!("{said}; it serves {}", list.join(", ")))
                    .with("model", model)
                    .with("served", served)
            }
            NotReady::Model { model, known } => {
                Self::no_such_version(format!("{said}; it calls {}", known.join(", ")))
                    .with("model", model)
                    .with("served", known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use hyper::header::CONTENT_TYPE;

    fn status(error: flow::Error) -> u16 {
        Problem::from(error).status().as_u16()
    }

    #[test]
    fn each_failure_has_its_status() {
        use flow::Error;
        let decode = |error| Error::Decode { decode: "photo".into(), error };
        let mask = || "mask".to_owned();
        assert_eq!(status(decode(DecodeError::Malformed("x".into()))), 400);
        assert_eq!(status(decode(DecodeError::TooLarge("x".into()))), 413);
        assert_eq!(status(decode(DecodeError::WrongType("x".into()))), 415);
        assert_eq!(status(decode(DecodeError::Invalid("x".into()))), 422);
        assert_eq!(status(Error::Input { step: mask().into(), model: mask(), reason: "x".into() }), 422);
        assert_eq!(status(Error::Full { model: mask(), retry_after: Duration::ZERO }), 429);
        assert_eq!(status(Error::Step { step: mask().into(), model: mask(), reason: "x".into() }), 500);
        assert_eq!(status(Error::Panic { at: "decode `photo`".into(), message: "x".into() }), 500);
        assert_eq!(status(Error::Request("x".into())), 500);
        let served = vec![1, 2];
        assert_eq!(status(NotReady::Version { model: mask(), version: 3, served }.into()), 400);
        assert_eq!(status(NotReady::Model { model: mask(), known: vec!["surface".into()] }.into()), 400);
        assert_eq!(status(NotReady::Nothing { model: mask() }.into()), 503);
        assert_eq!(status(Error::Closed { model: mask() }), 503);
        assert_eq!(status(Error::Deadline { at: "step `mask`".into() }), 504);
        let memory =
            |for_good| Error::StepMemory { step: mask().into(), model: mask(), reason: "x".into(), for_good };
        assert_eq!((status(memory(true)), status(memory(false))), (422, 503));
        let full =
            |most| crate::memory::Full { purpose: crate::memory::Use::Decoded, wanted: 2, free: 0, most };
        let no_memory = |most| Error::NoMemory { at: "decode `photo`".into(), full: full(most) };
        assert_eq!((status(no_memory(1)), status(no_memory(2))), (413, 503));
        assert_eq!(status(Error::Crowded { at: mask(), retry_after: Duration::ZERO }), 429);
        assert_eq!(status(Error::TooLong { step: mask().into(), model: mask() }), 504);
    }

    #[tokio::test]
    async fn a_document_names_the_decode_and_hides_internals() {
        let error = DecodeError::Invalid("truncated".into());
        let error = flow::Error::Decode { decode: "photo".into(), error };
        let response = Problem::from(error).response("r1");
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
        let response = Problem::from(flow::Error::Request("secret".into())).response("r2");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
}
