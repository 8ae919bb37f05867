//! One item from payloads to bytes.

use super::error::Error;
use super::item::Item;
use super::pipeline::Pinned;
use super::slots::{Cell, Slots};
use super::start::holds;
use super::steps::run_steps;
use crate::plan::{DecodeId, EncodeId, Entry, IdVec, Payload, Priority, Side, SlotId, StepId};
use crate::scheduler::{Sender, Timing};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One item and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub side: Side,
    /// A payload for each decode of the entry, in its order.
    pub payloads: Vec<Payload>,
    /// The encodes to make. Steps that none of them needs are not run.
    pub encodes: &'a [EncodeId],
    /// Where given, encodes that have rows make a row, under this name, in the place of a whole answer.
    pub row: Option<&'a str>,
    /// A priority in the place of the pipeline's own.
    pub priority: Option<Priority>,
    pub deadline: Instant,
    /// The client, where it is known: one whose items make batches fail again and again runs alone for a while.
    pub sender: Option<Sender>,
}

/// What became of an item.
#[derive(Debug)]
pub struct Answer {
    /// The models that ran for it: "road-mask@2, surface@2".
    pub models: Arc<str>,
    /// The bytes of each encode, in the order asked for.
    pub encoded: Vec<(EncodeId, Vec<u8>)>,
    pub timings: Timings,
}

/// Where the time went.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    pub decodes: IdVec<DecodeId, Duration>,
    /// `None` for a step that was not needed.
    pub steps: IdVec<StepId, Option<StepTiming>>,
    /// The time of each encode, in the order of [`Answer::encoded`].
    pub encodes: Vec<Duration>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTiming {
    /// The time from its start until all its elements had ended.
    pub took: Duration,
    /// Of a model call: where the time went of the element that took longest.
    pub timing: Timing,
    /// Of a model call: the parts that its elements had of the device time of their batches, and of the batches.
    pub device: Duration,
    pub batches: f64,
    /// The elements that it ran for; 1 where it runs once.
    pub ran: usize,
    /// The elements for which it was skipped, or made nothing.
    pub skipped: usize,
    /// The elements that were given up as they took longer than `within`.
    pub late: usize,
}

/// Takes one item through the pipeline. Dropping the future gives up whatever is still queued.
///
/// REQUIRES a tokio runtime with its timer.
pub async fn run(pinned: &Pinned, request: Request<'_>) -> Result<Answer, Error> {
    let item = Item::new(pinned, &request)?;
    let Request { side, payloads, encodes, .. } = request;
    let entry = item.entry;
    if payloads.len() != entry.decodes.len() {
        let (given, wanted) = (payloads.len(), entry.decodes.len());
        return Err(Error::Request(format!("{given} payloads for {wanted} decodes")));
    }
    // Before anything is spent on an item that one of its models would turn away.
    item.room()?;
    let decoded = item.decode(payloads).await?;
    let mut slots = Slots::new(entry);
    for (decode, decoded) in decoded.enumerate() {
        slots.fill(SlotId::of_decode(decode), vec![Cell::Here(decoded.value.clone())]);
    }
    let origins = decoded.iter().map(|decoded| decoded.origin.clone()).collect();
    let held = pinned.pipeline.threads.reserve(0);
    let mut held = held.map_err(|full| Error::NoMemory { at: "the steps".to_owned(), full })?;
    let steps = run_steps(&item, pinned.pipeline.wants(side), &mut slots, origins, &mut held).await?;
    refuse(pinned, entry, &slots)?;
    let models = pinned.models_of(entry, |step| steps[step].is_some_and(|timing| timing.ran > 0));
    let encoded = item.encode(&slots, &decoded, &models).await?;
    let timings = Timings {
        decodes: decoded.iter().map(|decoded| decoded.took).collect(),
        steps,
        encodes: encoded.iter().map(|encoded| encoded.took).collect(),
    };
    let encoded = encodes.iter().copied().zip(encoded.into_iter().map(|encoded| encoded.bytes)).collect();
    Ok(Answer { models, encoded, timings })
}

/// Refuses an item for what the steps found, where the entry says so.
fn refuse(pinned: &Pinned, entry: &Entry, slots: &Slots<'_>) -> Result<(), Error> {
    for refusal in &entry.refusals {
        let holds = holds(pinned, slots, &refusal.when, None, 0);
        let holds = holds.map_err(|error| Error::Operation { step: "refuse".to_owned().into(), error })?;
        if holds {
            return Err(Error::Refused { status: refusal.status, say: refusal.say.clone() });
        }
    }
    Ok(())
}

/// Whether every model that an item needs would take it now. The request's payloads do not matter.
pub fn room(pinned: &Pinned, request: &Request<'_>) -> Result<(), Error> {
    Item::new(pinned, request)?.room()
}
