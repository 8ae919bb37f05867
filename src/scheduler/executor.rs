//! What carries batches out: threads, and how many batches may be on the way at once.

use crate::plan::DeviceId;
use std::sync::mpsc;

pub type Job = Box<dyn FnOnce() + Send>;

/// The threads of one device. A job runs once, on a thread other than the caller's.
pub trait Executor: Send + Sync + 'static {
    /// Batches that may be on the way at once.
    fn lanes(&self) -> usize;
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

/// One OS thread of a device's own, one batch at a time.
#[derive(Debug)]
pub struct OwnThread(mpsc::SyncSender<Job>);

impl OwnThread {
    /// The thread ends once this is dropped and what was spawned has run.
    pub fn start(device: DeviceId) -> std::io::Result<Self> {
        let (sender, jobs) = mpsc::sync_channel::<Job>(2);
        std::thread::Builder::new().name(format!("rserve-{device}")).spawn(move || {
            for job in jobs {
                job();
            }
        })?;
        Ok(Self(sender))
    }
}

impl Executor for OwnThread {
    fn lanes(&self) -> usize {
        1
    }

    fn spawn(&self, job: Job) {
        // There is room: one batch is on the way at most, and one that has just ended. The thread ends only
        // after the sender, so this cannot fail.
        let _ = self.0.send(job);
    }
}
