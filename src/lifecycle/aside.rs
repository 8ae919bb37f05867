//! Work that gives way to what serves: threads of a low priority, with a pool of their own for what they
//! compute in parallel.

use crate::scheduler::{Executor, StopFlag, Stopped, Stopping, panic_message};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

/// How nice the threads are: a tenth of a core for each that wants it otherwise.
const NICE: i32 = 10;

/// Why work that was done aside has no result.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// It took longer than was allowed. It is told to end, and what it comes to is dropped.
    Overdue,
    Panicked(String),
    NoThread(String),
}

/// Does `work` on a thread of its own and waits for it, `limit` at most; then its flag is set. `background` work gives
/// way.
pub(super) fn aside<T: Send + 'static>(
    limit: Duration,
    background: bool,
    work: impl FnOnce(&StopFlag) -> T + Send + 'static,
) -> Result<T, Aside> {
    waited_for(limit, background, work, |contained| {
        std::thread::Builder::new().name("rserve-load".to_owned()).spawn(contained).map(drop)
    })
}

/// Does `work` as [`aside`] does, on a thread that may have done such work before: for what is brief and comes again and
/// again, so that it does not leave memory to ever new threads.
pub(super) fn aside_again<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce(&StopFlag) -> T + Send + 'static,
) -> Result<T, Aside> {
    waited_for(limit, false, work, kept::start)
}

fn waited_for<T: Send + 'static>(
    limit: Duration,
    background: bool,
    work: impl FnOnce(&StopFlag) -> T + Send + 'static,
    start: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
) -> Result<T, Aside> {
    let (sender, result) = mpsc::sync_channel(1);
    let stop = StopFlag::default();
    let flag = stop.clone();
    let contained = move || {
        let work = move || {
            let _stopping = Stopping::begin(&flag);
            catch_unwind(AssertUnwindSafe(|| work(&flag)))
        };
        let done = if background { in_background(work) } else { work() };
        // Nobody waits any more where it is overdue.
        let _ = sender.send(done);
    };
    start(Box::new(contained)).map_err(|error| Aside::NoThread(error.to_string()))?;
    match result.recv_timeout(limit) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(payload)) => Err(Aside::Panicked(panic_message(&*payload))),
        Err(_) => {
            stop.stop(Stopped::TooLong);
            Err(Aside::Overdue)
        }
    }
}

fn in_background<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    give_way();
    match pool() {
        Ok(pool) => pool.install(work),
        Err(error) => {
            tracing::debug!(%error, "no threads of a low priority");
            work()
        }
    }
}

/// One thread: loading mostly waits for the disk, and what serves needs the others.
fn pool() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "rserve-load".to_owned())
        .start_handler(|_| give_way())
        .build()
}

/// Makes the calling thread a nice one. Where that is not to be had it stays as it is.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// Threads that wait a while for more to do.
mod kept {
    use std::io;
    use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    type Job = Box<dyn FnOnce() + Send>;

    /// How long one waits.
    const IDLE: Duration = Duration::from_secs(5);

    /// How often one works before it ends: what memory it has left goes back with it.
    const TIMES: u32 = 100;

    /// Those that wait, each with a number that tells it apart.
    static WAITING: Mutex<Waiting> = Mutex::new(Waiting { next: 0, threads: Vec::new() });

    struct Waiting {
        next: u64,
        threads: Vec<(u64, SyncSender<Job>)>,
    }

    fn waiting() -> MutexGuard<'static, Waiting> {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread that waits do the job, which must not panic; a new one where none waits.
    pub(super) fn start(job: Job) -> io::Result<()> {
        let thread = waiting().threads.pop();
        let job = match thread {
            None => job,
            Some((_, thread)) => match thread.send(job) {
                Ok(()) => return Ok(()),
                Err(back) => back.0,
            },
        };
        std::thread::Builder::new().name("rserve-look".to_owned()).spawn(|| work(job)).map(drop)
    }

    fn work(mut job: Job) {
        for _ in 0..TIMES {
            job();
            let (sender, jobs) = mpsc::sync_channel(1);
            let number = {
                let mut waiting = waiting();
                waiting.next += 1;
                let number = waiting.next;
                waiting.threads.push((number, sender));
                number
            };
            let next = jobs.recv_timeout(IDLE).or_else(|error| {
                let mut waiting = waiting();
                let before = waiting.threads.len();
                waiting.threads.retain(|(other, _)| *other != number);
                match error {
                    // Somebody has just taken it.
                    RecvTimeoutError::Timeout if waiting.threads.len() == before => {
                        drop(waiting);
                        jobs.recv().map_err(|_| ())
                    }
                    _ => Err(()),
                }
            });
            match next {
                Ok(next) => job = next,
                Err(()) => return,
            }
        }
        job();
    }
}

/// One lane on a thread that gives way: for shadows.
#[derive(Debug)]
pub(super) struct Background(mpsc::SyncSender<Box<dyn FnOnce() + Send>>);

impl Background {
    /// The thread ends once this is dropped and what was spawned has run.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, jobs) = mpsc::sync_channel::<Box<dyn FnOnce() + Send>>(2);
        std::thread::Builder::new().name("rserve-shadow".to_owned()).spawn(move || {
            give_way();
            let pool = pool();
            for job in jobs {
                match &pool {
                    Ok(pool) => pool.install(job),
                    Err(_) => job(),
                }
            }
        })?;
        Ok(Self(sender))
    }
}

impl Executor for Background {
    fn lanes(&self) -> usize {
        1
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        // There is room: one batch is on the way at most, and one that has just ended.
        let _ = self.0.send(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::is_stopped;

    #[test]
    fn what_hangs_is_left_behind_and_what_panics_is_said() {
        let (sender, ended) = mpsc::sync_channel(1);
        let hung = aside(Duration::from_millis(20), true, move |stop| {
            while !stop.is_set() {
                std::thread::yield_now();
            }
            let _ = sender.send(is_stopped());
        });
        assert_eq!(hung, Err(Aside::Overdue));
        assert_eq!(ended.recv(), Ok(true), "it is told to end");
        let minute = Duration::from_secs(60);
        assert_eq!(aside(minute, true, |_| 3), Ok(3));
        assert_eq!(aside(minute, false, |_| -> u8 { panic!("no") }), Err(Aside::Panicked("no".into())));
    }
}
