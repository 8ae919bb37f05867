//! Runs one batch on the calling thread and answers every item of it, whatever happens.

use super::item::Item;
use super::queue::drop_reason;
use super::runner::StagedBatch;
use super::running::RunningBatch;
use super::{
    Batch, Counters, Done, ItemError, RunError, Runner, Sender, StopFlag, Stopped, Timing, Value, Want,
};
use crate::plan::BatchPolicy;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Rows = Vec<Vec<Option<Value>>>;

/// How a batch failed.
enum Failure {
    Run(RunError),
    Panic(String),
}

/// The end of a batch.
pub struct Ended {
    /// The time that the device was taken.
    pub took: Duration,
    /// The senders of the rows that could not be run.
    pub bad: Vec<Sender>,
}

/// A batch as it is run: whose it is, and who looks at it meanwhile.
pub(super) struct Run<'a> {
    pub model: &'a str,
    pub runner: &'a dyn Runner,
    pub policy: &'a BatchPolicy,
    pub counters: &'a Counters,
    pub running: &'a RunningBatch,
}

/// Sends the rows of a batch to the device. `None` where that fails: what is wrong is found, and said, when the
/// batch is run.
pub(super) fn stage(
    model: &str,
    runner: &Arc<dyn Runner>,
    policy: &BatchPolicy,
    items: &[Item],
    stop: &StopFlag,
) -> Option<Box<dyn StagedBatch>> {
    let mut rows: Vec<Vec<Value>> = items.iter().map(|item| item.inputs.clone()).collect();
    pad(&mut rows, policy);
    let batch = Batch { rows, wants: greatest_wants(items), stop: stop.clone() };
    let why = match catch_unwind(AssertUnwindSafe(|| runner.clone().stage(batch))) {
        Ok(Ok(staged)) => return Some(staged),
        Ok(Err(error)) => error.to_string(),
        Err(payload) => panic_message(&*payload),
    };
    tracing::debug!(model, why, "a batch was not staged");
    None
}

impl Run<'_> {
    /// Runs the rows of a batch and answers each. `stop` is the flag that a staged batch has.
    ///
    /// Those whose time is over by now are answered so and not run. A batch that fails is run again in halves, so that
    /// what is wrong with one item is not the others' loss. After a panic it is not: whatever broke then is not known
    /// to be whole. Nor is it once it was told to end.
    pub(super) fn run(
        &self,
        items: Vec<Item>,
        staged: Option<Box<dyn StagedBatch>>,
        stop: StopFlag,
    ) -> Ended {
        let rows = items.len();
        let now = Instant::now();
        let items = match &staged {
            Some(_) => self.alive(items, now),
            None => items,
        };
        items.iter().for_each(|item| self.counters.waited(now.saturating_duration_since(item.queued)));
        let staged = staged.filter(|_| items.len() == rows);
        let mut bad = vec![];
        let took = self.run_rows(items, staged, stop, &mut bad);
        self.counters.ends(rows);
        Ended { took, bad }
    }

    /// The items that need be run still; the others are answered.
    fn alive(&self, items: Vec<Item>, now: Instant) -> Vec<Item> {
        items.into_iter().filter_map(|item| self.drop_dead(item, now)).collect()
    }

    /// The item, unless it need not be run any more; then it is answered so.
    fn drop_dead(&self, item: Item, now: Instant) -> Option<Item> {
        let Some(why) = drop_reason(&item, now) else { return Some(item) };
        self.counters.dropped(why);
        item.answer(Err(why.into()));
        None
    }

    fn run_rows(
        &self,
        mut items: Vec<Item>,
        staged: Option<Box<dyn StagedBatch>>,
        stop: StopFlag,
        bad: &mut Vec<Sender>,
    ) -> Duration {
        if items.is_empty() {
            return Duration::ZERO;
        }
        // What is logged on the way is the request's, where the batch is of one request alone.
        let span = match items.as_slice() {
            [one] => one.span.clone(),
            _ => tracing::Span::none(),
        };
        let _entered = span.enter();
        let started = Instant::now();
        let rows = items.len();
        let padding = self.policy.padded(rows) - rows;
        let batch = staged.is_none().then(|| self.joined(&mut items, stop.clone()));
        self.running.begin(items, stop.clone(), started);
        let (result, took) = match (staged, batch) {
            (Some(staged), _) => timed(|| attempt(|| staged.run(), rows, padding)),
            (None, batch) => {
                let run = || batch.map_or_else(|| Ok(vec![]), |batch| self.runner.run(batch));
                timed(|| attempt(run, rows, padding))
            }
        };
        let items = self.running.end();
        self.counters.batch(rows, padding, took);
        match (result, stop.reason()) {
            (Ok(rows), _) => {
                answer(items, rows, started, took);
                took
            }
            (Err(Failure::Run(_)), Some(why)) => {
                self.stopped(items, why, took);
                took
            }
            (Err(Failure::Run(error)), None) if rows > 1 => took + self.again(items, &error, bad),
            (Err(failure), _) => {
                // After a panic of several it is not known whose it was: who is among them each time will be found.
                bad.extend(items.iter().filter_map(|item| item.terms.sender));
                self.failed(items, failure);
                took
            }
        }
    }

    /// The rows of items as one batch, padded. The inputs of an item that runs alone, which is not run again, are moved.
    fn joined(&self, items: &mut [Item], stop: StopFlag) -> Batch {
        let wants = greatest_wants(items);
        let mut rows: Vec<Vec<Value>> = match items {
            [one] => vec![std::mem::take(&mut one.inputs)],
            _ => items.iter().map(|item| item.inputs.clone()).collect(),
        };
        pad(&mut rows, self.policy);
        Batch { rows, wants, stop }
    }

    /// Runs the rows of a batch that failed in parts.
    fn again(&self, mut items: Vec<Item>, error: &RunError, bad: &mut Vec<Sender>) -> Duration {
        let (model, rows) = (self.model, items.len());
        let undivided = matches!(error, RunError::Rows { .. });
        // It is said once: whatever the next batches do, nobody's rows go to another.
        if undivided && self.counters.undivided() == 0 {
            tracing::warn!(model, rows, %error, "items that share a batch are run again one by one");
        }
        tracing::debug!(model, rows, %error, "a batch failed and is run again in parts");
        // Where it is the rows together that cannot be run, any two of them cannot.
        let part = if undivided { 1 } else { rows.div_ceil(2) };
        let mut total = Duration::ZERO;
        while !items.is_empty() {
            let rest = items.split_off(part.min(items.len()));
            let alive = self.alive(std::mem::replace(&mut items, rest), Instant::now());
            total += self.run_rows(alive, None, StopFlag::default(), bad);
        }
        total
    }

    /// Answers the rows of a batch that was told to end.
    fn stopped(&self, items: Vec<Item>, why: Stopped, took: Duration) {
        self.counters.stopped(why);
        if why == Stopped::TooLong {
            let (model, rows, seconds) = (self.model, items.len(), took.as_secs_f64());
            tracing::warn!(
                model,
                rows,
                seconds,
                "a batch was ended: it ran for longer than `max_run` allows"
            );
        }
        for item in self.alive(items, Instant::now()) {
            self.counters.failed();
            item.answer(Err(ItemError::Run(RunError::Stopped(why))));
        }
    }

    /// Answers rows that cannot be run.
    fn failed(&self, items: Vec<Item>, failure: Failure) {
        let model = self.model;
        let error = match failure {
            Failure::Run(error) => {
                match &error {
                    RunError::Input(_) | RunError::TooLarge(_) | RunError::Memory { for_good: true, .. } => {
                        tracing::debug!(model, %error, "an item cannot be run");
                    }
                    RunError::Memory { .. } => {
                        tracing::warn!(model, %error, "there is no memory for a batch")
                    }
                    _ => tracing::error!(model, %error, "the model failed"),
                }
                error
            }
            Failure::Panic(message) => {
                for item in &items {
                    let _entered = item.span.enter();
                    tracing::error!(model, message, rows = items.len(), "the model panicked");
                }
                RunError::Failed(format!("it panicked: {message}"))
            }
        };
        for item in items {
            self.counters.failed();
            item.answer(Err(ItemError::Run(error.clone())));
        }
    }
}

