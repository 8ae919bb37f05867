//! One pipeline, as the ingress runs its items: through `flow`.

use crate::flow::{self, Side};
use crate::ingress::{self, Answer, Asked, Failure, Handler, Item, Soon};
use crate::lifecycle::NotReady;
use crate::plan::{Entry, Pipeline, Plan};
use bytes::Bytes;
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A pipeline whose models are being loaded.
pub struct Loading(pub Arc<Pipeline>);

/// A pipeline that is served.
pub struct Served {
    flow: Arc<flow::Pipeline>,
    sticky: Vec<(String, String)>,
}

impl Served {
    pub fn new(flow: Arc<flow::Pipeline>, plan: &Plan) -> Self {
        let models = flow.plan().models.iter().filter_map(|index| plan.models.get(*index));
        let split = models.filter(|model| !model.rollout.traffic.is_empty());
        let sticky = split.map(|model| (model.name.clone(), model.rollout.sticky.clone())).collect();
        Self { flow, sticky }
    }

    fn pin(&self, pins: &[(String, u64)], keys: &[(String, Vec<u8>)]) -> Result<flow::Pinned, Failure> {
        let key = |model: &str| keys.iter().find(|(name, _)| name == model).map(|(_, key)| key.as_slice());
        self.flow.choose(pins, &key).map_err(not_ready)
    }

    /// The entry that is run, and the encodes of it that are made.
    fn wanted(&self, offline: bool, encode: usize) -> (Side, Vec<usize>) {
        match offline {
            true => (Side::Offline, (0..self.flow.plan().offline.encodes.len()).collect()),
            false => (Side::Online, vec![encode]),
        }
    }
}

impl Handler for Loading {
    fn pipeline(&self) -> &Arc<Pipeline> {
        &self.0
    }

    fn is_ready(&self) -> bool {
        false
    }

    fn sticky(&self) -> &[(String, String)] {
        &[]
    }

    fn models(&self) -> Option<Arc<str>> {
        None
    }

    fn run(&self, _: Item) -> Soon<'_, Result<Answer, Failure>> {
        Box::pin(async { Err(Failure::NotReady { model: self.0.name.clone() }) })
    }
}

impl Handler for Served {
    fn pipeline(&self) -> &Arc<Pipeline> {
        self.flow.plan()
    }

    fn is_ready(&self) -> bool {
        self.flow.is_ready()
    }

    fn sticky(&self) -> &[(String, String)] {
        &self.sticky
    }

    fn models(&self) -> Option<Arc<str>> {
        Some(self.flow.pin().ok()?.models().clone())
    }

    fn room(&self, asked: &Asked<'_>) -> Result<(), Failure> {
        if self.flow.is_roomy() {
            return Ok(());
        }
        let pinned = self.pin(asked.pins, asked.keys)?;
        let (side, encodes) = self.wanted(asked.offline, asked.encode);
        flow::room(&pinned, side, &encodes, asked.priority, asked.deadline).map_err(failure)
    }

    fn run(&self, item: Item) -> Soon<'_, Result<Answer, Failure>> {
        Box::pin(async move {
            let pinned = self.pin(&item.pins, &item.keys)?;
            let (side, encodes) = self.wanted(item.offline.is_some(), item.encode);
            let request = flow::Request {
                side,
                payloads: item.payloads,
                encodes: &encodes,
                row: item.offline.as_deref(),
                priority: Some(item.priority),
                deadline: item.deadline,
            };
            let answer = flow::run(&pinned, request).await.map_err(failure)?;
            let timings = timings(pinned.plan().entry(side == Side::Offline), &encodes, &answer.timings);
            let mut parts: Vec<Vec<u8>> = answer.encoded.into_iter().map(|(_, bytes)| bytes).collect();
            let body = match (side, parts.pop()) {
                (Side::Online, Some(body)) => Bytes::from(body),
                (Side::Online, None) => return Err(Failure::Failed("the flow gave no answer".into())),
                (Side::Offline, last) => {
                    parts.extend(last);
                    ingress::joined(&parts)
                }
            };
            Ok(Answer { body, models: pinned.models().clone(), timings })
        })
    }
}

fn timings(entry: &Entry, encodes: &[usize], spent: &flow::Timings) -> Vec<(Cow<'static, str>, Duration)> {
    let mut timings = Vec::with_capacity(entry.decodes.len() + entry.steps.len() + 1);
    let mut add = |name: &str, took| timings.push((Cow::Owned(name.to_owned()), took));
    for (decode, took) in entry.decodes.iter().zip(&spent.decodes) {
        add(&decode.name, *took);
    }
    for (step, timing) in entry.steps.iter().zip(&spent.steps) {
        if let Some(timing) = timing {
            add(&step.name, timing.queued + timing.device);
        }
    }
    for (encode, took) in encodes.iter().zip(&spent.encodes) {
        if let Some(encode) = entry.encodes.get(*encode) {
            add(&encode.name, *took);
        }
    }
    timings
}

fn not_ready(error: NotReady) -> Failure {
    let detail = error.to_string();
    match error {
        NotReady::Nothing { model } => Failure::NotReady { model },
        NotReady::Version { model, served, .. } => {
            let list: Vec<String> = served.iter().map(u64::to_string).collect();
            let detail = format!("{detail}; it serves {}", list.join(", "));
            Failure::Version { detail, model, known: json!(served) }
        }
        NotReady::Model { model, known } => {
            let detail = format!("{detail}; it calls {}", known.join(", "));
            Failure::Version { detail, model, known: json!(known) }
        }
    }
}

fn failure(error: flow::Error) -> Failure {
    use flow::Error;
    match error {
        Error::Decode { decode, error } => Failure::Decode { decode, error },
        Error::Input { step, reason, .. } => Failure::Input { step, reason },
        Error::NotReady(error) => not_ready(error),
        Error::Closed { model } => Failure::NotReady { model },
        Error::Full { model, retry_after } => Failure::QueueFull { model, retry_after },
        Error::Deadline { at } => Failure::Deadline { at },
        Error::Step { .. } | Error::Encode { .. } | Error::Panic { .. } | Error::Request(_) => {
            Failure::Failed(error.to_string())
        }
    }
}
