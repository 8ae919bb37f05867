//! Decodes and encodes: pure work, done where it disturbs nobody. A panic in one is that item's error.

use super::error::Error;
use crate::scheduler::panic_message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// From how many bytes on work is moved off the threads that serve connections.
pub(super) const HEAVY: usize = 256 << 10;

/// Lets as many heavy decodes and encodes run at once as there are cores. A clone shares the limit.
#[derive(Clone, Debug)]
pub struct CodecThreads(Arc<Semaphore>);

impl Default for CodecThreads {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores)))
    }
}

impl CodecThreads {
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
            let permit = self.0.clone().acquire_owned().await.ok();
            // The permit goes along: a caller who leaves does not make room before the work is done.
            let work = move || {
                let _permit = permit;
                contained(work)
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