/// Answers items with the rows that a batch gave, one each.
fn answer(items: Vec<Item>, rows: Vec<Vec<Option<Value>>>, started: Instant, took: Duration) {
    let batch = items.len();
    for (item, outputs) in items.into_iter().zip(rows) {
        let queued = started.saturating_duration_since(item.queued);
        let timing = Timing { queued, device: took, batch };
        item.answer(Ok(Done { outputs, timing }));
    }
}

/// Repeats the last row until the batch has one of the sizes that the model is to be run with.
fn pad(rows: &mut Vec<Vec<Value>>, policy: &BatchPolicy) {
    let padding = policy.padded(rows.len()) - rows.len();
    if let Some(last) = rows.last().filter(|_| padding > 0).cloned() {
        rows.extend(std::iter::repeat_n(last, padding));
    }
}

/// The answer of `run` for `rows` rows, to which so many were added.
fn attempt(
    run: impl FnOnce() -> Result<Rows, RunError>,
    rows: usize,
    padding: usize,
) -> Result<Rows, Failure> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(mut answer)) if answer.len() == rows + padding => {
            answer.truncate(rows);
            Ok(answer)
        }
        Ok(Ok(answer)) => {
            let given = rows + padding;
            Err(Failure::Run(RunError::Failed(format!("it gave {} rows for {given}", answer.len()))))
        }
        Ok(Err(error)) => Err(Failure::Run(error)),
        Err(payload) => Err(Failure::Panic(panic_message(&*payload))),
    }
}

/// The text of a panic.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

fn greatest_wants(items: &[Item]) -> Vec<Want> {
    let mut wants: Vec<Want> = vec![];
    for item in items {
        wants.resize(wants.len().max(item.wants.len()), Want::Drop);
        for (greatest, want) in wants.iter_mut().zip(item.wants.iter()) {
            *greatest = (*greatest).max(*want);
        }
    }
    wants
}

/// Calls `f` and says how long it took, less the time of whatever else was timed within it: a thread of
/// rayon's pool that waits for its share of one batch may take up another batch meanwhile.
fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    thread_local! {
        static WITHIN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }
    let outer = WITHIN.replace(Duration::ZERO);
    let started = Instant::now();
    let value = f();
    let whole = started.elapsed();
    let within = WITHIN.replace(outer + whole);
    (value, whole.saturating_sub(within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_within_is_counted_once() {
        let pause = Duration::from_millis(20);
        let wait = || {
            let started = Instant::now();
            while started.elapsed() < pause {
                std::thread::park_timeout(pause);
            }
        };
        let ((_, inner), outer) = timed(|| timed(wait));
        assert!(inner >= pause);
        assert!(outer < inner, "the outer {outer:?} holds none of the inner {inner:?}");
    }
}
