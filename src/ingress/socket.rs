//! A client's connection as hyper reads and writes it, with four things that hyper does not do: it gives up
//! on a client that takes too little of its answer, it tells a client that begins a request and does not go on from
//! one that rests between two requests, it counts frames of HTTP/2 that ask for nothing, and it closes gently where a body was left unread, so that the answer
//! is not lost to a reset.

use super::frames::FrameMeter;
use super::outgoing::UnsentAnswers;
use super::pace::Patience;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, sleep_until};

/// How long, and for how many bytes, an unread body is still taken in after the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// What an HTTP/2 client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The state of a connection, which its requests, its socket and its timers share.
#[derive(Debug)]
pub struct ConnectionState {
    /// Where its client is, where that is known.
    peer: Option<IpAddr>,
    opened: Instant,
    /// The number of requests whose head has come whole.
    heads: AtomicU64,
    /// The number of requests that are being answered.
    in_flight: AtomicUsize,
    /// When the last request was answered, in milliseconds since the connection was opened.
    answered: AtomicU64,
    /// A head of HTTP/1 has begun to come and is not whole.
    head_begun: AtomicBool,
    /// Something that the client sent is left unread.
    linger: AtomicBool,
    /// The answers that the system has not taken yet.
    pub unsent: Arc<UnsentAnswers>,
}

impl ConnectionState {
    /// The state of a connection that is just opened, from `peer` where that is known.
    pub fn new(peer: Option<IpAddr>) -> Self {
        Self {
            peer,
            opened: Instant::now(),
            heads: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            head_begun: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            unsent: Arc::default(),
        }
    }

    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// A request's head has come whole. The request is in flight until the guard is dropped.
    pub fn begin_request(self: &Arc<Self>) -> RequestInFlight {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.head_begun.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        RequestInFlight(self.clone())
    }

    pub fn leaves_unread(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    /// Since when the connection has neither a request in flight, nor a part of a head, nor an answer that is still to
    /// be sent; `None` where it has.
    pub fn idle_since(&self) -> Option<Instant> {
        if !self.unsent.is_empty() {
            return None;
        }
        if self.in_flight.load(Ordering::Relaxed) > 0 || self.head_begun.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.opened + Duration::from_millis(self.answered.load(Ordering::Relaxed)))
    }
}

/// Counts a request as in flight for as long as it lives.
pub struct RequestInFlight(Arc<ConnectionState>);

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let passed = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.answered.store(passed, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

pub struct Socket {
    stream: TcpStream,
    signals: Arc<ConnectionState>,
    /// How long writes may wait for the client.
    patience: Patience,
    stalled: Option<Pin<Box<Sleep>>>,
    /// How long a head may take from its first byte to its last.
    head_patience: Duration,
    head: Option<Head>,
    /// How much of HTTP/2's preface the first bytes were; `None` once they were something else.
    preface: Option<usize>,
    closing: Option<Closing>,
    /// The frames of HTTP/2 that it has taken.
    frames: FrameMeter,
}

/// A head of HTTP/1 that has begun to come.
struct Head {
    until: Pin<Box<Sleep>>,
    /// The number of heads that had come whole before it.
    earlier: u64,
}

struct Closing {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl Socket {
    pub fn new(
        stream: TcpStream,
        signals: Arc<ConnectionState>,
        patience: Duration,
        head_patience: Duration,
    ) -> TokioIo<Self> {
        TokioIo::new(Self {
            stream,
            signals,
            patience: Patience::new(patience),
            stalled: None,
            head_patience,
            head: None,
            preface: Some(0),
            closing: None,
            frames: FrameMeter::new(Instant::now()),
        })
    }

    /// Begins to time a head where these bytes are the first of one. False where a client of HTTP/2 floods the
    /// connection with frames.
    fn took(&mut self, bytes: &[u8]) -> bool {
        let mut frames = bytes;
        if let Some(seen) = self.preface.filter(|seen| *seen < PREFACE.len()) {
            let known = bytes.len().min(PREFACE.len() - seen);
            self.preface = (bytes[..known] == PREFACE[seen..seen + known]).then_some(seen + known);
            frames = &bytes[known..];
        }
        if self.preface == Some(PREFACE.len()) {
            // The frames of HTTP/2 are no heads: pings and settings come at any time.
            self.head = None;
            self.signals.head_begun.store(false, Ordering::Relaxed);
            return self.frames.read(frames, Instant::now());
        }
        let earlier = self.signals.heads.load(Ordering::Relaxed);
        let is_timed = self.head.as_ref().is_some_and(|head| head.earlier == earlier);
        // Some clients end a body with a line end too many, which begins nothing.
        let is_blank = bytes.iter().all(|byte| b"\r\n".contains(byte));
        if !is_timed && !is_blank && self.signals.in_flight.load(Ordering::Relaxed) == 0 {
            self.head = Some(Head { until: Box::pin(sleep(self.head_patience)), earlier });
            self.signals.head_begun.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Ready once a head has taken too long.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let earlier = self.signals.heads.load(Ordering::Relaxed);
        match &mut self.head {
            Some(head) if head.earlier == earlier => head.until.as_mut().poll(cx),
            _ => {
                self.head = None;
                Poll::Pending
            }
        }
    }

    /// Passes on what a write of `bytes` gave, and an error in its place once the client has taken too little for too
    /// long.
    fn or_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let now = tokio::time::Instant::now();
        if let Poll::Ready(done) = &write {
            self.stalled = None;
            let bytes = done.as_ref().map_or(0, bytes);
            self.patience.took(now, bytes);
            self.frames.wrote(bytes);
            return write;
        }
        let until = self.patience.waits(now);
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &read {
            Poll::Ready(_) => {
                let taken = buffer.filled().get(before..).unwrap_or_default();
                match taken.is_empty() || self.took(taken) {
                    true => read,
                    false => {
                        Poll::Ready(Err(io::Error::other("the client floods the connection with frames")))
                    }
                }
            }
            Poll::Pending => {
                ready!(self.poll_head(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head came too slowly")))
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_stalled(cx, write, |taken| *taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.or_stalled(cx, write, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_stalled(cx, flush, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.signals.linger.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let closing = this
            .closing
            .get_or_insert_with(|| Closing { until: Box::pin(sleep(LINGER)), left: LINGER_BYTES });
        let mut scrap = [0u8; 16 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && closing.left > 0 => {
                    closing.left = closing.left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(closing.until.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
