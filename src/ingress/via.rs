//! The client of `rserve batch --via`: it sends items through a running server.

use super::answer::MODELS;
use super::via_protocol::{ITEM, PARTS, PLAN, PRIORITY, encoded, parted};
use crate::plan::{Payload, Pipeline};
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

/// Speaks to one pipeline of a server, with as many connections as items are on their way.
pub struct ViaClient {
    /// "127.0.0.1:8080"
    authority: String,
    pipeline: Arc<Pipeline>,
    plan: String,
    idle: Mutex<Vec<Connection>>,
}

type Connection = SendRequest<Full<Bytes>>;

/// The answer to one item.
#[derive(Debug)]
pub struct ViaAnswer {
    /// The answers of the encodes, in their order.
    pub parts: Vec<Bytes>,
    /// "road-mask@2, surface@2"
    pub models: String,
}

#[derive(Debug)]
pub enum ViaError {
    /// The server is there, and busy, loading or on its way out: ask again after that.
    Later(Duration),
    /// Nothing answers there.
    Gone(String),
    /// The item is at fault: at which decode or step, and why.
    Refused { step: String, reason: String },
    /// The server does not do this at all.
    Otherwise(String),
}

/// How long is waited before a server is asked again that does not say.
const AGAIN: Duration = Duration::from_millis(50);

impl ViaClient {
    /// `at` is "http://HOST:PORT", or the same without "http://".
    pub fn new(at: &str, pipeline: Arc<Pipeline>) -> Result<Self, String> {
        let rest = at.strip_prefix("http://").unwrap_or(at).trim_end_matches('/');
        let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !has_port || rest.contains('/') {
            return Err(format!("`{at}` is no address of a server; it is like http://127.0.0.1:8080"));
        }
        let plan = pipeline.offline.digest();
        Ok(Self { authority: rest.to_owned(), pipeline, plan, idle: Mutex::default() })
    }

    /// The models that serve there, once it is known that the server runs the same pipeline.
    pub async fn models(&self) -> Result<String, ViaError> {
        let request = self.request(Method::OPTIONS).body(Full::default());
        let (head, _) = self.send(request).await?;
        let told = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        match (head.status, told(PLAN), told(MODELS)) {
            (StatusCode::NO_CONTENT, Some(plan), Some(models)) if plan == self.plan => Ok(models.to_owned()),
            (StatusCode::NO_CONTENT, Some(plan), None) if plan == self.plan => Err(ViaError::Later(AGAIN)),
            (StatusCode::NO_CONTENT, Some(_), _) => Err(ViaError::Otherwise(format!(
                "the offline entry of `{}` is declared otherwise there than here",
                self.pipeline.name
            ))),
            (StatusCode::SERVICE_UNAVAILABLE, ..) => Err(ViaError::Later(AGAIN)),
            (status, ..) => Err(ViaError::Otherwise(format!(
                "it has no pipeline `{}` at {} ({status})",
                self.pipeline.name, self.pipeline.route
            ))),
        }
    }

    /// Has one item run, at low priority.
    pub async fn run(&self, item: &str, payloads: &[Payload]) -> Result<ViaAnswer, ViaError> {
        let (media_type, body) = self.body(payloads);
        let request = self
            .request(Method::POST)
            .header(ITEM, encoded(item))
            .header(PLAN, &self.plan)
            .header(PRIORITY, "low")
            .header(CONTENT_TYPE, media_type)
            .body(Full::new(body));
        let (head, body) = self.send(request).await?;
        let is_parts = head.headers.get(CONTENT_TYPE).is_some_and(|value| value == PARTS);
        match (head.status, is_parts) {
            (StatusCode::OK, true) => {
                let parts = parted(body).ok_or_else(|| ViaError::Gone("the answer is cut off".to_owned()))?;
                let models = head.headers.get(MODELS).and_then(|value| value.to_str().ok());
                Ok(ViaAnswer { parts, models: models.unwrap_or_default().to_owned() })
            }
            (StatusCode::OK, false) => Err(ViaError::Otherwise(
                "it knows no offline entry: it is another version of rserve".to_owned(),
            )),
            // Its deadline is for those who wait; this item does not.
            (
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT,
                _,
            ) => Err(ViaError::Later(retry_after(&head.headers))),
            (status, _) => Err(refused(status, &body)),
        }
    }

