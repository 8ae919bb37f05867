//! What carries batches out: threads, and how many batches may be on the way at once.

use crate::plan::DeviceId;
use std::sync::atomic::{AtomicUsize, Ordering};
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

    /// Batches that may run beside the lanes while all of those are held for long.
    fn relief(&self) -> usize {
        0
    }

    /// Never blocks, never runs the task on the calling thread.
    fn spawn(&self, task: Task);

    /// Runs as [`Executor::spawn`] does, on a thread that takes nothing from the lanes. `then` is run after `run`,
    /// whatever became of it.
    ///
    /// REQUIRES that [`Executor::relief`] says that there are such threads.
    fn spawn_in_relief(&self, run: Task, then: Task) {
        self.spawn(Box::new(move || {
            run();
            then();
        }));
    }

    /// Whether a thread looks after the batches that run, by the clock.
    fn is_watched(&self) -> bool {
        true
    }
}

/// The CPU's: a lane for each thread of rayon's global pool, which Burn's operations use too. Small models
/// fill the cores side by side; a large one spreads over whatever is idle. In relief of it are as many threads again, each
/// a pool of its own, so that no work of the batch that it runs waits for those that hold the lanes.
#[derive(Debug, Default)]
pub struct SharedPool {
    relief: Relief,
}

/// Threads that start when there is a first batch for them.
#[derive(Debug)]
struct Relief {
    sender: mpsc::SyncSender<(Task, Task)>,
    tasks: Arc<Mutex<mpsc::Receiver<(Task, Task)>>>,
    threads: AtomicUsize,
    /// Batches that wait for one of them or run on it.
    taken: Arc<AtomicUsize>,
}

impl Executor for SharedPool {
    fn lanes(&self) -> usize {
        rayon::current_num_threads().max(1)
    }

    fn relief(&self) -> usize {
        self.lanes()
    }

    fn spawn(&self, task: Task) {
        rayon::spawn(task);
    }

    fn spawn_in_relief(&self, run: Task, then: Task) {
        if let Err(error) = self.relief.make_room() {
            tracing::error!(%error, "no thread for a batch beside the lanes");
            if self.relief.threads.load(Ordering::Relaxed) == 0 {
                return self.spawn(Box::new(move || {
                    run();
                    then();
                }));
            }
        }
        self.relief.taken.fetch_add(1, Ordering::Relaxed);
        // The receiver lives as long as this.
        let _ = self.relief.sender.send((run, then));
    }
}

impl Default for Relief {
    fn default() -> Self {
        // No more run beside the lanes at once than there are lanes, so that this never blocks.
        let (sender, tasks) = mpsc::sync_channel(rayon::current_num_threads().max(1));
        let tasks = Arc::new(Mutex::new(tasks));
        Self { sender, tasks, threads: AtomicUsize::new(0), taken: Arc::default() }
    }
}

impl Relief {
    /// Starts a thread if all that there are have something to do.
    fn make_room(&self) -> std::io::Result<()> {
        let number = self.threads.load(Ordering::Relaxed);
        if self.taken.load(Ordering::Relaxed) < number {
            return Ok(());
        }
        let name = format!("rserve-relief-{number}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| name.clone());
        let pool = pool.build().map_err(std::io::Error::other)?;
        let (tasks, taken) = (self.tasks.clone(), self.taken.clone());
        let next = move || tasks.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        std::thread::Builder::new().name(format!("rserve-relief-{number}")).spawn(move || {
            while let Some((run, then)) = next() {
                pool.install(run);
                taken.fetch_sub(1, Ordering::Relaxed);
                then();
            }
        })?;
        self.threads.fetch_add(1, Ordering::Relaxed);
        Ok(())
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
