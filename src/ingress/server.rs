//! A request to a response: finds what its path leads to, contains panics, puts on what every answer has.

use super::body::Inbound;
use super::coding::Coding;
use super::listener::Respond;
use super::predict::predict;
use super::problem::Problem;
use super::request_id::request_id;
use super::room::{Place, Room};
use super::routes::{Builtin, Found, Routes};
use super::socket::Signals;
use super::{Host, Metrics, Response, framing, pages};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};
use serde_json::json;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a client may take of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub max_body: usize,
    /// Bytes of all bodies that are being read or answered, together.
    pub bodies: usize,
    /// Bytes of a request's head.
    pub max_head: usize,
    pub max_headers: usize,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// That a connection rests between two requests. Longer than a load balancer keeps its own, which is 60 s
    /// with many: a connection that both close at once costs a request.
    pub keep_alive: Duration,
    /// Between two pieces of a body.
    pub body_idle: Duration,
    /// That a client takes nothing of its answer.
    pub write_stall: Duration,
    /// That a connection with no request is kept open after a stop, for one that is on its way.
    pub last_call: Duration,
    /// At once; more wait to be accepted.
    pub connections: usize,
    /// Of one HTTP/2 connection at once.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 16 << 20,
            bodies: 512 << 20,
            max_head: 64 << 10,
            max_headers: 100,
            head: Duration::from_secs(20),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(10),
            write_stall: Duration::from_secs(30),
            last_call: Duration::from_millis(250),
            connections: 10_000,
            streams: 128,
        }
    }
}

/// The generated routes, and health.
pub struct Server {
    pub(super) host: Arc<dyn Host>,
    pub(super) limits: Limits,
    pub(super) room: Room,
    metrics: Arc<Metrics>,
    routes: ArcSwap<Routes>,
    draining: AtomicBool,
    /// Bytes of a body, now.
    max_body: AtomicUsize,
    /// How long connections may rest, now, in milliseconds.
    keep_alive: AtomicU64,
    /// Bodies that are unpacked at once.
    unpacking: Arc<Semaphore>,
}

impl Server {
    pub fn new(host: Arc<dyn Host>, routes: Routes, limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        let routes = ArcSwap::from_pointee(routes);
        let room = Room::new(limits.bodies);
        let max_body = AtomicUsize::new(limits.max_body);
        let keep_alive = AtomicU64::new(millis(limits.keep_alive));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let unpacking = Arc::new(Semaphore::new(cores));
        let draining = AtomicBool::new(false);
        Arc::new(Self { host, limits, room, metrics, routes, draining, max_body, keep_alive, unpacking })
    }

    /// Bodies may have so many bytes from here on.
    pub fn set_max_body(&self, bytes: usize) {
        self.max_body.store(bytes, Ordering::Relaxed);
        self.room.grow(room_for(bytes));
    }

    /// Connections may rest for so long from here on.
    pub fn set_keep_alive(&self, rest: Duration) {
        self.keep_alive.store(millis(rest), Ordering::Relaxed);
    }

    /// Unpacks a body on a thread that may compute.
    pub(super) async fn unpack(
        &self,
        coding: Coding,
        packed: Bytes,
        limit: usize,
        place: &mut Place,
    ) -> Result<Bytes, Problem> {
        // The semaphore is never closed. The permit goes along: a request that is given up makes no room for
        // another before the work is done.
        let permit = self.unpacking.clone().acquire_owned().await.ok();
        let mut held = std::mem::replace(place, self.room.place());
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let unpacked = coding.unpack(packed, limit, &mut held);
            (held, unpacked)
        });
        let (held, unpacked) = work.await.map_err(|error| Problem::internal(error.to_string()))?;
        *place = held;
        unpacked
    }

    pub(super) fn max_body(&self) -> usize {
        self.max_body.load(Ordering::Relaxed)
    }

    /// Puts other routes in the place of all. A request that was already routed ends on the old ones.
    pub fn replace_routes(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
    }

    /// From here on `/healthz/ready` says no.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    async fn route(&self, head: &Parts, body: &mut Inbound, begun: Instant) -> Result<Response, Problem> {
        let routes = self.routes.load_full();
        match routes.find(head.uri.path()) {
            Some(Found::Pipeline(route)) => predict(self, route, head, body, begun).await,
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
            Builtin::Live => pages::json_page(StatusCode::OK, &json!({ "status": "live" })),
            Builtin::Ready => self.readiness(),
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A few of the largest bodies must always find room.
pub fn room_for(max_body: usize) -> usize {
    max_body.saturating_mul(4)
}

impl Respond for Server {
    async fn respond(&self, request: Request<Incoming>, signals: &Signals) -> Response {
        let begun = Instant::now();
        let (mut head, incoming) = request.into_parts();
        // One that is made up here may decide which version answers, too.
        let id = request_id(head.headers.get(REQUEST_ID));
        head.headers.insert(REQUEST_ID, id);
        let mut body = Inbound::new(incoming);
        let result = match framing::check(&head) {
            Ok(()) => contained(self.route(&head, &mut body, begun)).await,
            Err(problem) => Err(problem),
        };
        let response = finished(result, &head, body, signals);
        tracing::debug!(
            method = %head.method,
            path = head.uri.path(),
            status = response.status().as_u16(),
            ms = begun.elapsed().as_secs_f64() * 1e3,
            "answered",
        );
        response
    }

    fn count_connection(&self, change: i64) {
        self.metrics.connections.inc_by(change);
    }

    fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive.load(Ordering::Relaxed))
    }
}

fn options(allow: &'static str) -> Response {
    let mut response = Response::new(Full::new(Bytes::new()));
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
            let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Poll::Ready(Err(Problem::internal(format!("panic: {said}"))))
        }
    })
    .await
}

/// What every answer has: its request's id. Where a body was left unread, a connection of HTTP/1 is closed, and
/// of a stream of HTTP/2 the rest is taken in and forgotten.
pub fn finished(
    result: Result<Response, Problem>,
    head: &Parts,
    body: Inbound,
    signals: &Signals,
) -> Response {
    let id = request_id(head.headers.get(REQUEST_ID));
    let mut response = result.unwrap_or_else(|problem| {
        let shown = id.to_str().unwrap_or_default();
        if let Some(internals) = &problem.internals {
            tracing::error!(request_id = shown, path = head.uri.path(), "{internals}");
        }
        problem.response(shown)
    });
    response.headers_mut().insert(REQUEST_ID, id);
    if !body.is_read() {
        signals.leaves_unread();
        if head.version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        } else {
            tokio::spawn(body.drain());
        }
    }
    if head.method == Method::HEAD {
        let length = response.body().size_hint().exact().unwrap_or(0);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Full::new(Bytes::new());
    }
    response
}
