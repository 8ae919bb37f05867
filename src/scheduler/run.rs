//! Runs one batch on the calling thread and answers every item of it, whatever happens.

use super::item::Item;
use super::queue::drop_reason;
use super::runner::StagedBatch;
use super::{Batch, Counters, Done, ItemError, RunError, Runner, Timing, Value, Want};
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

/// Sends the rows of a batch to the device. `None` where that fails: what is wrong is found, and said, when the
/// batch is run.
pub(super) fn stage(
    model: &str,
    runner: &Arc<dyn Runner>,
    policy: &BatchPolicy,
    items: &[Item],
) -> Option<Box<dyn StagedBatch>> {
    let mut rows: Vec<Vec<Value>> = items.iter().map(|item| item.inputs.clone()).collect();
    pad(&mut rows, policy);
    let batch = Batch::new(rows, greatest_wants(items));
    let why = match catch_unwind(AssertUnwindSafe(|| runner.clone().stage(batch))) {
        Ok(Ok(staged)) => return Some(staged),
        Ok(Err(error)) => error.to_string(),
        Err(payload) => panic_message(&*payload),
    };
    tracing::debug!(model, why, "a batch was not staged");
    None
}

/// Runs the rows of a batch and answers each. Returns the time that the device was taken.
///
/// Those whose time is over by now are answered so and not run. A batch that fails is tried again row by row, so
/// that what is wrong with one item is not the others' loss. After a panic it is not: whatever broke then is not
/// known to be whole.
pub(super) fn run(
    model: &str,
    runner: &dyn Runner,
    policy: &BatchPolicy,
    items: Vec<Item>,
    staged: Option<Box<dyn StagedBatch>>,
    counters: &Counters,
) -> Duration {
    let rows = items.len();
    let now = Instant::now();
    let items = match &staged {
        Some(_) => items.into_iter().filter_map(|item| alive(item, now, counters)).collect(),
        None => items,
    };
    items.iter().for_each(|item| counters.waited(now.saturating_duration_since(item.queued)));
    let staged = staged.filter(|_| items.len() == rows);
    let took = match items.is_empty() {
        true => Duration::ZERO,
        false => run_rows(model, runner, policy, items, staged, counters),
    };
    counters.ends(rows);
    took
}

/// The item, unless it need not be run any more; then it is answered so.
fn alive(item: Item, now: Instant, counters: &Counters) -> Option<Item> {
    let Some(why) = drop_reason(&item, now) else { return Some(item) };
    counters.dropped(why);
    item.answer(Err(why.into()));
    None
}

fn run_rows(
    model: &str,
    runner: &dyn Runner,
    policy: &BatchPolicy,
    mut items: Vec<Item>,
    staged: Option<Box<dyn StagedBatch>>,
    counters: &Counters,
) -> Duration {
    // What is logged on the way is the request's, where the batch is of one request alone.
    let span = match items.as_slice() {
        [one] => one.span.clone(),
        _ => tracing::Span::none(),
    };
    let _entered = span.enter();
    let started = Instant::now();
    let queued = |item: &Item| started.saturating_duration_since(item.queued);
    let padding = policy.padded(items.len()) - items.len();
    let (result, took) = match staged {
        Some(staged) => timed(|| attempt(|| staged.run(), items.len(), padding)),
        None => {
            let wants = greatest_wants(&items);
            let mut rows: Vec<Vec<Value>> = match items.len() {
                1 => items.iter_mut().map(|item| std::mem::take(&mut item.inputs)).collect(),
                _ => items.iter().map(|item| item.inputs.clone()).collect(),
            };
            pad(&mut rows, policy);
            timed(|| attempt(|| runner.run(Batch::new(rows, wants)), items.len(), padding))
        }
    };
    counters.batch(items.len(), padding, took);
    match result {
        Ok(rows) => {
            let batch = items.len();
            for (item, outputs) in items.into_iter().zip(rows) {
                let timing = Timing { queued: queued(&item), device: took, batch };
                item.answer(Ok(Done { outputs, timing }));
            }
            took
        }
        Err(Failure::Run(error)) if items.len() > 1 => {
            let rows = items.len();
            // It is said once: whatever the next batches do, nobody's rows go to another.
            if matches!(error, RunError::Rows { .. }) && counters.undivided() == 0 {
                tracing::warn!(model, rows, %error, "items that share a batch are run again one by one");
            }
            tracing::debug!(model, rows, %error, "a batch failed and is run again row by row");
            let mut total = took;
            for item in items {
                if let Some(item) = alive(item, Instant::now(), counters) {
                    total += run_rows(model, runner, policy, vec![item], None, counters);
                }
            }
            total
        }
        Err(failure) => {
            let error = match failure {
                Failure::Run(error) => {
                    if !matches!(error, RunError::Input(_)) {
                        tracing::error!(model, %error, "the model failed");
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
                counters.failed();
                item.answer(Err(ItemError::Run(error.clone())));
            }
            took
        }
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

/// What a panic said.
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
