//! One item: what holds for all of its way, and its decodes and encodes.

use super::calls::refused;
use super::codecs::{HEAVY, Work};
use super::error::Error;
use super::pipeline::Pinned;
use super::run::Request;
use super::slots::{Cell, Slots};
use super::start::{Inputs, labels};
use super::together;
use crate::memory::Reservation;
use crate::picture::frame::{Frame, Space};
use crate::plan::{
    DecodeId, DecodePlan, Does, EncodeError, EncodeId, EncodePlan, Entry, Given, IdVec, Input, Origin,
    Payload, RowContext, Step, StepId,
};
use crate::scheduler::{RunError, Sender, Terms, Value};
use crate::tensor::Tensor;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An item on its way through an entry point.
pub(super) struct Item<'a> {
    pub(super) pinned: &'a Pinned,
    pub(super) entry: &'a Entry,
    /// The terms on which it waits in the queues.
    pub(super) terms: Terms,
    /// Whether each step of the entry is needed by an encode that is asked for.
    pub(super) needed: IdVec<StepId, bool>,
    encodes: &'a [EncodeId],
    row: Option<&'a str>,
}

/// What one decode gave.
pub(super) struct Decoded {
    pub(super) value: Value,
    pub(super) origin: Option<Origin>,
    pub(super) took: Duration,
    /// The memory of what was decoded, until the item ends.
    _held: Reservation,
}

/// What one encode made.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) took: Duration,
}

impl<'a> Item<'a> {
    pub(super) fn new(pinned: &'a Pinned, request: &Request<'a>) -> Result<Self, Error> {
        let entry = &**pinned.plan().entry(request.side);
        let priority = request.priority.unwrap_or(pinned.plan().priority);
        // Where the client is not known, what its pipeline sends is told from what others do.
        let sender = request.sender.or_else(|| Some(Sender::of(&*pinned.plan().name)));
        let terms = Terms { deadline: request.deadline, priority, begun: false, sender };
        let mut needed = entry.steps.with(false);
        for id in request.encodes {
            let Some(encode) = entry.encodes.get(*id) else {
                return Err(Error::Request(format!("there is no encode {id:?}")));
            };
            encode.needs.iter().for_each(|step| needed[*step] = true);
        }
        for refusal in &entry.refusals {
            refusal.needs.iter().for_each(|step| needed[*step] = true);
        }
        Ok(Self { pinned, entry, terms, needed, encodes: request.encodes, row: request.row })
    }

    /// Whether every model that the item needs would take it now.
    pub(super) fn room(&self) -> Result<(), Error> {
        for (step, _) in self.entry.steps.iter().zip(&self.needed).filter(|(_, needed)| **needed) {
            // What may not run is no reason to turn the item away, and a list waits for room.
            let Some(model) = step.model().filter(|_| step.runs_once()) else { continue };
            let generation = &self.pinned.generations[model];
            let room = generation.replicas.room(self.terms);
            room.map_err(|rejected| refused(rejected, &generation.tag))?;
        }
        Ok(())
    }

    /// Whether the picture that a decode reads is wanted by any of the encodes asked for, or by an operation.
    fn is_drawn_on(&self, decode: DecodeId) -> bool {
        let drawn_on = |encode: &EncodeId| {
            let encode = &self.entry.encodes[*encode];
            encode.origin == Some(decode) || encode.sizes.contains(&decode)
        };
        let read = |(step, plan): (StepId, &Step)| {
            self.needed[step] && matches!(plan.does, Does::Operation { on: Some(on), .. } if on == decode)
        };
        self.entry.decodes[decode].keep_origin
            && (self.encodes.iter().any(drawn_on) || self.entry.steps.enumerate().any(read))
    }

    /// Decodes all payloads, those that are heavy side by side.
    pub(super) async fn decode(&self, payloads: Vec<Payload>) -> Result<IdVec<DecodeId, Decoded>, Error> {
        let each = self.entry.decodes.ids().zip(payloads);
        let each = each.map(|(decode, payload)| self.decode_one(decode, payload));
        Ok(together::all(each.collect()).await?.into())
    }

