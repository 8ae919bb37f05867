//! A request's body, collected whole: within its size, and not too slowly.

use super::body_memory::BodyMemory;
use super::problem::Problem;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, EXPECT};
use std::time::Duration;
use tokio::time::timeout;

/// Memory that is taken before any of the body has come, at most.
const FIRST_RESERVE: usize = 256 * 1024;

/// A body that nobody wants is taken in up to so many bytes, and for so long.
const DISCARDED: usize = 1 << 20;
const DISCARD_WAIT: Duration = Duration::from_millis(100);

/// The bytes of a stream of HTTP/2, the time, and the time between two pieces, that a client may go on to send
/// after it was answered.
const DRAINED: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(30);
const DRAIN_IDLE: Duration = Duration::from_secs(5);

/// A body that may be given up before its end, and knows it.
pub struct Inbound {
    incoming: Incoming,
    /// Whether its end was seen. hyper itself does not tell so of a body in chunks.
    ended: bool,
}

impl Inbound {
    pub fn new(incoming: Incoming) -> Self {
        Self { incoming, ended: false }
    }

    /// Whether nothing of it is left unread on the connection.
    pub fn is_read(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    /// Reads it whole. A body that comes in one piece is not copied.
    ///
    /// Reads no further once it is known to be over `limit` bytes or `reserved` cannot hold more, and waits no
    /// longer than `idle` for the next piece.
    pub async fn collect(
        &mut self,
        headers: &HeaderMap,
        limit: usize,
        reserved: &mut BodyMemory,
        idle: Duration,
    ) -> Result<Bytes, Problem> {
        let announced = announced(headers);
        if let Some(announced) = announced.filter(|a| *a > limit) {
            return Err(Problem::body_too_large(limit).with("content_length", announced));
        }

        let Some(first) = self.piece(idle).await? else { return Ok(Bytes::new()) };
        if first.len() > limit {
            return Err(Problem::body_too_large(limit));
        }
        reserved.hold(first.len())?;
        if announced == Some(first.len()) || self.incoming.is_end_stream() {
            // Nothing more can follow, but hyper learns so only by being asked.
            if !self.incoming.is_end_stream() {
                while self.piece(idle).await?.is_some() {}
            }
            return Ok(first);
        }
        let Some(second) = self.piece(idle).await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(FIRST_RESERVE).max(first.len()));
        whole.extend_from_slice(&first);
        drop(first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if piece.len() > limit - whole.len() {
                return Err(Problem::body_too_large(limit));
            }
            // A buffer that grows takes the double of what it holds.
            let length = whole.len() + piece.len();
            let grown = if length > whole.capacity() { length.saturating_mul(2) } else { whole.capacity() };
            reserved.hold(grown)?;
            whole.extend_from_slice(&piece);
            next = self.piece(idle).await?;
        }
        Ok(whole.freeze())
    }

    /// Takes in a short body that nobody wants, so that the connection can go on with the next request. A
    /// longer one, or one that is still being waited for, is left unread.
    pub async fn discard(&mut self, headers: &HeaderMap) {
        // Who asks first has not sent it.
        if headers.contains_key(EXPECT) || announced(headers).is_none_or(|bytes| bytes > DISCARDED) {
            return;
        }
        let rest = async { while let Ok(Some(_)) = self.piece(DISCARD_WAIT).await {} };
        let _ = timeout(DISCARD_WAIT, rest).await;
    }

    /// Takes in what the client of a stream of HTTP/2 goes on to send after its answer. Many clients read the
    /// answer only once they have sent all, and some take the reset of a stream that is not read on for the
    /// loss of its answer.
    pub async fn drain(mut self) {
        let rest = async {
            let mut left = DRAINED;
            while let Ok(Some(piece)) = self.piece(DRAIN_IDLE).await {
                match left.checked_sub(piece.len()) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        let _ = timeout(DRAIN_TIME, rest).await;
    }

    /// The next piece of data; `None` at the end.
    async fn piece(&mut self, idle: Duration) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = timeout(idle, self.incoming.frame()).await.map_err(|_| {
                Problem::slow_body(format!(
                    "nothing more of the body came for {} s",
                    idle.as_secs_f32().ceil() as u64
                ))
            })?;
            match frame {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Err(error)) => {
                    return Err(Problem::malformed(format!("the body broke off: {}", root(&error))));
                }
                Some(Ok(frame)) => {
                    // Trailers say nothing to us.
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The innermost cause, which says what happened without the names of our parts.
fn root(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
