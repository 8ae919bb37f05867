//! What carries batches out: threads, and how many batches may be on the way at once.

use crate::plan::DeviceId;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

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

/// Threads that start when there is a batch for them, and end when there is none for a while.
#[derive(Debug)]
struct Relief {
    sender: mpsc::SyncSender<(Task, Task)>,
    tasks: Arc<Mutex<mpsc::Receiver<(Task, Task)>>>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    threads: usize,
    /// Batches that wait for one of them or run on it: never more than there are threads.
    taken: usize,
}

/// How long a thread waits for a batch.
const IDLE: Duration = Duration::from_secs(10);

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
            return self.spawn(Box::new(move || {
                run();
                then();
            }));
        }
        // The receiver lives as long as this.
        let _ = self.relief.sender.send((run, then));
    }
}

impl Default for Relief {
    fn default() -> Self {
        // No more run beside the lanes at once than there are lanes, so that this never blocks.
        let (sender, tasks) = mpsc::sync_channel(rayon::current_num_threads().max(1));
        let tasks = Arc::new(Mutex::new(tasks));
        Self { sender, tasks, counts: Arc::default() }
    }
}

impl Relief {
    /// Takes a thread for a task, or starts one if all that there are have something to do.
    fn make_room(&self) -> std::io::Result<()> {
        let mut counts = lock(&self.counts);
        if counts.taken == counts.threads {
            let number = counts.threads;
            let name = format!("rserve-relief-{number}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| name.clone());
            let pool = pool.build().map_err(std::io::Error::other)?;
            let (tasks, counts) = (self.tasks.clone(), self.counts.clone());
            std::thread::Builder::new()
                .name(format!("rserve-relief-{number}"))
                .spawn(move || relieve(&tasks, &counts, &pool))?;
        }
        counts.threads = counts.threads.max(counts.taken + 1);
        counts.taken += 1;
        Ok(())
    }
}

/// Carries out tasks until none has come for a while. What memory the thread has left goes back with it.
fn relieve(tasks: &Mutex<mpsc::Receiver<(Task, Task)>>, counts: &Mutex<Counts>, pool: &rayon::ThreadPool) {
    loop {
        let next = lock(tasks).recv_timeout(IDLE);
        match next {
            Ok((run, then)) => {
                pool.install(run);
                lock(counts).taken -= 1;
                then();
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let mut counts = lock(counts);
                // A task that has taken a thread is on its way to one.
                if counts.threads > counts.taken {
                    counts.threads -= 1;
                    return;
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            let next = move || lock(&tasks).recv().ok();
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
