//! A client's connection as hyper reads and writes it, with two things that hyper does not do: it gives up
//! on a client that does not take its answer, and it closes gently where a body was left unread, so that
//! the answer is not lost to a reset.

use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long, and for how many bytes, an unread body is still taken in after the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// What a connection's requests tell its socket.
#[derive(Debug, Default)]
pub struct Signals {
    /// Some request came whole as far as its head.
    head_seen: AtomicBool,
    /// Something that the client sent is left unread.
    linger: AtomicBool,
}

impl Signals {
    pub fn saw_head(&self) {
        // A load is cheaper than a store where many requests share the line.
        if !self.head_seen.load(Ordering::Relaxed) {
            self.head_seen.store(true, Ordering::Relaxed);
        }
    }

    pub fn has_seen_head(&self) -> bool {
        self.head_seen.load(Ordering::Relaxed)
    }

    pub fn leaves_unread(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }
}

pub struct Socket {
    stream: TcpStream,
    signals: Arc<Signals>,
    /// How long a write may wait for the client.
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    closing: Option<Closing>,
}

struct Closing {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl Socket {
    pub fn new(stream: TcpStream, signals: Arc<Signals>, patience: Duration) -> TokioIo<Self> {
        TokioIo::new(Self { stream, signals, patience, stalled: None, closing: None })
    }

    /// Passes on what a write gave, and an error in its place once the client has not taken anything for
    /// too long.
    fn or_stalled<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let patience = self.patience;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_stalled(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.or_stalled(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_stalled(cx, flush)
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
