//! Answers on their way to their clients: their memory is reserved until the system has taken them, and a connection
//! knows which of its answers it still holds.

use super::clients::{RequestMemory, Taken};
use super::pace::{LEAST_RATE, Pace};
use super::problem::Problem;
use crate::memory::{Reservation, Use};
use crate::sync::{Mutex, lock};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// An answer of up to so many bytes is sent even where there is no memory for answers: whoever is told that there is
/// none must be told so.
const ALWAYS: usize = 4 << 10;

/// A part of the memory for answers is left to those of up to so many bytes.
const SMALL: usize = 64 << 10;

/// A long answer is handed on in pieces of so many bytes, so that it shows whether the client takes them.
const PIECE: usize = 64 << 10;

/// The body of an answer, which is whole before it is sent.
#[derive(Debug, Default)]
pub struct Outgoing {
    rest: Bytes,
    reserved: Option<(Reservation, Option<Taken>)>,
    pace: Option<Arc<Pace>>,
}

impl Outgoing {
    /// An answer whose bytes are reserved of the memory for answers, and of its client's part.
    pub fn reserved(bytes: Bytes, of: &RequestMemory) -> Result<Self, Problem> {
        let mut answer = Self::from(bytes);
        answer.reserve(of)?;
        Ok(answer)
    }

    /// Reserves its bytes, where they are not.
    pub fn reserve(&mut self, of: &RequestMemory) -> Result<(), Problem> {
        if self.reserved.is_some() || self.rest.len() <= ALWAYS {
            return Ok(());
        }
        let length = self.rest.len() as u64;
        let is_small = self.rest.len() <= SMALL;
        let spare = if is_small { 0 } else { of.budget.most(Use::Answers) / 8 };
        let mut reserved = of.budget.nothing(Use::Answers);
        reserved.resize_leaving(length, spare).map_err(|_| {
            Problem::no_room(
                "answers that were not taken by their clients yet take all the memory that there is for them; send it again",
            )
        })?;
        self.reserved = Some((reserved, of.of_client(length, is_small)?));
        Ok(())
    }

    /// The bytes by themselves.
    pub fn into_bytes(self) -> Bytes {
        self.rest
    }

    /// The bytes that are still to be sent.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Has the connection know of it until the system has taken the last of its bytes. `patience` is the time that the
    /// client may take none of it.
    pub fn on(self, connection: &Arc<UnsentAnswers>, patience: Duration, pace: Option<Arc<Pace>>) -> Self {
        if self.rest.is_empty() {
            return self;
        }
        let allowed = allowed(self.rest.len(), patience);
        if let Some(pace) = &pace {
            pace.begin(allowed);
        }
        let held = Held {
            bytes: self.rest,
            _reserved: self.reserved,
            _unsent: connection.begin(Instant::now() + allowed),
        };
        Self { rest: Bytes::from_owner(held), reserved: None, pace }
    }
}

/// The time in which a client must take an answer of so many bytes.
fn allowed(bytes: usize, patience: Duration) -> Duration {
    patience + Duration::from_secs(bytes as u64 / u64::from(LEAST_RATE))
}

impl From<Bytes> for Outgoing {
    fn from(rest: Bytes) -> Self {
        Self { rest, reserved: None, pace: None }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(pace) = &self.pace {
            pace.took();
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// The bytes of an answer, in as many pieces as they may be: dropped with the last of them.
struct Held {
    bytes: Bytes,
    _reserved: Option<(Reservation, Option<Taken>)>,
    _unsent: Unsent,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The answers of a connection that the system has not taken yet.
#[derive(Debug, Default)]
pub struct UnsentAnswers(Mutex<Dues>);

/// When the clients must have taken them, each with a number that tells it apart.
#[derive(Debug, Default)]
struct Dues {
    next: u64,
    dues: Vec<(u64, Instant)>,
}

impl UnsentAnswers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        lock(&self.0).dues.is_empty()
    }

    /// Whether one of them should have been taken by `now`.
    pub fn is_overdue(&self, now: Instant) -> bool {
        lock(&self.0).dues.iter().any(|(_, due)| *due < now)
    }

    fn begin(self: &Arc<Self>, due: Instant) -> Unsent {
        let mut unsent = lock(&self.0);
        let number = unsent.next;
        unsent.next += 1;
        unsent.dues.push((number, due));
        Unsent { of: self.clone(), number }
    }
}

/// One answer among those of its connection, for as long as this lives.
struct Unsent {
    of: Arc<UnsentAnswers>,
    number: u64,
}

impl Drop for Unsent {
    fn drop(&mut self) {
        lock(&self.of.0).dues.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients::{ClientRules, PerAddress};
    use super::*;
    use crate::memory::Budget;
    use http_body_util::BodyExt;
    use hyper::HeaderMap;

    fn memory(budget: &Budget) -> RequestMemory {
        RequestMemory::new(budget, &ClientRules::default(), &PerAddress::default(), &HeaderMap::new(), None)
    }

    #[tokio::test]
    async fn an_answer_counts_until_its_last_piece_is_dropped() {
        let budget = Budget::new(8 << 20);
        let connection = Arc::new(UnsentAnswers::default());
        let answer = Outgoing::reserved(Bytes::from(vec![7; PIECE + 1]), &memory(&budget)).unwrap();
        let mut answer = answer.on(&connection, Duration::ZERO, None);
        let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        let second = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((first.len(), second.len(), answer.is_end_stream()), (PIECE, 1, true));
        drop((answer, first));
        assert_eq!(budget.usage().reserved(), PIECE as u64 + 1);
        assert!(!connection.is_overdue(Instant::now() + Duration::from_secs(15)));
        assert!(connection.is_overdue(Instant::now() + Duration::from_secs(17)));
        drop(second);
        assert!(connection.is_empty());
        assert_eq!(budget.usage().reserved(), 0);
    }

    #[test]
    fn small_answers_are_sent_beside_large_ones() {
        let budget = Budget::new(4 << 20);
        let of = |length: usize| Outgoing::reserved(Bytes::from(vec![0; length]), &memory(&budget));
        let _large = of(900_000).unwrap();
        assert_eq!(of(100_000).unwrap_err().status(), 503);
        let _small = of(60_000).unwrap();
        let _others: Vec<_> = (0..100).map_while(|_| of(SMALL).ok()).collect();
        assert_eq!(of(SMALL).unwrap_err().status(), 503);
        assert!(of(ALWAYS).is_ok());
    }
}