    async fn decode_one(&self, id: DecodeId, payload: Payload) -> Result<Decoded, Error> {
        let plan = &self.entry.decodes[id];
        let at = || decode_name(plan);
        let started = Instant::now();
        if started >= self.terms.deadline {
            return Err(Error::Deadline { at: at() });
        }
        let (decode, keep_origin) = (plan.decode.clone(), self.is_drawn_on(id));
        let work = Work {
            weight: decode.weight(&payload),
            holds: payload.len(),
            takes: decode.working_memory(&payload),
            ..self.work(true)
        };
        let does = move || decode.decode(&payload, keep_origin);
        let (decoded, mut held) = self.pinned.pipeline.threads.run(work, at, does).await?;
        let decoded = decoded.map_err(|error| Error::Decode { decode: plan.name.clone(), error })?;
        let kept = decoded.origin.as_ref().map_or(0, |origin| origin.rgb.len());
        let kept = decoded.tensor.bytes().len().saturating_add(kept) as u64;
        // What is made smaller always fits.
        let _ = held.resize(kept.min(held.bytes()));
        let (value, origin) = (Value::Host(decoded.tensor), decoded.origin);
        Ok(Decoded { value, origin, took: started.elapsed(), _held: held })
    }

    /// Work of this item.
    fn work(&self, is_decode: bool) -> Work<'_> {
        let (pipeline, deadline) = (&self.pinned.pipeline.name, self.terms.deadline);
        Work { pipeline, is_decode, weight: 0, holds: 0, takes: 0, deadline }
    }

    /// Makes all encodes that are asked for, those that are heavy side by side.
    pub(super) async fn encode(
        &self,
        slots: &Slots<'_>,
        decoded: &IdVec<DecodeId, Decoded>,
        models: &Arc<str>,
    ) -> Result<Vec<Encoded>, Error> {
        let each = self.encodes.iter().map(|encode| &self.entry.encodes[*encode]);
        together::all(each.map(|plan| self.encode_one(plan, slots, decoded, models)).collect()).await
    }

    async fn encode_one(
        &self,
        plan: &EncodePlan,
        slots: &Slots<'_>,
        decoded: &IdVec<DecodeId, Decoded>,
        models: &Arc<str>,
    ) -> Result<Encoded, Error> {
        let at = || format!("encode `{}`", plan.name);
        let started = Instant::now();
        if started >= self.terms.deadline {
            return Err(Error::Deadline { at: at() });
        }
        let failed = |error: EncodeError| Error::Encode { encode: plan.name.clone(), error };
        let origin = plan.origin.and_then(|decode| decoded.get(decode)?.origin.clone());
        let sources: Inputs = plan
            .sources
            .iter()
            .map(|source| (slots.cell(source.slot, None, 0), labels(self.pinned, source.labels.as_ref())))
            .collect();
        let sizes = plan.sizes.iter().map(|decode| size(decoded.get(*decode)?.origin.as_ref()?));
        let sizes: Option<Vec<Input>> = sizes.collect();
        let sizes = sizes.ok_or_else(|| failed(EncodeError::Unforeseen("there is no picture".into())))?;
        // To bring down what is on a device waits for that.
        let read = sources.iter().map(|(cell, _)| cell.host_bytes().unwrap_or(HEAVY));
        let read = read.fold(0, usize::saturating_add);
        let picture = origin.as_ref().map_or(0, |origin| origin.rgb.len());
        let encode = plan.encode.clone();
        // A picture is drawn on in a copy of it.
        let takes = (read as u64).saturating_mul(encode.grows()).saturating_add(2 * picture as u64);
        let row = self.row.filter(|_| encode.rows().is_some()).map(str::to_owned);
        let models = models.clone();
        let does = move || -> Result<Vec<u8>, EncodeError> {
            let input = |(cell, labels): (Cell, _)| Ok(Input { given: cell.bring_down()?, labels });
            let inputs = sources.into_iter().map(input).collect::<Result<Vec<_>, RunError>>();
            let mut inputs = inputs.map_err(|error| EncodeError::Unforeseen(error.to_string()))?;
            inputs.extend(sizes);
            match (&row, encode.rows()) {
                (Some(item), Some(rows)) => rows.of_item(&RowContext { item, models: &models }, &inputs),
                _ => encode.encode(&inputs, origin.as_ref()),
            }
        };
        let work = Work { weight: read.saturating_add(picture), takes, ..self.work(false) };
        let (bytes, _) = self.pinned.pipeline.threads.run(work, at, does).await?;
        Ok(Encoded { bytes: bytes.map_err(failed)?, took: started.elapsed() })
    }
}

/// The width and the height of a picture, as it was sent.
fn size(origin: &Origin) -> Option<Input> {
    let (width, height) = Frame::from(origin).size(Space::Sent);
    let size = Tensor::from_vec(vec![2], vec![i64::from(width), i64::from(height)]).ok()?;
    Some(Input { given: Given::One(size), labels: None })
}

fn decode_name(plan: &DecodePlan) -> String {
    format!("decode `{}`", plan.name)
}
