//! One item from payloads to bytes.

use super::error::Error;
use super::item::Item;
use super::pipeline::Pinned;
use super::steps::run_steps;
use crate::plan::{DecodeId, EncodeId, IdVec, Payload, Priority, Side, SlotId, StepId};
use crate::scheduler::{Sender, Timing, Value};
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
    pub steps: IdVec<StepId, Option<Timing>>,
    /// The time of each encode, in the order of [`Answer::encoded`].
    pub encodes: Vec<Duration>,
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
    let mut slots: IdVec<SlotId, Option<Value>> = vec![None; entry.slots].into();
    for (decode, decoded) in decoded.enumerate() {
        slots[SlotId::of_decode(decode)] = Some(decoded.value.clone());
    }
    let held = pinned.pipeline.threads.reserve(0);
    let mut held = held.map_err(|full| Error::NoMemory { at: "the steps".to_owned(), full })?;
    let steps = run_steps(&item, pinned.pipeline.wants(side), &mut slots, &mut held).await?;
    let models = pinned.models_of(entry, |step| steps[step].is_some());
    let encoded = item.encode(&slots, &decoded, &models).await?;
    let timings = Timings {
        decodes: decoded.iter().map(|decoded| decoded.took).collect(),
        steps,
        encodes: encoded.iter().map(|encoded| encoded.took).collect(),
    };
    let encoded = encodes.iter().copied().zip(encoded.into_iter().map(|encoded| encoded.bytes)).collect();
    Ok(Answer { models, encoded, timings })
}

/// Whether every model that an item needs would take it now. The request's payloads do not matter.
pub fn room(pinned: &Pinned, request: &Request<'_>) -> Result<(), Error> {
    Item::new(pinned, request)?.room()
}