    fn request(&self, method: Method) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(&self.pipeline.route).header(HOST, &self.authority)
    }

    /// The body of a request: one decode reads it as it is; several are the fields of one JSON object.
    fn body(&self, payloads: &[Payload]) -> (&'static str, Bytes) {
        let decodes = &self.pipeline.offline.decodes;
        if let ([decode], [payload]) = (&**decodes, payloads) {
            match payload {
                Payload::Bytes(bytes) => return ("application/octet-stream", bytes.clone()),
                Payload::Json(json) if decode.decode.json().is_some() => {
                    return ("application/json", Bytes::copy_from_slice(json.get().as_bytes()));
                }
                Payload::Json(_) => {}
            }
        }
        let fields = decodes.iter().zip(payloads).map(|(decode, payload)| {
            let value = match payload {
                Payload::Json(json) => json.get().to_owned(),
                Payload::Bytes(bytes) if decode.decode.json().is_some() => {
                    String::from_utf8_lossy(bytes).into_owned()
                }
                Payload::Bytes(bytes) => {
                    format!("\"{}\"", base64::engine::general_purpose::STANDARD.encode(bytes))
                }
            };
            format!("{}:{value}", Value::from(decode.name.as_str()))
        });
        let fields: Vec<String> = fields.collect();
        ("application/json", Bytes::from(format!("{{{}}}", fields.join(","))))
    }

    /// Sends on a connection that is free, or a new one. One that was closed meanwhile is left for another.
    async fn send(
        &self,
        request: hyper::http::Result<Request<Full<Bytes>>>,
    ) -> Result<(hyper::http::response::Parts, Bytes), ViaError> {
        let request = request.map_err(|e| ViaError::Otherwise(e.to_string()))?;
        loop {
            let free = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (mut connection, is_new) = match free {
                Some(connection) => (connection, false),
                None => (self.connect().await?, true),
            };
            let answer = async {
                connection.ready().await?;
                let response: Response<Incoming> = connection.send_request(request.clone()).await?;
                let (head, body) = response.into_parts();
                Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
            };
            match answer.await {
                Ok(answer) => {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                    return Ok(answer);
                }
                // To run an item twice does no harm.
                Err(_) if !is_new => continue,
                Err(error) => return Err(ViaError::Gone(error.to_string())),
            }
        }
    }

    async fn connect(&self) -> Result<Connection, ViaError> {
        let gone = |error: &dyn std::fmt::Display| {
            ViaError::Gone(format!("nothing answers at {}: {error}", self.authority))
        };
        let stream = TcpStream::connect(&self.authority).await.map_err(|e| gone(&e))?;
        // An item is one write; to wait for more to send would cost each of them.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| gone(&e))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    // Whole seconds are all that it can say; low priority gives way in the queue anyway.
    seconds.map_or(AGAIN, |seconds: u64| Duration::from_secs(seconds).min(Duration::from_millis(250)))
}

fn refused(status: StatusCode, problem: &[u8]) -> ViaError {
    let problem: Value = serde_json::from_slice(problem).unwrap_or_default();
    let told = |key: &str| problem.get(key).and_then(Value::as_str).map(str::to_owned);
    let reason = told("detail").unwrap_or_else(|| status.to_string());
    let step = told("decode").or_else(|| told("step"));
    match (status, step) {
        (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _) => ViaError::Otherwise(reason),
        (_, Some(step)) => {
            let reason = ["decode", "step"]
                .iter()
                .find_map(|kind| reason.strip_prefix(&format!("{kind} `{step}`: ")).map(str::to_owned));
            let reason = reason.unwrap_or_else(|| told("detail").unwrap_or_default());
            ViaError::Refused { step, reason }
        }
        (_, None) => ViaError::Refused { step: "server".to_owned(), reason },
    }
}
