//! The steps of one item: each starts as soon as what it reads is there, so that independent steps run at
//! the same time. One task carries them all.

use super::calls::{Calls, Rows, Spent};
use super::compute::{Computing, Outcomes, compute};
use super::error::Error;
use super::item::Item;
use super::pipeline::{Pinned, Wants};
use super::run::StepTiming;
use super::slots::{Cell, Slots};
use super::start::{self, Inputs};
use crate::memory::Reservation;
use crate::plan::{DecodeId, Does, Entry, IdVec, Made, Origin, Step, StepId};
use crate::scheduler::{Terms, Value};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// Where one item's steps stand.
struct Steps<'a, 's> {
    pinned: &'a Pinned,
    entry: &'a Entry,
    wants: &'a Wants,
    slots: &'s mut Slots<'a>,
    /// The pictures that operations read.
    origins: IdVec<DecodeId, Option<Origin>>,
    terms: Terms,
    /// Needed and not yet started, in an order in which each comes after those that it reads from.
    waiting: Vec<StepId>,
    running: Vec<Running<'a>>,
    /// The memory of what the steps gave.
    held: &'s mut Reservation,
    timings: IdVec<StepId, Option<StepTiming>>,
}

/// A step that has started.
struct Running<'a> {
    id: StepId,
    began: Instant,
    /// The number of elements that it runs for, and of those that it skips.
    elements: usize,
    skipped: usize,
    /// When it is given up.
    until: Option<Pin<Box<Sleep>>>,
    work: Work<'a>,
}

enum Work<'a> {
    Calls(Box<Calls<'a>>),
    Operation(Computing<'a>),
}

/// What a step gave.
enum Gave {
    Rows(Rows, Spent),
    Made(Outcomes),
}

/// Runs the steps that are needed and fills their slots. The first error ends them all: what is queued is given up.
pub(super) async fn run_steps<'a>(
    item: &Item<'a>,
    wants: &'a Wants,
    slots: &mut Slots<'a>,
    origins: IdVec<DecodeId, Option<Origin>>,
    held: &mut Reservation,
) -> Result<IdVec<StepId, Option<StepTiming>>, Error> {
    let Item { pinned, entry, terms, ref needed, .. } = *item;
    let mut steps = Steps {
        pinned,
        entry,
        wants,
        slots,
        origins,
        terms,
        waiting: entry.steps.ids().filter(|step| needed[*step]).collect(),
        running: vec![],
        held,
        timings: entry.steps.with(None),
    };
    let all = poll_fn(|context| steps.poll(context));
    match tokio::time::timeout_at(terms.deadline.into(), all).await {
        Ok(done) => done.map(|()| steps.timings),
        Err(_) => {
            let first = steps.running.iter().map(|running| running.id).min();
            Err(steps.past_deadline(first))
        }
    }
}

