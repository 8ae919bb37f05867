//! Items through the offline entry of a pinned pipeline.

use crate::flow::{self, Pinned, Side};
use crate::offline::{Answer, Ended, Flow, Refused, TimeSpent};
use crate::plan::{EncodeId, IdVec, Payload, Plan, Step, StepId};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// An item may take so long; it has no client who waits.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How long an item waits for memory before it tries again.
const MEMORY: Duration = Duration::from_millis(100);

/// The last batches wait so long for the items that are still on their way.
const LAST: Duration = Duration::from_millis(1);

pub struct OfflineEntry {
    pinned: Pinned,
    /// All encodes of the entry.
    encodes: Vec<EncodeId>,
    /// For each step, how many rows its model's batches may have; 0 where it calls none.
    most: IdVec<StepId, usize>,
}

impl OfflineEntry {
    pub fn new(pinned: Pinned, plan: &Plan) -> Self {
        let entry = &pinned.plan().offline;
        let pipeline = pinned.plan();
        let most =
            |step: &Step| step.model().map_or(0, |model| plan.models[pipeline.models[model]].batch.max);
        Self { encodes: entry.encodes.ids().collect(), most: entry.steps.iter().map(most).collect(), pinned }
    }

    fn spent(&self, timings: &flow::Timings) -> TimeSpent {
        let mut spent = TimeSpent {
            decode: timings.decodes.iter().sum(),
            encode: timings.encodes.iter().sum(),
            ..TimeSpent::default()
        };
        for (timing, most) in timings.steps.iter().zip(&self.most) {
            let Some(timing) = timing.filter(|_| *most > 0) else { continue };
            spent.models += timing.device;
            spent.rows += timing.ran as f64;
            spent.places += *most as f64 * timing.batches;
        }
        spent
    }
}

impl Flow for OfflineEntry {
    fn run<'a>(
        &'a self,
        item: &'a str,
        payloads: Vec<Payload>,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>> {
        Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let request = flow::Request {
                    side: Side::Offline,
                    payloads: payloads.clone(),
                    encodes: &self.encodes,
                    row: Some(item),
                    priority: None,
                    deadline,
                    sender: None,
                };
                match flow::run(&self.pinned, request).await {
                    Ok(answer) => {
                        let spent = self.spent(&answer.timings);
                        let encoded =
                            answer.encoded.into_iter().map(|(_, bytes)| Bytes::from(bytes)).collect();
                        return Ended::Answered(Answer { encoded, spent });
                    }
                    Err(flow::Error::Full { retry_after, .. } | flow::Error::Crowded { retry_after, .. })
                        if Instant::now() < deadline =>
                    {
                        tokio::time::sleep(retry_after.max(Duration::from_millis(1))).await;
                    }
                    Err(flow::Error::StepMemory { for_good: false, .. }) if Instant::now() < deadline => {
                        tokio::time::sleep(MEMORY).await;
                    }
                    Err(flow::Error::NoMemory { full, .. })
                        if !full.is_for_good() && Instant::now() < deadline =>
                    {
                        tokio::time::sleep(MEMORY).await;
                    }
                    Err(error) => return refused(error).into(),
                }
            }
        })
    }

    fn ends(&self) {
        let replicas = self.pinned.generations().iter().flat_map(|picked| picked.replicas.iter());
        replicas.for_each(|instance| instance.wait_at_most(LAST));
    }
}

fn refused(error: flow::Error) -> Refused {
    use flow::Error;
    let (step, reason) = match error {
        Error::Decode { decode, error } => (decode, error.to_string()),
        Error::Input { step, reason, .. }
        | Error::Step { step, reason, .. }
        | Error::StepMemory { step, reason, .. } => refused_at(step, reason),
        Error::Operation { step, error } => refused_at(step, error.to_string()),
        Error::Refused { say, .. } => ("refuse".to_owned(), say),
        Error::Encode { encode, error } => (encode, error.to_string()),
        Error::Full { ref model, .. } | Error::Closed { ref model } => (model.clone(), error.to_string()),
        Error::NotReady(ref not_ready) => (not_ready.model().to_owned(), error.to_string()),
        Error::TooLong { ref step, .. } => (step.name.clone(), error.to_string()),
        Error::Crowded { ref at, .. } | Error::NoMemory { ref at, .. } => (at.clone(), error.to_string()),
        Error::Deadline { at } => (at, "it took longer than an hour".to_owned()),
        Error::Panic { at, message } => (at, format!("panicked: {message}")),
        Error::Request(reason) => ("flow".to_owned(), reason),
    };
    Refused { step, reason }
}

/// A step and what is wrong there, with the element where it runs for several.
fn refused_at(step: flow::AtStep, reason: String) -> (String, String) {
    let reason = match step.element {
        None => reason,
        Some((element, all)) => format!("{element} of {all}: {reason}"),
    };
    (step.name, reason)
}
