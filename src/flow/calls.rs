//! A step that calls a model, for one item or for the elements of a list.

use super::error::Error;
use super::start::at;
use crate::lifecycle::{Copied, Picked};
use crate::plan::Step;
use crate::scheduler::{
    Done, ItemError, Rejected, RoomMade, RunError, Stopped, Terms, Ticket, Timing, Value, Want,
};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// As many elements of one list may be in a model's queue or run as two of its batches hold, and at least so many. More
/// would not be answered earlier, and would take the room of others.
const LEAST_AT_ONCE: usize = 16;

/// The outputs of a model for each element, in the order of the step; `None` where there are none.
pub(super) type Rows = Vec<Option<Vec<Option<Value>>>>;

pub(super) struct Calls<'a> {
    step: &'a Step,
    generation: &'a Picked,
    wants: Arc<[Want]>,
    pub(super) terms: Terms,
    /// Whether it waits for room in the queue. Other calls are turned away where there is none.
    waits: bool,
    at_once: usize,
    /// The elements that are yet to be submitted.
    next: VecDeque<(usize, Vec<Value>)>,
    running: Vec<Call>,
    room: Option<RoomMade<'a>>,
    pub(super) rows: Rows,
    pub(super) spent: Spent,
}

struct Call {
    element: usize,
    ticket: Ticket,
    /// What it was given, where a shadow is to be given the same.
    copied: Option<Vec<Value>>,
}

/// Where the time of all elements went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// That of the element which took longest.
    pub longest: Timing,
    /// The parts that the elements had of the batches in which they ran: time, and the number of batches.
    pub device: std::time::Duration,
    pub batches: f64,
    pub ran: usize,
}

/// Why a model did not take an item.
pub(super) fn refused(rejected: Rejected, model: &str) -> Error {
    match rejected {
        Rejected::Full { retry_after } => Error::Full { model: model.to_owned(), retry_after },
        Rejected::Closed => Error::Closed { model: model.to_owned() },
    }
}

impl<'a> Calls<'a> {
    /// `elements` are the inputs of those for which the model is called.
    pub(super) fn new(
        step: &'a Step,
        generation: &'a Picked,
        wants: &Arc<[Want]>,
        terms: Terms,
        most: usize,
        elements: Vec<Option<Vec<Value>>>,
    ) -> Self {
        let rows = elements.iter().map(|_| None).collect();
        let next = elements.into_iter().enumerate();
        Self {
            step,
            generation,
            wants: match &generation.answering.align {
                Some(align) => align.wants(wants, &Want::Drop).into(),
                None => wants.clone(),
            },
            terms,
            waits: step.each.is_some() || step.within.is_some(),
            at_once: most.saturating_mul(2).max(LEAST_AT_ONCE),
            next: next.filter_map(|(element, inputs)| Some((element, inputs?))).collect(),
            running: vec![],
            room: None,
            rows,
            spent: Spent::default(),
        }
    }

