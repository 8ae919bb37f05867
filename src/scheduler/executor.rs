//! What carries batches out: threads, and how many batches may be on the way at once.

use crate::plan::DeviceId;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// A piece of work for a device's threads.
pub type Task = Box<dyn FnOnce() + Send>;

/// The threads of one device. A task runs once, on a thread other than the caller's.
pub trait Executor: Send + Sync + 'static {
    /// Batches that may be on the way at once.
    fn lanes(&self) -> usize;

    /// Batches whose rows may be sent to the device, by tasks of their own, while the lanes are taken.
    fn stages(&self) -> usize {
        0
    }

    /// Never blocks, never runs the task on the calling thread.
    fn spawn(&self, task: Task);
}

/// The CPU's: a lane for each thread of rayon's global pool, which Burn's operations use too. Small models
/// fill the cores side by side; a large one spreads over whatever is idle.
#[derive(Debug, Default)]
pub struct SharedPool;

impl Executor for SharedPool {
    fn lanes(&self) -> usize {
        rayon::current_num_threads().max(1)
    }

    fn spawn(&self, task: Task) {
        rayon::spawn(task);
    }
}

/// OS threads of a device's own: one runs batches, one at a time; the other sends the rows of the next.
#[derive(Debug)]
pub struct OwnThreads(mpsc::SyncSender<Task>);

impl OwnThreads {
    /// The threads end once this is dropped and what was spawned has run.
    pub fn start(device: DeviceId) -> std::io::Result<Self> {
        let (sender, tasks) = mpsc::sync_channel::<Task>(4);
        let tasks = Arc::new(Mutex::new(tasks));
        // Either may carry out either kind of work: there is never more than one of each.
        for number in 0..2 {
            let tasks = tasks.clone();
            let next = move || tasks.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
            std::thread::Builder::new().name(format!("rserve-{device}-{number}")).spawn(move || {
                while let Some(task) = next() {
                    task();
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

    fn spawn(&self, task: Task) {
        // There is room: one batch to run and one to send wait at most. The threads end only after the sender,
        // so this cannot fail.
        let _ = self.0.send(task);
    }
}
