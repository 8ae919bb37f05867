//! Listening, and the life of a connection: HTTP/1.1 or HTTP/2 by its first bytes, and a gentle end.

use super::Response;
use super::clients::{ClientRules, PerAddress};
use super::limits::Limits;
use super::pace::{Pace, Streams};
use super::problem::Problem;
use super::socket::{ConnectionState, Socket};
use crate::plan::Address;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Answers requests. It must not panic: `server::contained` is for that.
pub trait Respond: Send + Sync + 'static {
    fn respond(
        &self,
        request: Request<Incoming>,
        connection: &ConnectionState,
    ) -> impl Future<Output = Response> + Send;

    /// Counts a connection that was opened (1) or closed (-1).
    fn count_connection(&self, change: i64);

    /// How long a connection may rest between two requests.
    fn keep_alive(&self) -> Duration;

    /// How many connections a client may have.
    fn client_rules(&self) -> Arc<ClientRules>;
}

/// A bound address. Clients that connect wait until it is served.
pub struct Listener {
    tcp: TcpListener,
    limits: Limits,
}

/// Binds at once, so that a taken port is known before any model is loaded. Of a name with several addresses the
/// first is taken that can be bound.
pub async fn bind(address: &Address, limits: &Limits) -> io::Result<Listener> {
    let tcp = TcpListener::bind((address.host.as_str(), address.port)).await?;
    Ok(Listener { tcp, limits: limits.clone() })
}

impl Listener {
    /// Serves a socket that listens already, on the runtime that this is called on.
    pub fn from_std(socket: std::net::TcpListener, limits: &Limits) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { tcp: TcpListener::from_std(socket)?, limits: limits.clone() })
    }

    /// The port is the one that was given out, where 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` turns true; then takes in nobody more than has already connected, ends idle
    /// connections after a last call, and returns once every request in flight is answered. Dropping the
    /// future cuts off what is left.
    pub async fn serve<R: Respond>(self, server: Arc<R>, mut stop: watch::Receiver<bool>) {
        let Self { tcp, limits } = self;
        let builder = Arc::new(builder(&limits));
        let mut connections = JoinSet::new();
        let clients = PerAddress::default();
        let stopped = stop.clone();
        let life = |stream, peer: Option<IpAddr>| {
            let most = peer.and_then(|peer| server.client_rules().connections(peer, limits.connections));
            let counted = match peer.zip(most) {
                None => None,
                Some((peer, most)) => match clients.take(peer, 1, most) {
                    Some(counted) => Some(counted),
                    None => {
                        turn_away(&stream, most);
                        return None;
                    }
                },
            };
            let life =
                connection(stream, peer, builder.clone(), server.clone(), limits.clone(), stopped.clone());
            Some(async move {
                let _counted = counted;
                life.await;
            })
        };
        loop {
            tokio::select! {
                accepted = tcp.accept(), if connections.len() < limits.connections => match accepted {
                    Ok((stream, peer)) => {
                        if let Some(life) = life(stream, Some(peer.ip())) {
                            connections.spawn(life);
                        }
                    }
                    Err(error) => pause_after(&error).await,
                },
                Some(_) = connections.join_next() => {}
                () = stopping(&mut stop) => break,
            }
        }
        for stream in connected(tcp).take(limits.connections.saturating_sub(connections.len())) {
            let peer = stream.peer_addr().ok().map(|peer| peer.ip());
            if let Some(life) = life(stream, peer) {
                connections.spawn(life);
            }
        }
        while connections.join_next().await.is_some() {}
    }
}

/// Tells a client that has too many connections why this one is closed. What does not go at once is left: nothing is
/// kept for it.
fn turn_away(stream: &TcpStream, most: u64) {
    let problem = Problem::client_full(format!("one client may have {most} connections here"));
    let body = problem.response("-").into_body().into_bytes();
    let head = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.try_write(&[head.as_bytes(), &body].concat());
}

/// Who has connected and was not yet accepted: they may have sent a request, and would be cut off. Accepts
/// nobody after them.
fn connected(tcp: TcpListener) -> impl Iterator<Item = TcpStream> {
    // It does not block: at the end of the queue `accept` fails.
    let listener = tcp.into_std();
    std::iter::from_fn(move || listener.as_ref().ok()?.accept().ok()).filter_map(|(stream, _)| {
        stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).ok()
    })
}

