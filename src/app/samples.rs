//! What the scheduler and the lifecycle count, as metrics.

use super::host::state_name;
use crate::ingress::{Sample, SampleKind};
use crate::lifecycle::{ModelStatus, State};
use crate::scheduler::Snapshot;

/// A metric of one served generation, and how it is read from its counters.
type Metric = (&'static str, &'static str, SampleKind, fn(&Snapshot) -> f64);

const METRICS: [Metric; 10] = [
    ("queue_length", "Items that wait for the model", SampleKind::Gauge, |s| s.queue as f64),
    ("items", "Items taken into the queue", SampleKind::Counter, |s| s.submitted as f64),
    ("batches", "Batches run", SampleKind::Counter, |s| s.batches as f64),
    ("batch_rows", "Rows run, in all batches", SampleKind::Counter, |s| s.rows as f64),
    ("device_seconds", "Time of the device that batches took", SampleKind::Counter, |s| s.device_seconds),
    ("queue_seconds", "Time that items waited", SampleKind::Counter, |s| s.queue_seconds),
    ("items_rejected", "Items refused because the queue was full", SampleKind::Counter, |s| {
        s.rejected as f64
    }),
    ("items_expired", "Items whose deadline passed in the queue", SampleKind::Counter, |s| s.expired as f64),
    ("items_gone", "Items whose client left while they waited", SampleKind::Counter, |s| s.gone as f64),
    ("items_failed", "Rows that were run and failed", SampleKind::Counter, |s| s.failed as f64),
];

pub fn of(models: &[ModelStatus]) -> Vec<Sample> {
    let mut samples = vec![];
    for model in models {
        for (version, counters) in &model.counters {
            let labels = vec![("model", model.name.clone()), ("version", version.to_string())];
            samples.extend(METRICS.iter().map(|(name, help, kind, read)| Sample {
                name,
                help,
                kind: *kind,
                labels: labels.clone(),
                value: read(counters),
            }));
        }
        samples.push(Sample {
            name: "model_share",
            help: "Share of its device that the model holds",
            kind: SampleKind::Gauge,
            labels: vec![("model", model.name.clone()), ("device", model.device.to_string())],
            value: model.share,
        });
        for generation in &model.generations {
            let labels = |state: &State| {
                let digest = generation.digest.map_or(String::new(), |d| format!("{d:.12}"));
                vec![
                    ("model", model.name.clone()),
                    ("version", generation.version.to_string()),
                    ("digest", digest),
                    ("state", state_name(state).to_owned()),
                ]
            };
            let mut gauge = |name, help, value| {
                let labels = labels(&generation.state);
                samples.push(Sample { name, help, kind: SampleKind::Gauge, labels, value });
            };
            gauge("model_load_seconds", "Time to load a generation", generation.load.as_secs_f64());
            gauge("model_warm_up_seconds", "Time to warm it up", generation.warm_up.as_secs_f64());
        }
    }
    samples
}
