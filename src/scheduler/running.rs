//! A batch on its way: its rows, for as long as they run, and whether it is to go on. Deciding takes the time as an
//! argument.

use super::item::Item;
use super::queue::{Waiting, drop_reason};
use super::{StopFlag, Stopped};
use crate::sync::{Mutex, lock};
use std::time::{Duration, Instant};

/// The rows that run, shared by the thread that runs them and the one that looks after the device.
#[derive(Default)]
pub struct RunningBatch(Mutex<Attempt>);

/// One run of the rows: those of a batch that failed are run again, in parts.
#[derive(Default)]
struct Attempt {
    rows: Vec<Item>,
    began: Option<Instant>,
    stop: StopFlag,
    /// When it was told to end.
    told: Option<Instant>,
}

impl RunningBatch {
    /// The rows run from now on, and end where `stop` says so.
    pub(super) fn begin(&self, rows: Vec<Item>, stop: StopFlag, now: Instant) {
        *lock(&self.0) = Attempt { rows, began: Some(now), stop, told: None };
    }

    /// The rows run no more.
    pub(super) fn end(&self) -> Vec<Item> {
        std::mem::take(&mut *lock(&self.0)).rows
    }

    /// Tells the run to end where nobody waits for any of its rows, or where it has taken `max_run`. Gives how long ago
    /// it was told to end, if it was.
    pub fn look(&self, max_run: Duration, now: Instant) -> Option<Duration> {
        let mut attempt = lock(&self.0);
        if attempt.told.is_none() {
            let ran = now.saturating_duration_since(attempt.began?);
            attempt.stop.stop(stop_reason(&attempt.rows, ran, max_run, now)?);
            attempt.told = Some(now);
        }
        attempt.told.map(|told| now.saturating_duration_since(told))
    }
}

/// Why a batch that has run for so long is to end, if it is.
fn stop_reason(rows: &[impl Waiting], ran: Duration, max_run: Duration, now: Instant) -> Option<Stopped> {
    if rows.iter().all(|row| drop_reason(row, now).is_some()) {
        Some(Stopped::Abandoned)
    } else {
        (ran >= max_run).then_some(Stopped::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::queue::Terms;

    #[derive(Clone, Copy)]
    struct Row {
        terms: Terms,
        left: bool,
    }

    impl Waiting for Row {
        fn terms(&self) -> Terms {
            self.terms
        }

        fn queued(&self) -> Instant {
            self.terms.deadline
        }

        fn is_abandoned(&self) -> bool {
            self.left
        }

        fn joins(&self, _: &Self) -> bool {
            true
        }
    }

    #[test]
    fn a_batch_ends_once_all_its_rows_are_dead_or_it_has_run_for_too_long() {
        let began = Instant::now();
        let seconds = Duration::from_secs;
        let row = |deadline, left| Row { terms: Terms::until(began + seconds(deadline)), left };
        let (alive, late, gone) = (row(100, false), row(5, false), row(100, true));
        let table: [(&[Row], u64, Option<Stopped>); 10] = [
            (&[alive], 10, None),
            (&[late], 4, None),
            (&[late], 5, Some(Stopped::Abandoned)),
            (&[gone], 0, Some(Stopped::Abandoned)),
            (&[late, gone, late], 10, Some(Stopped::Abandoned)),
            (&[late, gone, alive], 10, None),
            (&[alive, alive], 59, None),
            (&[alive, alive], 60, Some(Stopped::TooLong)),
            (&[late, alive], 60, Some(Stopped::TooLong)),
            (&[late, late], 60, Some(Stopped::Abandoned)),
        ];
        for (at, (rows, ran, wanted)) in table.into_iter().enumerate() {
            let ran = seconds(ran);
            assert_eq!(stop_reason(rows, ran, seconds(60), began + ran), wanted, "line {at}");
        }
    }

    #[test]
    fn what_does_not_run_is_not_told_to_end() {
        let batch = RunningBatch::default();
        assert_eq!(batch.look(Duration::ZERO, Instant::now()), None);
    }
}
