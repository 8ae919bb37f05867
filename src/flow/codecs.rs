//! Decodes and encodes: pure work, done where it disturbs nobody, with memory that is reserved before it begins. A
//! panic in one is that item's error.

use super::error::Error;
use super::line::{Kind, Line, Turn};
use crate::memory::{Budget, Full, Reservation, Use};
use crate::scheduler::panic_message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

/// The number of bytes from which on work is moved off the threads that serve connections.
pub const HEAVY: usize = 256 << 10;

/// The number of bytes from which on a picture is large: those of 2 megapixels.
const LARGE: usize = 6 << 20;

/// What wants no more memory than this may have all there is; what wants more leaves an eighth of it to the others.
const SMALL: u64 = 8 << 20;

/// Lets as many heavy decodes and encodes run at once as there are cores, and reserves the memory of what is decoded. A
/// clone shares both.
#[derive(Clone)]
pub struct CodecThreads {
    line: Arc<Mutex<Line<Waiter>>>,
    memory: Budget,
}

/// Who waits for a thread. It is gone once the other end is.
struct Waiter(oneshot::Sender<Pass>);

/// A thread, until it is dropped.
struct Pass {
    line: Arc<Mutex<Line<Waiter>>>,
    turn: Option<Turn>,
    began: Instant,
}

/// A piece of work.
pub(super) struct Work<'a> {
    pub pipeline: &'a Arc<str>,
    pub is_decode: bool,
    /// How much there is to do, in bytes read or unpacked.
    pub weight: usize,
    /// The bytes that it holds while it waits.
    pub holds: usize,
    /// The bytes that it takes while it goes on.
    pub takes: u64,
    pub deadline: Instant,
}

impl Default for CodecThreads {
    /// Of tools that handle one thing at a time, and of tests.
    fn default() -> Self {
        Self::reserving_from(&Budget::unlimited())
    }
}

impl CodecThreads {
    /// A thread for each core, and one that large pictures never have.
    pub fn reserving_from(memory: &Budget) -> Self {
        Self::new(cores(), memory)
    }

    /// A thread for each core, for somebody who has them alone.
    pub fn for_one(memory: &Budget) -> Self {
        Self { line: Arc::new(Mutex::new(Line::new(cores(), 0))), memory: memory.clone() }
    }

    /// So many threads, and one that large pictures never have.
    pub fn new(threads: usize, memory: &Budget) -> Self {
        Self { line: Arc::new(Mutex::new(Line::new(threads + 1, 1))), memory: memory.clone() }
    }

    /// Memory for what is decoded, or computed and kept for what comes after it.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation, Full> {
        let mut reserved = self.memory.reserve(Use::Decoded, 0)?;
        self.grow(&mut reserved, bytes)?;
        Ok(reserved)
    }

    /// Holds `more` bytes beside those that are held.
    pub(super) fn grow(&self, reserved: &mut Reservation, more: u64) -> Result<(), Full> {
        let spare = if more > SMALL { self.memory.most(Use::Decoded) / 8 } else { 0 };
        reserved.resize_leaving(reserved.bytes().saturating_add(more), spare)
    }

    /// Does the work here and now where it is light, else on a thread that may block, once it is its turn. Gives the
    /// memory that was reserved for it with what it made. `at` names the work for errors.
    ///
    /// What is given up before it begins, or begins too late, is not done.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: Work<'_>,
        at: impl Fn() -> String,
        does: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Reservation), Error> {
        let Work { takes, weight, deadline, .. } = work;
        let reserve = || self.reserve(takes).map_err(|full| Error::NoMemory { at: at(), full });
        if weight < HEAVY {
            let reserved = reserve()?;
            let done = contained(does).map_err(|message| Error::Panic { at: at(), message })?;
            return Ok((done, reserved));
        }
        let late = |_| Error::Deadline { at: at() };
        let pass = self.enter(&work, &at)?;
        let pass = tokio::time::timeout_at(deadline.into(), pass).await.map_err(late)?;
        if Instant::now() >= deadline {
            return Err(Error::Deadline { at: at() });
        }
        let reserved = reserve()?;
        let span = tracing::Span::current();
        // Thread and memory go along: a caller who leaves does not make room before the work is done.
        let does = move || {
            let _pass = pass;
            (span.in_scope(|| contained(does)), reserved)
        };
        let done = tokio::time::timeout_at(deadline.into(), tokio::task::spawn_blocking(does)).await;
        let panicked = |message| Error::Panic { at: at(), message };
        let (done, reserved) = done.map_err(late)?.map_err(|error| panicked(error.to_string()))?;
        Ok((done.map_err(panicked)?, reserved))
    }

    /// Does work on a body before it is decoded, as a decode of so many bytes is done.
    pub async fn prepare<T: Send + 'static>(
        &self,
        pipeline: &Arc<str>,
        at: &str,
        bytes: usize,
        deadline: Instant,
        does: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let work = Work { pipeline, is_decode: true, weight: bytes, holds: bytes, takes: 0, deadline };
        let (done, _) = self.run(work, || at.to_owned(), does).await?;
        Ok(done)
    }

    /// Waits in line.
    fn enter(&self, work: &Work<'_>, at: impl Fn() -> String) -> Result<oneshot::Receiver<Pass>, Error> {
        let kind = match work {
            Work { is_decode: false, .. } => Kind::Encode,
            Work { weight: LARGE.., .. } => Kind::LargeDecode,
            _ => Kind::Decode,
        };
        let (sender, receiver) = oneshot::channel();
        lock(&self.line)
            .enter(work.pipeline, kind, Waiter(sender), work.holds, Waiter::is_gone)
            .map_err(|crowded| Error::Crowded { at: at(), retry_after: crowded.retry_after })?;
        advance(&self.line);
        Ok(receiver)
    }
}

impl Waiter {
    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            lock(&self.line).ended(turn, self.began.elapsed());
            advance(&self.line);
        }
    }
}

/// Hands out the threads that are free.
fn advance(line: &Arc<Mutex<Line<Waiter>>>) {
    loop {
        let Some((waiter, turn)) = lock(line).next(Waiter::is_gone) else { return };
        let pass = Pass { line: line.clone(), turn: Some(turn), began: Instant::now() };
        // Whoever has gone since gives it back with what is dropped here.
        let _ = waiter.0.send(pass);
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn lock<T>(line: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panic_message(&*payload))
}
