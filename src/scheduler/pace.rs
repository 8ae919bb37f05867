//! How fast an instance's queue empties. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// The speed at which an instance's queue empties.
#[derive(Default)]
pub struct Pace {
    /// When its latest batch ended, if something has waited since.
    last: Option<Instant>,
    seconds_per_row: f64,
}

impl Pace {
    const GAIN: f64 = 0.2;

    /// A batch ended. While items wait, the time between two ends is what a batch costs the queue, with
    /// whatever ran for others in between.
    pub fn ran(&mut self, rows: usize, took: Duration, now: Instant, waiting: bool) {
        let since_last = self.last.map(|last| now.saturating_duration_since(last));
        let seconds = since_last.unwrap_or(took).as_secs_f64() / rows.max(1) as f64;
        self.last = waiting.then_some(now);
        let gain = if self.seconds_per_row == 0.0 { 1.0 } else { Self::GAIN };
        self.seconds_per_row += gain * (seconds - self.seconds_per_row);
    }

    /// The time that `len` items take to be run, within reason.
    pub fn drain_time(&self, len: usize) -> Duration {
        Duration::from_secs_f64((self.seconds_per_row * len as f64).clamp(0.01, 60.0))
    }
}
