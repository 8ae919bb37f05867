//! How much of a device's time was taken in the last seconds. Pure: the time is an argument.

/// The longest span that can be looked back at, in seconds.
pub const LONGEST: usize = 60;

/// One slot a second, and one for the second that is going on.
const SLOTS: usize = LONGEST + 1;

/// Seconds taken, by the second in which they were. Times are seconds since the device was opened.
#[derive(Clone, Debug)]
pub struct Window {
    slots: [f64; SLOTS],
    /// The latest second that was written to.
    newest: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { slots: [0.0; SLOTS], newest: 0 }
    }
}

impl Window {
    /// Something that ended at `end` took `seconds`.
    pub fn add(&mut self, end: f64, seconds: f64) {
        self.advance(end);
        let start = (end - seconds).max(0.0);
        let oldest = self.newest.saturating_sub(LONGEST as u64);
        let mut second = (start as u64).max(oldest);
        while second as f64 <= end && second <= self.newest {
            let here = (end.min(second as f64 + 1.0) - start.max(second as f64)).max(0.0);
            self.slots[slot(second)] += here;
            second += 1;
        }
    }

    /// The seconds that were taken in the last `span` seconds before `now`, of which there are at most [`LONGEST`].
    pub fn sum(&self, now: f64, span: f64) -> f64 {
        let from = (now - span).max(0.0);
        let oldest = self.newest.saturating_sub(LONGEST as u64);
        let within = |second: u64| {
            // Of the second in which the span begins, the part that lies in it.
            let part = (second as f64 + 1.0 - from.max(second as f64)).clamp(0.0, 1.0);
            self.slots[slot(second)] * part
        };
        (oldest.max(from as u64)..=self.newest).map(within).sum()
    }

    /// Forgets what lies too far back.
    fn advance(&mut self, now: f64) {
        let second = now.max(0.0) as u64;
        if second <= self.newest {
            return;
        }
        let passed = (second - self.newest).min(SLOTS as u64);
        for gone in (second + 1 - passed)..=second {
            self.slots[slot(gone)] = 0.0;
        }
        self.newest = second;
    }
}

fn slot(second: u64) -> usize {
    (second % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn what_was_taken_is_remembered_for_a_minute_and_no_longer() {
        let mut window = Window::default();
        window.add(0.5, 0.5);
        window.add(12.25, 3.0);
        near(window.sum(12.25, 60.0), 3.5);
        near(window.sum(12.25, 1.0), 0.25 + 0.75);
        near(window.sum(20.0, 10.0), 2.25);
        near(window.sum(61.0, 60.0), 3.0);
        near(window.sum(75.0, 60.0), 0.0);
        window.add(1000.0, 0.125);
        near(window.sum(1000.0, 60.0), 0.125);
    }

    #[test]
    fn a_batch_longer_than_all_that_is_looked_at_counts_for_what_is_seen() {
        let mut window = Window::default();
        window.add(200.0, 150.0);
        near(window.sum(200.0, 10.0), 10.0);
        near(window.sum(200.0, 60.0), 60.0);
    }

    #[test]
    fn several_lanes_add_up() {
        let mut window = Window::default();
        for _ in 0..4 {
            window.add(30.5, 20.0);
        }
        near(window.sum(30.5, 10.0), 40.0);
    }
}
