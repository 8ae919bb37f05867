//! Decodes and encodes: pure work, done where it disturbs nobody. A panic in one is that item's error.

use super::error::Error;
use crate::scheduler::panic_message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of bytes from which on work is moved off the threads that serve connections.
pub(super) const HEAVY: usize = 256 << 10;

/// The bytes for each core that large pictures may take which are kept until something has been drawn on them.
const KEPT_PER_CORE: usize = 256 << 20;

/// A permit stands for so many bytes of a kept picture.
const PERMIT: usize = 64 << 10;

/// Lets as many heavy decodes and encodes run at once as there are cores, and as many large pictures be
/// kept as there is memory for. A clone shares the limits.
#[derive(Clone, Debug)]
pub struct CodecThreads {
    running: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    kept_permits: usize,
}

impl Default for CodecThreads {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores, cores * KEPT_PER_CORE)
    }
}

impl CodecThreads {
    /// `kept` is in bytes.
    pub fn new(running: usize, kept: usize) -> Self {
        let kept_permits = (kept / PERMIT).clamp(1, u32::MAX as usize >> 3);
        Self {
            running: Arc::new(Semaphore::new(running.max(1))),
            kept: Arc::new(Semaphore::new(kept_permits)),
            kept_permits,
        }
    }

    /// Waits until there is memory for pictures of so many bytes, which is theirs until the permit is
    /// dropped. Larger than all there is waits for all of it.
    ///
    /// REQUIRES that an item calls this once, for all of its pictures: two that each hold a part and wait
    /// for more would wait for ever.
    pub(super) async fn keep(
        &self,
        bytes: usize,
        deadline: Instant,
        at: impl Fn() -> String,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        let permits = bytes.div_ceil(PERMIT).min(self.kept_permits);
        let wait = self.kept.clone().acquire_many_owned(u32::try_from(permits).unwrap_or(u32::MAX));
        match tokio::time::timeout_at(deadline.into(), wait).await {
            // The semaphore is never closed.
            Ok(permit) => Ok(permit.ok()),
            Err(_) => Err(Error::Deadline { at: at() }),
        }
    }

    /// Does the work here and now where it is light, else on a thread that may block, once one is free.
    /// `at` names the work for errors.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        weight: usize,
        deadline: Instant,
        at: impl Fn() -> String,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if weight < HEAVY {
            return contained(work).map_err(|message| Error::Panic { at: at(), message });
        }
        let off_thread = async {
            // The semaphore is never closed.
            let permit = self.running.clone().acquire_owned().await.ok();
            // The permit goes along: a caller who leaves does not make room before the work is done.
            let span = tracing::Span::current();
            let work = move || {
                let _permit = permit;
                span.in_scope(|| contained(work))
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
        };
        match tokio::time::timeout_at(deadline.into(), off_thread).await {
            Ok(done) => done.map_err(|message| Error::Panic { at: at(), message }),
            Err(_) => Err(Error::Deadline { at: at() }),
        }
    }
}

fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panic_message(&*payload))
}