    /// The number of elements that have no answer yet.
    pub(super) fn left(&self) -> usize {
        self.next.len() + self.running.len()
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if let Err(error) = self.submit(context) {
                return Poll::Ready(Err(error));
            }
            if self.left() == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut progress = false;
            let mut at = 0;
            while at < self.running.len() {
                match Pin::new(&mut self.running[at].ticket).poll(context) {
                    Poll::Pending => at += 1,
                    Poll::Ready(outcome) => {
                        let call = self.running.swap_remove(at);
                        if let Err(error) = self.ended(call, outcome) {
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

    /// Submits elements as long as there is room for them.
    fn submit(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        while self.running.len() < self.at_once && !self.next.is_empty() {
            if let Some(room) = &mut self.room {
                match Pin::new(room).poll(context) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(()) => self.room = None,
                }
            }
            if self.waits && !self.has_room()? {
                continue;
            }
            let Some((element, values)) = self.next.pop_front() else { return Ok(()) };
            let kept = self.waits.then(|| values.clone());
            let copied = self.generation.shadow.is_some().then(|| values.clone());
            let inputs = match &self.generation.answering.align {
                Some(align) => align.inputs(&values),
                None => values,
            };
            let submit = || self.generation.replicas.submit(inputs, self.wants.clone(), self.terms);
            let submitted = match self.step.each {
                None => submit(),
                // What is logged while it runs names the element.
                Some(_) => {
                    let (step, number, of) = (self.step.name.as_str(), element + 1, self.rows.len());
                    tracing::info_span!("element", step, number, of).in_scope(submit)
                }
            };
            match (submitted, kept) {
                (Ok(ticket), _) => self.running.push(Call { element, ticket, copied }),
                // Somebody else was faster.
                (Err(Rejected::Full { .. }), Some(values)) => self.next.push_front((element, values)),
                (Err(rejected), _) => return Err(refused(rejected, &self.generation.tag)),
            }
        }
        Ok(())
    }

    /// Whether the queue has room for an element. Where it has none, what comes next waits for it.
    fn has_room(&mut self) -> Result<bool, Error> {
        let replicas = &self.generation.replicas;
        let full = |room: Result<(), Rejected>| match room {
            Ok(()) => Ok(false),
            Err(Rejected::Full { .. }) => Ok(true),
            Err(rejected) => Err(refused(rejected, &self.generation.tag)),
        };
        if !full(replicas.room(self.terms))? {
            return Ok(true);
        }
        // What leaves the queue between the two looks is not missed.
        let mut room = replicas.room_made();
        room.begin();
        let is_full = full(replicas.room(self.terms))?;
        self.room = is_full.then_some(room);
        Ok(!is_full)
    }

    fn ended(&mut self, call: Call, outcome: Result<Done, ItemError>) -> Result<(), Error> {
        let step = || at(self.step, call.element, self.rows.len());
        let model = || self.generation.tag.clone();
        let done = match outcome {
            Ok(done) => done,
            Err(ItemError::Deadline | ItemError::Run(RunError::Stopped(Stopped::Abandoned))) => {
                return Err(Error::Deadline { at: step().to_string() });
            }
            Err(ItemError::Run(RunError::Stopped(Stopped::TooLong))) => {
                return Err(Error::TooLong { step: step(), model: model() });
            }
            Err(ItemError::Run(RunError::Memory { reason, for_good })) => {
                return Err(Error::StepMemory { step: step(), model: model(), reason, for_good });
            }
            Err(ItemError::Closed) => return Err(Error::Closed { model: model() }),
            Err(ItemError::Run(RunError::Input(reason) | RunError::TooLarge(reason))) => {
                return Err(Error::Input { step: step(), model: model(), reason });
            }
            Err(ItemError::Run(error @ (RunError::Failed(_) | RunError::Rows { .. }))) => {
                return Err(Error::Step { step: step(), model: model(), reason: error.to_string() });
            }
        };
        let outputs = match &self.generation.answering.align {
            Some(align) => align.outputs(done.outputs),
            None => done.outputs,
        };
        if let (Some(shadow), Some(inputs)) = (&self.generation.shadow, call.copied) {
            shadow.offer(Copied { inputs, outputs: outputs.clone() });
        }
        let mut outputs = outputs.into_iter();
        let outputs: Vec<Option<Value>> =
            self.step.outputs.iter().map(|_| outputs.next().flatten()).collect();
        let lacks = self
            .step
            .outputs
            .iter()
            .zip(&outputs)
            .any(|(plan, value)| plan.slot.is_some() && value.is_none());
        if lacks {
            let reason = "the model did not give an output that is read".to_owned();
            return Err(Error::Step { step: step(), model: model(), reason });
        }
        self.rows[call.element] = Some(outputs);
        self.spent.add(done.timing);
        Ok(())
    }
}

impl Spent {
    fn add(&mut self, timing: Timing) {
        let took = |timing: &Timing| timing.queued + timing.device;
        if self.ran == 0 || took(&timing) > took(&self.longest) {
            self.longest = timing;
        }
        let rows = timing.batch.max(1);
        self.device += timing.device / rows as u32;
        self.batches += 1.0 / rows as f64;
        self.ran += 1;
    }
}