impl<'a> Steps<'a, '_> {
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
                match self.running[at].poll(context) {
                    Poll::Pending => at += 1,
                    Poll::Ready(gave) => {
                        let running = self.running.swap_remove(at);
                        let ended = gave.and_then(|gave| self.ended(&running, gave));
                        if let Err(error) = ended {
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

    /// Starts every step whose inputs are there.
    fn start_ready(&mut self) -> Result<(), Error> {
        let mut at = 0;
        while at < self.waiting.len() {
            let id = self.waiting[at];
            let step = &self.entry.steps[id];
            if !start::is_ready(self.slots, step) {
                at += 1;
                continue;
            }
            self.waiting.remove(at);
            let running = self.start(id, step)?;
            self.running.push(running);
        }
        Ok(())
    }

    fn start(&mut self, id: StepId, step: &'a Step) -> Result<Running<'a>, Error> {
        let inputs = start::inputs(self.pinned, self.slots, id, step)?;
        let elements = inputs.len();
        let skipped = inputs.iter().filter(|inputs| inputs.is_none()).count();
        let work = match &step.does {
            Does::Call(calls) => {
                let values = inputs.into_iter().map(|inputs| inputs.map(values)).collect();
                let generation = &self.pinned.generations[calls.model];
                let wants = &self.wants[id];
                Work::Calls(Box::new(Calls::new(step, generation, wants, self.terms, calls.batch, values)))
            }
            Does::Operation { operation, on } => {
                let origin = on.and_then(|decode| self.origins.get(decode)?.clone());
                let deadline = self.terms.deadline;
                Work::Operation(compute(self.pinned, step, operation, inputs, origin, deadline)?)
            }
        };
        let until = step.within.map(|within| Box::pin(tokio::time::sleep(within)));
        Ok(Running { id, began: Instant::now(), elements, skipped, until, work })
    }

    fn ended(&mut self, running: &Running<'_>, gave: Gave) -> Result<(), Error> {
        let step = &self.entry.steps[running.id];
        let ran = running.elements - running.skipped;
        let mut timing =
            StepTiming { skipped: running.skipped, took: running.began.elapsed(), ..StepTiming::default() };
        match gave {
            Gave::Rows(rows, spent) => {
                timing.ran = spent.ran;
                timing.late = ran - spent.ran;
                timing.timing = spent.longest;
                (timing.device, timing.batches) = (spent.device, spent.batches);
                if running.elements == 1 && spent.ran == 1 {
                    timing.took = spent.longest.queued + spent.longest.device;
                }
                self.fill_rows(step, rows)?;
            }
            Gave::Made(outcomes) => {
                timing.ran = outcomes.iter().flatten().count();
                timing.late = ran - timing.ran;
                let nothing = |made: &&Made| matches!(made, Made::Nothing);
                let nothing = outcomes.iter().flatten().filter(nothing).count();
                (timing.ran, timing.skipped) = (timing.ran - nothing, timing.skipped + nothing);
                self.fill_made(step, outcomes)?;
            }
        }
        self.timings[running.id] = Some(timing);
        self.terms.begun = true;
        Ok(())
    }

    /// The outputs of a model.
    fn fill_rows(&mut self, step: &Step, mut rows: Rows) -> Result<(), Error> {
        for (output, plan) in step.outputs.iter().enumerate() {
            let Some(slot) = plan.slot else { continue };
            let take = |row: &mut Option<Vec<Option<Value>>>| {
                let value = row.as_mut().and_then(|outputs| outputs.get_mut(output)?.take());
                value.map_or(Cell::Absent, Cell::Here)
            };
            let cells: Vec<Cell> = rows.iter_mut().map(take).collect();
            self.hold(step, &cells)?;
            self.slots.fill(slot, cells);
        }
        Ok(())
    }

    /// What an operation made.
    fn fill_made(&mut self, step: &Step, outcomes: Outcomes) -> Result<(), Error> {
        let mut cells: Vec<Vec<Cell>> = step.outputs.iter().map(|_| vec![]).collect();
        let mut lengths = vec![];
        for made in outcomes {
            match made {
                Some(Made::Values(values)) => {
                    let mut values = values.into_iter();
                    for cells in &mut cells {
                        cells
                            .push(values.next().map_or(Cell::Absent, |value| Cell::Here(Value::Host(value))));
                    }
                }
                Some(Made::List { length, outputs }) => {
                    lengths.push(Some(length));
                    let mut outputs = outputs.into_iter();
                    for cells in &mut cells {
                        let mut values = outputs.next().unwrap_or_default().into_iter();
                        let value = || values.next().map_or(Cell::Absent, |v| Cell::Here(Value::Host(v)));
                        cells.extend(std::iter::repeat_with(value).take(length));
                    }
                }
                Some(Made::Nothing) | None if step.makes.is_some() => lengths.push(None),
                Some(Made::Nothing) | None => cells.iter_mut().for_each(|cells| cells.push(Cell::Absent)),
            }
        }
        if let Some(list) = step.makes {
            self.slots.fill_list(list, &lengths);
        }
        for (plan, cells) in step.outputs.iter().zip(cells) {
            if let Some(slot) = plan.slot {
                self.hold(step, &cells)?;
                self.slots.fill(slot, cells);
            }
        }
        Ok(())
    }

    /// Reserves the memory of values that wait in their slot until the item ends.
    fn hold(&mut self, step: &Step, cells: &[Cell]) -> Result<(), Error> {
        let bytes =
            cells.iter().map(|cell| if let Cell::Here(value) = cell { value.host_bytes() } else { 0 });
        let bytes = bytes.fold(0, u64::saturating_add);
        let grown = self.pinned.pipeline.threads.grow(self.held, bytes);
        grown.map_err(|full| Error::NoMemory { at: format!("step `{}`", step.name), full })
    }

    fn all_ran(&self) -> Result<(), Error> {
        match self.waiting.first() {
            None => Ok(()),
            Some(step) => Err(Error::Step {
                step: self.entry.steps[*step].name.clone().into(),
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

    /// "surface@2"; of an operation its name.
    fn model(&self, step: StepId) -> String {
        match &self.entry.steps[step].does {
            Does::Call(calls) => self.pinned.generations[calls.model].tag.clone(),
            Does::Operation { operation, .. } => operation.name().to_owned(),
        }
    }
}

impl Running<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Gave, Error>> {
        let gave = match &mut self.work {
            Work::Calls(calls) => match calls.poll(context) {
                Poll::Ready(Ok(())) => Some(Ok(calls.gave())),
                Poll::Ready(Err(error)) => Some(Err(error)),
                Poll::Pending => None,
            },
            Work::Operation(computing) => match computing.as_mut().poll(context) {
                Poll::Ready(made) => Some(made.map(Gave::Made)),
                Poll::Pending => None,
            },
        };
        if let Some(gave) = gave {
            return Poll::Ready(gave);
        }
        let Some(until) = &mut self.until else { return Poll::Pending };
        if until.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        // What is late counts as not run.
        Poll::Ready(Ok(match &mut self.work {
            Work::Calls(calls) => calls.gave(),
            Work::Operation(_) => Gave::Made((0..self.elements).map(|_| None).collect()),
        }))
    }
}

impl Calls<'_> {
    fn gave(&mut self) -> Gave {
        Gave::Rows(std::mem::take(&mut self.rows), self.spent)
    }
}

/// The values of a model's inputs, which are there.
fn values(inputs: Inputs) -> Vec<Value> {
    let value = |(cell, _)| if let Cell::Here(value) = cell { Some(value) } else { None };
    inputs.into_iter().filter_map(value).collect()
}
