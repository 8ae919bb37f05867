//! The steps of one item: each starts as soon as what it reads is there, so that independent steps run at
//! the same time. One task carries them all.

use super::error::Error;
use super::item::Item;
use super::pipeline::{Pinned, Wants};
use crate::lifecycle::Copied;
use crate::memory::Reservation;
use crate::plan::{Entry, IdVec, SlotId, StepId};
use crate::scheduler::{Done, ItemError, Rejected, RunError, Stopped, Terms, Ticket, Timing, Value, Want};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why a model did not take an item.
pub(super) fn refused(rejected: Rejected, model: &str) -> Error {
    match rejected {
        Rejected::Full { retry_after } => Error::Full { model: model.to_owned(), retry_after },
        Rejected::Closed => Error::Closed { model: model.to_owned() },
    }
}

/// Where one item's steps stand.
struct Steps<'a> {
    pinned: &'a Pinned,
    entry: &'a Entry,
    wants: &'a Wants,
    slots: &'a mut IdVec<SlotId, Option<Value>>,
    terms: Terms,
    /// Needed and not yet started, in an order in which each comes after those that it reads from.
    waiting: Vec<StepId>,
    running: Vec<(StepId, Ticket)>,
    /// What each step was given, where a shadow is to be given the same.
    copied: IdVec<StepId, Option<Vec<Value>>>,
    /// The memory of what the steps gave.
    held: &'a mut Reservation,
    timings: IdVec<StepId, Option<Timing>>,
}

/// Runs the steps that are needed and fills their slots. The first error ends them all: what is queued is given up.
pub(super) async fn run_steps(
    item: &Item<'_>,
    wants: &Wants,
    slots: &mut IdVec<SlotId, Option<Value>>,
    held: &mut Reservation,
) -> Result<IdVec<StepId, Option<Timing>>, Error> {
    let Item { pinned, entry, terms, ref needed, .. } = *item;
    let mut steps = Steps {
        pinned,
        entry,
        wants,
        slots,
        terms,
        waiting: entry.steps.ids().filter(|step| needed[*step]).collect(),
        running: vec![],
        copied: entry.steps.with(None),
        held,
        timings: entry.steps.with(None),
    };
    let all = poll_fn(|context| steps.poll(context));
    match tokio::time::timeout_at(terms.deadline.into(), all).await {
        Ok(done) => done.map(|()| steps.timings),
        Err(_) => {
            let first = steps.running.iter().map(|(step, _)| *step).min();
            Err(steps.past_deadline(first))
        }
    }
}

impl Steps<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if let Err(error) = self.start_ready() {
                return Poll::Ready(Err(error));
            }
            if self.running.is_empty() {
                return Poll::Ready(self.all_ran());
            }
            let mut progress = false;
            let mut at = 0;
            while at < self.running.len() {
                let (step, ticket) = &mut self.running[at];
                let step = *step;
                match Pin::new(ticket).poll(context) {
                    Poll::Pending => at += 1,
                    Poll::Ready(outcome) => {
                        self.running.swap_remove(at);
                        if let Err(error) = self.ended(step, outcome) {
                            return Poll::Ready(Err(error));
                        }
                        progress = true;
                    }
                }
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Submits every step whose inputs are there.
    fn start_ready(&mut self) -> Result<(), Error> {
        let mut at = 0;
        while at < self.waiting.len() {
            let step = self.waiting[at];
            let inputs = &self.entry.steps[step].inputs;
            let values: Option<Vec<Value>> =
                inputs.iter().map(|input| self.slots.get(input.slot).cloned().flatten()).collect();
            let Some(values) = values else {
                at += 1;
                continue;
            };
            self.waiting.remove(at);
            let generation = &self.pinned.generations[self.entry.steps[step].model];
            if generation.shadow.is_some() {
                self.copied[step] = Some(values.clone());
            }
            let wants = self.wants[step].clone();
            let (values, wants) = match &generation.answering.align {
                Some(align) => (align.inputs(&values), align.wants(&wants, &Want::Drop).into()),
                None => (values, wants),
            };
            let ticket = generation.replicas.submit(values, wants, self.terms);
            self.running.push((step, ticket.map_err(|rejected| refused(rejected, &generation.tag))?));
        }
        Ok(())
    }

    fn ended(&mut self, step: StepId, outcome: Result<Done, ItemError>) -> Result<(), Error> {
        let name = || self.entry.steps[step].name.clone();
        let done = match outcome {
            Ok(done) => done,
            Err(ItemError::Deadline | ItemError::Run(RunError::Stopped(Stopped::Abandoned))) => {
                return Err(self.past_deadline(Some(step)));
            }
            Err(ItemError::Run(RunError::Stopped(Stopped::TooLong))) => {
                return Err(Error::TooLong { step: name(), model: self.model(step) });
            }
            Err(ItemError::Run(RunError::Memory { reason, for_good })) => {
                return Err(Error::StepMemory { step: name(), model: self.model(step), reason, for_good });
            }
            Err(ItemError::Closed) => return Err(Error::Closed { model: self.model(step) }),
            Err(ItemError::Run(RunError::Input(reason))) => {
                return Err(Error::Input { step: name(), model: self.model(step), reason });
            }
            Err(ItemError::Run(error @ (RunError::Failed(_) | RunError::Rows { .. }))) => {
                let reason = error.to_string();
                return Err(Error::Step { step: name(), model: self.model(step), reason });
            }
        };
        let generation = &self.pinned.generations[self.entry.steps[step].model];
        let outputs = match &generation.answering.align {
            Some(align) => align.outputs(done.outputs),
            None => done.outputs,
        };
        if let (Some(shadow), Some(inputs)) = (&generation.shadow, self.copied[step].take()) {
            shadow.offer(Copied { inputs, outputs: outputs.clone() });
        }
        let mut outputs = outputs.into_iter();
        for output in &self.entry.steps[step].outputs {
            let value = outputs.next().flatten();
            if let Some(slot) = output.slot.and_then(|slot| self.slots.get_mut(slot)) {
                if value.is_none() {
                    let reason = "the model did not give an output that is read".to_owned();
                    return Err(Error::Step { step: name(), model: self.model(step), reason });
                }
                // It waits in its slot until the item ends.
                let bytes = value.as_ref().map_or(0, Value::host_bytes);
                let grown = self.pinned.pipeline.threads.grow(self.held, bytes);
                grown.map_err(|full| Error::NoMemory { at: format!("step `{}`", name()), full })?;
                *slot = value;
            }
        }
        self.timings[step] = Some(done.timing);
        self.terms.begun = true;
        Ok(())
    }

    fn all_ran(&self) -> Result<(), Error> {
        match self.waiting.first() {
            None => Ok(()),
            Some(step) => Err(Error::Step {
                step: self.entry.steps[*step].name.clone(),
                model: self.model(*step),
                reason: "nothing computes what it reads".to_owned(),
            }),
        }
    }

    fn past_deadline(&self, step: Option<StepId>) -> Error {
        let at = step
            .map_or_else(|| "the steps".to_owned(), |step| format!("step `{}`", self.entry.steps[step].name));
        Error::Deadline { at }
    }

    /// "surface@2"
    fn model(&self, step: StepId) -> String {
        self.pinned.generations[self.entry.steps[step].model].tag.clone()
    }
}