/// Waits until `stop` is true, or nobody is left who could make it so.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn builder(limits: &Limits) -> Builder<Streams> {
    let mut builder = Builder::new(Streams { patience: limits.write_stall });
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper counts the rest between two requests as a part of the next head; `Socket` tells them apart.
        .header_read_timeout(None)
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_head.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.max_head / 4).unwrap_or(u32::MAX))
        // Of streams that the client resets as soon as it has opened them, and of those that it breaks.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        // Wide enough that a photo is sent without waiting for the window.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(limits.head);
    builder
}

async fn connection<R: Respond>(
    stream: TcpStream,
    peer: Option<IpAddr>,
    builder: Arc<Builder<Streams>>,
    server: Arc<R>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are sent whole; waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    let _counted = Counted::new(server.clone());
    let signals = Arc::new(ConnectionState::new(peer));
    let socket = Socket::new(stream, signals.clone(), limits.write_stall, limits.head);
    let stopped = stop.clone();
    let service = service_fn(|request: Request<Incoming>| {
        let (server, signals, stopped) = (server.clone(), signals.clone(), stopped.clone());
        async move { Ok::<_, Infallible>(answer(&*server, request, &signals, &stopped, limits.write_stall).await) }
    });
    let mut connection = pin!(builder.serve_connection(socket, service));
    let mut rest = pin!(sleep(server.keep_alive()));
    let mut last_call = pin!(sleep(limits.last_call));
    // Looked at every so often: whoever takes an answer in time is not kept waiting by it.
    let look = (limits.write_stall / 4).max(Duration::from_millis(1));
    let mut unsent = pin!(sleep(look));
    let mut stopped = false;
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = unsent.as_mut() => {
                // A stream of HTTP/2 was reset before, where that was possible.
                if signals.unsent.is_overdue(Instant::now() - look) {
                    tracing::debug!("a client does not take its answers; its connection is closed");
                    return;
                }
                unsent.as_mut().reset(tokio::time::Instant::now() + look);
            }
            // A client that has not heard of the stop may be sending its next request just now: it is
            // answered, and told that it was the last.
            () = stopping(&mut stop), if !stopped => {
                stopped = true;
                last_call.as_mut().reset(tokio::time::Instant::now() + limits.last_call);
            }
            () = last_call.as_mut(), if stopped && !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            // The timer is not touched by requests: it looks at when the last of them was answered.
            () = rest.as_mut(), if !ending => {
                let now = tokio::time::Instant::now();
                let since = signals.idle_since().map_or(now, tokio::time::Instant::from_std);
                let due = since + server.keep_alive();
                if due > now {
                    rest.as_mut().reset(due);
                } else {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Answers one request of a connection; the last one of a connection of HTTP/1 says that it is the last.
async fn answer<R: Respond>(
    server: &R,
    request: Request<Incoming>,
    signals: &Arc<ConnectionState>,
    stopped: &watch::Receiver<bool>,
    write_stall: Duration,
) -> Response {
    let _in_flight = signals.begin_request();
    let version = request.version();
    let mut response = server.respond(request, signals).await;
    if version < Version::HTTP_2 && *stopped.borrow() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        // The next request may be in the pipe already, and must not take this answer with it.
        signals.leaves_unread();
    }
    let pace = Pace::of_this_stream();
    response.map(|body| body.on(&signals.unsent, write_stall, pace))
}

/// A connection is counted for as long as this lives, however it ends.
struct Counted<R: Respond>(Arc<R>);

impl<R: Respond> Counted<R> {
    fn new(server: Arc<R>) -> Self {
        server.count_connection(1);
        Self(server)
    }
}

impl<R: Respond> Drop for Counted<R> {
    fn drop(&mut self) {
        self.0.count_connection(-1);
    }
}

/// Waits after an error of `accept`: a client that went away at once is nothing; being out of descriptors is waited
/// out, since connections that end give some back.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "cannot accept connections for the moment");
        sleep(Duration::from_millis(200)).await;
    }
}
