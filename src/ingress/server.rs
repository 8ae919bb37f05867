//! A request to a response: finds what its path leads to, contains panics, puts on what every answer has.

use super::body::Inbound;
use super::clients::{ClientRules, RequestMemory};
use super::dynamic::DynamicConfig;
use super::limits::Limits;
use super::listener::Respond;
use super::outgoing::Outgoing;
use super::predict::predict;
use super::problem::Problem;
use super::reading::BodyReader;
use super::request_id::{REQUEST_ID, request_id};
use super::routes::{Builtin, Found, Routes};
use super::socket::ConnectionState;
use super::{Host, Metrics, Response, framing, pages};
use crate::flow::CodecThreads;
use crate::scheduler::panic_message;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};
use serde_json::json;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tracing::Instrument;
use tracing::field::Empty;

/// The generated routes, and health.
pub struct Server {
    host: Arc<dyn Host>,
    pub(super) config: Arc<DynamicConfig>,
    bodies: BodyReader,
    metrics: Arc<Metrics>,
    draining: AtomicBool,
}

impl Server {
    pub fn new(
        host: Arc<dyn Host>,
        config: Arc<DynamicConfig>,
        limits: Limits,
        metrics: Arc<Metrics>,
        threads: CodecThreads,
    ) -> Arc<Self> {
        let bodies = BodyReader { config: config.clone(), idle: limits.body_idle, threads };
        Arc::new(Self { host, config, bodies, metrics, draining: AtomicBool::new(false) })
    }

    /// Has `/healthz/ready` say no from here on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    async fn answer(
        &self,
        head: Parts,
        mut body: Inbound,
        begun: Instant,
        connection: &ConnectionState,
    ) -> Response {
        let memory = self.config.memory_of(&head.headers, connection.peer());
        let result = match framing::check(&head) {
            Ok(()) => contained(self.route(&head, &mut body, &memory, begun)).await,
            Err(problem) => Err(problem),
        };
        let mut response = finished(result, &head, body, connection);
        // Pages may be long where there are many pipelines.
        if let Err(problem) = response.body_mut().reserve(&memory) {
            let id = request_id(head.headers.get(REQUEST_ID));
            response = problem.response(id.to_str().unwrap_or_default());
            response.headers_mut().insert(REQUEST_ID, id);
        }
        tracing::debug!(
            method = %head.method,
            path = head.uri.path(),
            status = response.status().as_u16(),
            ms = begun.elapsed().as_secs_f64() * 1e3,
            "answered",
        );
        response
    }

    async fn route(
        &self,
        head: &Parts,
        body: &mut Inbound,
        memory: &RequestMemory,
        begun: Instant,
    ) -> Result<Response, Problem> {
        let routes = self.config.routes();
        match routes.find(head.uri.path()) {
            Some(Found::Pipeline(route)) => {
                tracing::Span::current().record("pipeline", &*route.pipeline.name);
                predict(&self.bodies, route, head, body, memory, begun).await
            }
            Some(Found::Builtin(builtin)) => match head.method {
                Method::GET | Method::HEAD => Ok(self.builtin(builtin, head, &routes)),
                Method::OPTIONS => Ok(options("GET, HEAD, OPTIONS")),
                _ => Err(Problem::method_not_allowed("GET, HEAD, OPTIONS", "this is to be read with GET")),
            },
            None if head.method == Method::OPTIONS && head.uri.path() == "*" => {
                Ok(options("GET, HEAD, POST, PUT, OPTIONS"))
            }
            None => Err(pages::not_found(head.uri.path(), &routes)),
        }
    }

    fn builtin(&self, builtin: Builtin, head: &Parts, routes: &Routes) -> Response {
        match builtin {
            Builtin::Index => pages::index(&head.headers, routes),
            health => self.health(health),
        }
    }

    /// Whether the process lives, and whether it is ready.
    pub(super) fn health(&self, asked: Builtin) -> Response {
        match asked {
            Builtin::Ready => self.readiness(),
            _ => pages::json_page(StatusCode::OK, &json!({ "status": "live" })),
        }
    }

    fn readiness(&self) -> Response {
        if self.draining.load(Ordering::Acquire) {
            return pages::json_page(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "draining" }));
        }
        let waiting = self.host.not_ready();
        if waiting.is_empty() {
            return pages::json_page(StatusCode::OK, &json!({ "status": "ready" }));
        }
        let models: serde_json::Map<_, _> = waiting.into_iter().map(|(m, s)| (m, s.into())).collect();
        pages::json_page(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready", "models": models }))
    }
}

impl Respond for Server {
    async fn respond(&self, request: Request<Incoming>, connection: &ConnectionState) -> Response {
        let begun = Instant::now();
        let (mut head, incoming) = request.into_parts();
        // One that is made up here may decide which version answers, too.
        let id = request_id(head.headers.get(REQUEST_ID));
        head.headers.insert(REQUEST_ID, id);
        let body = Inbound::new(incoming);
        // At the level of errors, so that it is there for whatever is logged of the request.
        let shown = head.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let span = tracing::error_span!("request", request_id = shown, pipeline = Empty);
        self.answer(head, body, begun, connection).instrument(span).await
    }

    fn count_connection(&self, change: i64) {
        self.metrics.connections.inc_by(change);
    }

    fn keep_alive(&self) -> Duration {
        self.config.keep_alive()
    }

    fn client_rules(&self) -> Arc<ClientRules> {
        self.config.client_rules()
    }
}

fn options(allow: &'static str) -> Response {
    let mut response = Response::new(Outgoing::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// Awaits `work`; a panic in it is a problem of this request alone.
pub async fn contained(work: impl Future<Output = Result<Response, Problem>>) -> Result<Response, Problem> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(panic) => {
            let said = panic_message(&*panic);
            Poll::Ready(Err(Problem::internal(format!("panic: {said}"))))
        }
    })
    .await
}

/// Puts on an answer what every answer has, its request's id. Where a body was left unread, a connection of HTTP/1 is closed, and
/// of a stream of HTTP/2 the rest is taken in and forgotten.
pub fn finished(
    result: Result<Response, Problem>,
    head: &Parts,
    body: Inbound,
    connection: &ConnectionState,
) -> Response {
    let id = request_id(head.headers.get(REQUEST_ID));
    let mut response = result.unwrap_or_else(|problem| {
        let shown = id.to_str().unwrap_or_default();
        if let Some(internals) = &problem.internals {
            tracing::error!(path = head.uri.path(), "{internals}");
        }
        problem.response(shown)
    });
    response.headers_mut().insert(REQUEST_ID, id);
    if !body.is_read() {
        connection.leaves_unread();
        if head.version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        } else {
            tokio::spawn(body.drain());
        }
    }
    if head.method == Method::HEAD {
        let length = response.body().len();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Outgoing::default();
    }
    response
}
