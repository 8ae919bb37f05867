//! One item from payloads to bytes.

use super::codecs::HEAVY;
use super::error::Error;
use super::pipeline::Pinned;
use super::steps::{refused, run_steps};
use crate::plan::{EncodeInput, EncodePlan, Entry, Origin, Payload, Priority, RowContext};
use crate::scheduler::{RunError, Terms, Timing, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Which entry point of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Online,
    Offline,
}

/// One item and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub side: Side,
    /// One for each decode of the entry, in its order.
    pub payloads: Vec<Payload>,
    /// Indices of the encodes to make. Steps that none of them needs are not run.
    pub encodes: &'a [usize],
    /// Where given, encodes that have rows make a row, under this name, in the place of a whole answer.
    pub row: Option<&'a str>,
    /// Instead of the pipeline's own.
    pub priority: Option<Priority>,
    pub deadline: Instant,
}

/// What became of an item.
#[derive(Debug)]
pub struct Answer {
    /// The models that ran for it: "road-mask@2, surface@2".
    pub models: Arc<str>,
    /// With the index of the encode, in the order asked for.
    pub encoded: Vec<(usize, Vec<u8>)>,
    pub timings: Timings,
}

/// Where the time went, by index into the entry's lists.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    pub decodes: Vec<Duration>,
    /// `None` for a step that was not needed.
    pub steps: Vec<Option<Timing>>,
    /// As [`Answer::encoded`].
    pub encodes: Vec<Duration>,
}

/// Takes one item through the pipeline. Dropping the future gives up whatever is still queued.
///
/// REQUIRES a tokio runtime with its timer.
pub async fn run(pinned: &Pinned, request: Request<'_>) -> Result<Answer, Error> {
    let entry = pinned.plan().entry(request.side == Side::Offline);
    if request.payloads.len() != entry.decodes.len() {
        let (given, wanted) = (request.payloads.len(), entry.decodes.len());
        return Err(Error::Request(format!("{given} payloads for {wanted} decodes")));
    }
    let needed = needed(entry, request.encodes)?;
    let priority = request.priority.unwrap_or(pinned.plan().priority);
    let terms = Terms { deadline: request.deadline, priority, begun: false };
    // Before anything is spent on an item that one of its models would turn away.
    room_for(pinned, entry, &needed, terms)?;
    let mut slots: Vec<Option<Value>> = vec![None; entry.slots];
    let mut timings = Timings::default();
    // Dropped last, after the pictures that it stands for.
    let _kept = keep_pictures(pinned, entry, &request).await?;
    let origins =
        decode(pinned, entry, request.encodes, request.payloads, request.deadline, &mut slots, &mut timings)
            .await?;
    let wants = pinned.pipeline.wants(request.side == Side::Offline);
    timings.steps = run_steps(pinned, entry, wants, &needed, &mut slots, terms).await?;
    let models = pinned.models_of(entry, |step| timings.steps.get(step).is_some_and(Option::is_some));
    let mut encoded = Vec::with_capacity(request.encodes.len());
    for index in request.encodes {
        let started = Instant::now();
        let encode = &entry.encodes[*index];
        let bytes =
            encode_one(pinned, encode, &models, &slots, &origins, request.row, request.deadline).await?;
        timings.encodes.push(started.elapsed());
        encoded.push((*index, bytes));
    }
    Ok(Answer { models, encoded, timings })
}

/// Whether every model that an item needs would take it now. The request's payloads do not matter.
pub fn room(pinned: &Pinned, request: &Request<'_>) -> Result<(), Error> {
    let entry = pinned.plan().entry(request.side == Side::Offline);
    let priority = request.priority.unwrap_or(pinned.plan().priority);
    let terms = Terms { deadline: request.deadline, priority, begun: false };
    room_for(pinned, entry, &needed(entry, request.encodes)?, terms)
}

/// Which steps are needed.
fn needed(entry: &Entry, encodes: &[usize]) -> Result<Vec<bool>, Error> {
    let mut needed = vec![false; entry.steps.len()];
    for index in encodes {
        let Some(encode) = entry.encodes.get(*index) else {
            return Err(Error::Request(format!("there is no encode {index}")));
        };
        for step in &encode.needs {
            needed[*step] = true;
        }
    }
    Ok(needed)
}

fn room_for(pinned: &Pinned, entry: &Entry, needed: &[bool], terms: Terms) -> Result<(), Error> {
    for (step, _) in entry.steps.iter().zip(needed).filter(|(_, needed)| **needed) {
        let generation = &pinned.generations[step.model];
        generation.replicas.room(terms).map_err(|rejected| refused(rejected, &generation.tag))?;
    }
    Ok(())
}

