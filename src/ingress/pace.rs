//! How fast clients take their answers: a stream of HTTP/2 that takes nothing is reset, and a connection is given up
//! that takes too little.

use crate::sync::{Mutex, lock};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The bytes of its answer that a client must take in a second, beside the time that it may take none.
pub const LEAST_RATE: u32 = 4 << 10;

tokio::task_local! {
    static STREAM: Arc<Pace>;
}

/// The pace at which the client takes the answer of one stream of HTTP/2.
#[derive(Debug, Default)]
pub struct Pace {
    begun: Notify,
    answer: Mutex<Option<Taken>>,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    /// When it took something last.
    at: Instant,
    /// When it must have taken everything.
    due: Instant,
}

impl Pace {
    /// The pace of the stream whose task this is; `None` with HTTP/1.
    pub fn of_this_stream() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    /// The answer is made, and is to be taken within `allowed`.
    pub fn begin(&self, allowed: Duration) {
        let now = Instant::now();
        *lock(&self.answer) = Some(Taken { at: now, due: now + allowed });
        self.begun.notify_one();
    }

    /// The client has taken what was sent so far.
    pub fn took(&self) {
        if let Some(taken) = &mut *lock(&self.answer) {
            taken.at = Instant::now();
        }
    }

    /// Returns once the client has taken nothing of the answer for `patience`, or not all of it in its time.
    async fn stalled(&self, patience: Duration) {
        self.begun.notified().await;
        loop {
            let taken = *lock(&self.answer);
            let Some(Taken { at, due }) = taken else { return std::future::pending().await };
            let until = (at + patience).min(due);
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Runs the streams of connections of HTTP/2, each in a task of its own. One whose client does not take its answer is
/// dropped, which resets it.
#[derive(Clone, Debug)]
pub struct Streams {
    /// The time that a client may take nothing of an answer.
    pub patience: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let patience = self.patience;
        tokio::spawn(async move {
            let pace = Arc::new(Pace::default());
            tokio::select! {
                biased;
                () = STREAM.scope(pace.clone(), stream) => {}
                () = pace.stalled(patience) => tracing::debug!("a client does not take its answer; its stream is reset"),
            }
        });
    }
}

/// The time that a connection may still wait for its client to take something. It is used up by waiting, and given
/// back by what the client takes.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    whole: Duration,
    left: Duration,
    waits_since: Option<Instant>,
}

impl Patience {
    pub fn new(whole: Duration) -> Self {
        Self { whole, left: whole, waits_since: None }
    }

    /// The connection waits at `now` for its client to take something. When that has lasted too long.
    pub fn waits(&mut self, now: Instant) -> Instant {
        *self.waits_since.get_or_insert(now) + self.left
    }

    /// The client has taken `bytes`.
    pub fn took(&mut self, now: Instant, bytes: usize) {
        let Some(since) = self.waits_since.take() else {
            // What it takes at once earns nothing, and costs nothing.
            return;
        };
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(LEAST_RATE));
        self.left = (self.left.saturating_sub(now - since) + earned).min(self.whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a client is waited for that takes so many bytes each time after so long; `None` where for ever.
    fn cut_off_after(bytes: usize, each: Duration) -> Option<Duration> {
        let begun = Instant::now();
        let mut now = begun;
        let mut patience = Patience::new(Duration::from_secs(30));
        while now < begun + Duration::from_secs(3600) {
            let until = patience.waits(now);
            if until < now + each {
                return Some(until - begun);
            }
            now += each;
            patience.took(now, bytes);
        }
        None
    }

    #[test]
    fn who_takes_too_little_is_cut_off() {
        let seconds = Duration::from_secs;
        assert_eq!(cut_off_after(0, seconds(60)), Some(seconds(30)));
        let trickling = cut_off_after(4096, seconds(5)).unwrap();
        assert!(trickling < seconds(60), "{trickling:?}");
        assert_eq!(cut_off_after(1 << 20, seconds(31)), Some(seconds(30)));
        assert_eq!(cut_off_after(4096, seconds(1)), None);
        assert_eq!(cut_off_after(100 << 10, seconds(20)), None);
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_or_goes_on_too_long_is_stalled() {
        let short = Duration::from_millis(20);
        let long = Duration::from_secs(600);
        let idle = Pace::default();
        idle.begin(long);
        idle.stalled(short).await;
        let busy = Pace::default();
        busy.begin(Duration::from_millis(50));
        let work = async {
            loop {
                busy.took();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = work => {}
            () = busy.stalled(long) => {}
        }
    }
}
