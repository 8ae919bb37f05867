//! An operation of one item, on the threads that decode and encode.

use super::codecs::Work;
use super::error::Error;
use super::pipeline::Pinned;
use super::start::{Inputs, at};
use crate::plan::{Input, Made, Operation, OperationError, Origin, Step};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What an operation made for each element; `None` for those that were skipped.
pub(super) type Outcomes = Vec<Option<Made>>;

pub(super) type Computing<'a> = Pin<Box<dyn Future<Output = Result<Outcomes, Error>> + Send + 'a>>;

/// Tells the work to end once nobody waits for it.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs an operation for all elements of a step.
pub(super) fn compute<'a>(
    pinned: &'a Pinned,
    step: &'a Step,
    operation: &Arc<dyn Operation>,
    elements: Vec<Option<Inputs>>,
    origin: Option<Origin>,
    deadline: Instant,
) -> Result<Computing<'a>, Error> {
    let all = elements.len();
    let failed = |element: usize, error| Error::Operation { step: at(step, element, all), error };
    let mut inputs = Vec::with_capacity(all);
    for (element, given) in elements.into_iter().enumerate() {
        let Some(given) = given else {
            inputs.push(None);
            continue;
        };
        // What an operation reads was brought to the host when it was computed.
        let given = given.into_iter().map(|(cell, labels)| Ok(Input { given: cell.bring_down()?, labels }));
        let given: Result<Vec<Input>, crate::scheduler::RunError> = given.collect();
        let given = given.map_err(|error| failed(element, OperationError::Unforeseen(error.to_string())))?;
        inputs.push(Some(given));
    }
    let costs = || inputs.iter().flatten().map(|inputs| operation.cost(inputs, origin.as_ref()));
    // One element after the other.
    let working = costs().map(|cost| cost.working).max().unwrap_or(0);
    let work = Work {
        pipeline: &pinned.pipeline.name,
        is_decode: false,
        weight: costs().map(|cost| cost.weight).fold(0, usize::saturating_add),
        holds: 0,
        takes: costs().map(|cost| cost.kept).fold(working, u64::saturating_add),
        deadline,
    };
    let operation = operation.clone();
    let given_up = Arc::new(AtomicBool::new(false));
    let waits = Waits(given_up.clone());
    let does = move || {
        let mut made = Vec::with_capacity(inputs.len());
        for (element, inputs) in inputs.iter().enumerate() {
            if given_up.load(Ordering::Relaxed) {
                break;
            }
            made.push(match inputs {
                None => None,
                Some(inputs) => {
                    Some(operation.run(inputs, origin.as_ref()).map_err(|error| (element, error))?)
                }
            });
        }
        Ok(made)
    };
    Ok(Box::pin(async move {
        let _waits = waits;
        let at_step = || format!("step `{}`", step.name);
        let (made, _) = pinned.pipeline.threads.run(work, at_step, does).await?;
        made.map_err(|(element, error)| Error::Operation { step: at(step, element, all), error })
    }))
}
