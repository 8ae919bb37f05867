//! Whose rows make batches fail again and again: they run alone for a while, so that others have not to be run twice
//! for them. Pure: the time is an argument.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// The sender of an item, as far as it is known. Equal ones are the same sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sender(u64);

impl Sender {
    pub fn of(who: &(impl Hash + ?Sized)) -> Self {
        let mut hasher = DefaultHasher::new();
        who.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Rows are half forgotten after so long.
const HALF_LIFE: f64 = 10.0;

/// The number of bad rows that, with their part of all rows, make their sender run alone.
const LEAST: f64 = 3.0;
const PART: f64 = 0.25;

/// How long a sender runs alone after that.
const ALONE: Duration = Duration::from_secs(10);

/// The number of senders of whom anything is kept. Beyond them nobody's rows are counted.
const MOST: usize = 1024;

/// The senders of bad rows of one instance.
#[derive(Default)]
pub struct Blame(HashMap<Sender, Record>);

/// What is known of one sender, fading.
struct Record {
    rows: f64,
    bad: f64,
    at: Instant,
    alone_until: Option<Instant>,
}

impl Record {
    fn fade(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let left = (-passed / HALF_LIFE).exp2();
        self.rows *= left;
        self.bad *= left;
        self.at = self.at.max(now);
    }

    fn is_alone(&self, now: Instant) -> bool {
        self.alone_until.is_some_and(|until| now < until)
    }
}

impl Blame {
    /// A row is run.
    pub fn runs(&mut self, sender: Option<Sender>, now: Instant) {
        if let Some(record) = sender.and_then(|sender| self.0.get_mut(&sender)) {
            record.fade(now);
            record.rows += 1.0;
        }
    }

    /// A row, counted as run, could not be.
    pub fn failed(&mut self, sender: Sender, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&sender) {
            self.0.retain(|_, record| {
                record.fade(now);
                record.bad > 0.5 || record.is_alone(now)
            });
            if self.0.len() >= MOST {
                return;
            }
        }
        // The row that is the first to be blamed was not counted.
        let first = || Record { rows: 1.0, bad: 0.0, at: now, alone_until: None };
        let record = self.0.entry(sender).or_insert_with(first);
        record.fade(now);
        record.bad += 1.0;
        // Those of a moment ago have faded a little.
        if record.bad > LEAST - 0.5 && record.bad >= record.rows * PART {
            record.alone_until = Some(now + ALONE);
        }
    }

    /// Whether the rows of a sender share no batch now.
    pub fn is_alone(&self, sender: Option<Sender>, now: Instant) -> bool {
        sender.and_then(|sender| self.0.get(&sender)).is_some_and(|record| record.is_alone(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// So many rows of one sender in a second, of which each so manieth is bad; whether it runs alone then.
    fn is_alone_after(rows: usize, bad_each: usize) -> bool {
        let (mut blame, begun, sender) = (Blame::default(), Instant::now(), Sender::of("somebody"));
        let at = |row: usize| begun + seconds(row as f64 / rows as f64);
        for row in 0..rows {
            blame.runs(Some(sender), at(row));
            if row % bad_each == 0 {
                blame.failed(sender, at(row));
            }
        }
        assert!(!blame.is_alone(Some(Sender::of("another")), at(rows)));
        assert!(!blame.is_alone(None, at(rows)));
        blame.is_alone(Some(sender), at(rows))
    }

    #[test]
    fn who_sends_bad_rows_again_and_again_runs_alone_and_who_seldom_does_it_does_not() {
        for (rows, bad_each, alone) in
            [(2, 1, false), (3, 1, true), (100, 1, true), (100, 2, true), (100, 20, false), (1000, 50, false)]
        {
            assert_eq!(is_alone_after(rows, bad_each), alone, "{rows} rows, each {bad_each}th of them bad");
        }
    }

    #[test]
    fn it_is_for_a_while() {
        let (mut blame, begun, sender) = (Blame::default(), Instant::now(), Sender::of("somebody"));
        for _ in 0..3 {
            blame.runs(Some(sender), begun);
            blame.failed(sender, begun);
        }
        assert!(blame.is_alone(Some(sender), begun + seconds(9.9)));
        assert!(!blame.is_alone(Some(sender), begun + ALONE));
        // Three in minutes are no habit.
        let mut now = begun + seconds(100.0);
        for _ in 0..3 {
            blame.runs(Some(sender), now);
            blame.failed(sender, now);
            now += seconds(60.0);
        }
        assert!(!blame.is_alone(Some(sender), now));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut blame, begun) = (Blame::default(), Instant::now());
        (0..5 * MOST).for_each(|number| blame.failed(Sender::of(&number), begun));
        assert_eq!(blame.0.len(), MOST);
        blame.failed(Sender::of("later"), begun + seconds(60.0));
        assert_eq!(blame.0.len(), 1);
    }
}