/// Whether the picture that a decode reads is drawn on by any of the encodes asked for.
fn is_drawn_on(entry: &Entry, encodes: &[usize], decode: usize) -> bool {
    let drawn_on = |encode: &usize| entry.encodes[*encode].origin == Some(decode);
    entry.decodes[decode].keep_origin && encodes.iter().any(drawn_on)
}

/// Holds memory for the large pictures that stay in memory until they are drawn on, while their items wait
/// for models. A small file may be a large picture, so what came in does not bound it.
async fn keep_pictures(
    pinned: &Pinned,
    entry: &Entry,
    request: &Request<'_>,
) -> Result<Option<OwnedSemaphorePermit>, Error> {
    let mut bytes = 0_usize;
    let mut last = None;
    for (index, (plan, payload)) in entry.decodes.iter().zip(&request.payloads).enumerate() {
        if is_drawn_on(entry, request.encodes, index) {
            let weight = plan.decode.weight(payload);
            if weight >= HEAVY {
                bytes = bytes.saturating_add(weight);
                last = Some(plan);
            }
        }
    }
    let Some(last) = last else { return Ok(None) };
    pinned.pipeline.threads.keep(bytes, request.deadline, || format!("decode `{}`", last.name)).await
}

/// Fills the first slots.
async fn decode(
    pinned: &Pinned,
    entry: &Entry,
    encodes: &[usize],
    payloads: Vec<Payload>,
    deadline: Instant,
    slots: &mut [Option<Value>],
    timings: &mut Timings,
) -> Result<Vec<Option<Origin>>, Error> {
    let mut origins = vec![None; entry.decodes.len()];
    for (index, (plan, payload)) in entry.decodes.iter().zip(payloads).enumerate() {
        let at = || format!("decode `{}`", plan.name);
        let started = Instant::now();
        if started >= deadline {
            return Err(Error::Deadline { at: at() });
        }
        let (decode, keep_origin) = (plan.decode.clone(), is_drawn_on(entry, encodes, index));
        let weight = decode.weight(&payload);
        let work = move || decode.decode(&payload, keep_origin);
        let decoded = pinned
            .pipeline
            .threads
            .run(weight, deadline, at, work)
            .await?
            .map_err(|error| Error::Decode { decode: plan.name.clone(), error })?;
        slots[index] = Some(Value::Host(decoded.tensor));
        origins[index] = decoded.origin;
        timings.decodes.push(started.elapsed());
    }
    Ok(origins)
}

async fn encode_one(
    pinned: &Pinned,
    plan: &EncodePlan,
    models: &Arc<str>,
    slots: &[Option<Value>],
    origins: &[Option<Origin>],
    row: Option<&str>,
    deadline: Instant,
) -> Result<Vec<u8>, Error> {
    let at = || format!("encode `{}`", plan.name);
    if Instant::now() >= deadline {
        return Err(Error::Deadline { at: at() });
    }
    let origin = plan.origin.and_then(|decode| origins.get(decode)?.clone());
    let mut weight = origin.as_ref().map_or(0, |origin| origin.rgb.len());
    let mut sources = Vec::with_capacity(plan.sources.len());
    for source in &plan.sources {
        let Some(value) = slots.get(source.slot).cloned().flatten() else {
            let error = crate::plan::EncodeError("a source was not computed".into());
            return Err(Error::Encode { encode: plan.name.clone(), error });
        };
        weight = weight.saturating_add(match &value {
            Value::Host(tensor) => tensor.bytes().len(),
            // To bring it down waits for the device.
            Value::Device(_) => HEAVY,
        });
        let labels = source.labels.as_ref().and_then(|(model, file)| {
            pinned.generations.get(*model).and_then(|generation| generation.facts.labels.get(file)).cloned()
        });
        sources.push((value, labels));
    }
    let encode = plan.encode.clone();
    let row = row.filter(|_| encode.rows().is_some()).map(str::to_owned);
    let models = models.clone();
    let work = move || -> Result<Vec<u8>, crate::plan::EncodeError> {
        let inputs = sources.into_iter().map(bring_down).collect::<Result<Vec<_>, _>>();
        let inputs = inputs.map_err(|error| crate::plan::EncodeError(error.to_string()))?;
        match (&row, encode.rows()) {
            (Some(item), Some(rows)) => rows.row(&RowContext { item, models: &models }, &inputs),
            _ => encode.encode(&inputs, origin.as_ref()),
        }
    };
    let encoded = pinned.pipeline.threads.run(weight, deadline, at, work).await?;
    encoded.map_err(|error| Error::Encode { encode: plan.name.clone(), error })
}

fn bring_down((value, labels): (Value, Option<Arc<[String]>>)) -> Result<EncodeInput, RunError> {
    let tensor = match value {
        Value::Host(tensor) => tensor,
        Value::Device(resident) => resident.to_host()?,
    };
    Ok(EncodeInput { tensor, labels })
}
