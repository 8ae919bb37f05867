//! What carries batches out: threads, and how many batches may be on the way at once.

use crate::plan::DeviceId;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

pub type Job = Box<dyn FnOnce() + Send>;

/// The threads of one device. A job runs once, on a thread other than the caller's.
pub trait Executor: Send + Sync + 'static {
    /// Batches that may be on the way at once.
    fn lanes(&self) -> usize;

    /// Batches whose rows may be sent to the device, by jobs of their own, while the lanes are taken.
    fn stages(&self) -> usize {
        0
    }

    /// Never blocks, never runs the job on the calling thread.
    fn spawn(&self, job: Job);
}

/// The CPU's: a lane for each thread of rayon's global pool, which Burn's operations use too. Small models
/// fill the cores side by side; a large one spreads over whatever is idle.
#[derive(Debug, Default)]
pub struct SharedPool;

impl Executor for SharedPool {
    fn lanes(&self) -> usize {
        rayon::current_num_threads().max(1)
    }

    fn spawn(&self, job: Job) {
        rayon::spawn(job);
    }
}

/// OS threads of a device's own: one runs batches, one at a time; the other sends the rows of the next.
#[derive(Debug)]
pub struct OwnThreads(mpsc::SyncSender<Job>);

impl OwnThreads {
    /// The threads end once this is dropped and what was spawned has run.
    pub fn start(device: DeviceId) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::sync_channel::<Job>(4);
        let jobs = Arc::new(Mutex::new(jobs));
        // Either may carry out either kind of work: there is never more than one of each.
        for number in 0..2 {
            let jobs = jobs.clone();
            let next = move || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
            std::thread::Builder::new().name(format!("rserve-{device}-{number}")).spawn(move || {
                while let Some(job) = next() {
                    job();
                }
            })?;
        }
        Ok(Self(sender))
    }
}

impl Executor for OwnThreads {
    fn lanes(&self) -> usize {
        1
    }

    fn stages(&self) -> usize {
        1
    }

    fn spawn(&self, job: Job) {
        // There is room: one batch to run and one to send wait at most. The threads end only after the sender,
        // so this cannot fail.
        let _ = self.0.send(job);
    }
}
