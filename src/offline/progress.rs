//! How far a run is: a bar on a terminal, a plain line every ten seconds elsewhere.

use super::run::Counts;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(10);
const MESSAGE_EVERY: Duration = Duration::from_millis(200);

/// The time that items took, summed up by what it was for. Several items run at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeSpent {
    pub read: Duration,
    pub decode: Duration,
    /// The time of models, of which each item of a batch has its part.
    pub models: Duration,
    pub encode: Duration,
    pub write: Duration,
    /// Rows that were run in batches, and how many there was place for.
    pub rows: f64,
    pub places: f64,
}

impl TimeSpent {
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.decode += other.decode;
        self.models += other.models;
        self.encode += other.encode;
        self.write += other.write;
        self.rows += other.rows;
        self.places += other.places;
    }

    /// How full batches were, in percent; `None` before the first.
    pub fn batch_fill(&self) -> Option<f64> {
        (self.places > 0.0).then(|| 100.0 * self.rows / self.places)
    }

    /// The parts with their names, in the order in which an item goes through them.
    pub fn stages(&self) -> [(&'static str, Duration); 5] {
        [
            ("read", self.read),
            ("decode", self.decode),
            ("models", self.models),
            ("encode", self.encode),
            ("write", self.write),
        ]
    }

    /// "read 2%, decode 61%, models 35%, encode 1%, write 1%"
    pub fn shares(&self) -> String {
        let all: f64 = self.stages().iter().map(|(_, time)| time.as_secs_f64()).sum();
        let share = |(name, time): &(&str, Duration)| {
            let percent = 100.0 * time.as_secs_f64() / all.max(1e-9);
            format!("{name} {percent:.0}%")
        };
        self.stages().iter().map(share).collect::<Vec<_>>().join(", ")
    }
}

impl Serialize for TimeSpent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.stages().map(|(name, time)| (name, time.as_secs_f64())))
    }
}

pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    /// Done by an earlier run.
    before: u64,
    begun: Instant,
    next: Instant,
}

impl Progress {
    pub fn new(total: u64, before: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(Some(total), target).with_position(before);
            // Two lines that fit into 80 columns; what is longer than the terminal is wide is cut off.
            let form = "{bar:16} {percent:>3}%  {prefix}\n{wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        let next = now + if bar.is_some() { MESSAGE_EVERY } else { LINE_EVERY };
        Self { bar, total, before, begun: now, next }
    }

    pub fn at(&mut self, counts: Counts, spent: &TimeSpent) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let (count, stages) = self.lines(counts, spent, now - self.begun);
        match &self.bar {
            Some(bar) => {
                self.next = now + MESSAGE_EVERY;
                bar.set_position(counts.done + counts.failed);
                bar.set_prefix(count);
                bar.set_message(stages);
            }
            None => {
                self.next = now + LINE_EVERY;
                // Where stderr is closed nobody is told.
                let _ = writeln!(stderr(), "{count}; {stages}");
            }
        }
    }

    /// "1200/5000 done, 3 failed, 412/s, 9 seconds left" and
    /// "batches 94% full; read 2%, decode 61%, models 35%, …"
    fn lines(&self, counts: Counts, spent: &TimeSpent, took: Duration) -> (String, String) {
        let ended = counts.done + counts.failed;
        let rate = (ended.saturating_sub(self.before)) as f64 / took.as_secs_f64().max(1e-9);
        let mut count = format!("{}/{} done, {} failed, {rate:.0}/s", counts.done, self.total, counts.failed);
        if rate > 0.0 {
            let left = self.total.saturating_sub(ended) as f64 / rate;
            if let Ok(left) = Duration::try_from_secs_f64(left.ceil()) {
                count.push_str(&format!(", {} left", HumanDuration(left)));
            }
        }
        let fill = spent.batch_fill().map_or(String::new(), |fill| format!("batches {fill:.0}% full; "));
        (count, fill + &spent.shares())
    }

    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_the_limit_is() {
        let progress = Progress::new(5000, 1000);
        let spent = TimeSpent {
            decode: Duration::from_secs(6),
            models: Duration::from_secs(3),
            write: Duration::from_secs(1),
            rows: 30.0,
            places: 40.0,
            ..TimeSpent::default()
        };
        let (count, stages) =
            progress.lines(Counts { done: 1990, failed: 10 }, &spent, Duration::from_secs(10));
        assert_eq!(count, "1990/5000 done, 10 failed, 100/s, 30 seconds left");
        assert_eq!(stages, "batches 75% full; read 0%, decode 60%, models 30%, encode 0%, write 10%");
    }
}
