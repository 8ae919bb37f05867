//! What the scheduler and the lifecycle count, as metrics.

use super::running::Running;
use crate::ingress::{Sample, SampleKind};
use crate::lifecycle::{DeviceStatus, InstanceStatus, ModelStatus, State};
use crate::memory::Usage;
use crate::scheduler::Snapshot;
use crate::scheduler::counters::{BATCH_BUCKETS, WAIT_BUCKETS};
use std::sync::atomic::Ordering;

/// A metric of one served generation, and how it is read from its counters.
type Metric = (&'static str, &'static str, SampleKind, fn(&Snapshot) -> f64);

/// A reason's name, and the number of items or batches that it ended.
type Reason = (&'static str, fn(&Snapshot) -> u64);

type Labels = Vec<(&'static str, String)>;

const METRICS: [Metric; 9] = [
    ("queue_length", "Items that wait for the model", SampleKind::Gauge, |s| s.queue as f64),
    ("items_running", "Items in the batches on the way", SampleKind::Gauge, |s| s.running as f64),
    ("items", "Items taken into the queue", SampleKind::Counter, |s| s.submitted as f64),
    ("batches", "Batches run", SampleKind::Counter, |s| s.batches as f64),
    ("batch_rows", "Rows run, in all batches", SampleKind::Counter, |s| s.rows as f64),
    ("batch_padding_rows", "Rows added to bring batches to a listed size", SampleKind::Counter, |s| {
        s.padding as f64
    }),
    ("device_seconds", "Time of the device that batches took", SampleKind::Counter, |s| s.device_seconds),
    ("items_failed", "Rows that were run and failed", SampleKind::Counter, |s| s.failed as f64),
    (
        "batches_undivided",
        "Batches run again row by row, as an output had not a row for each",
        SampleKind::Counter,
        |s| s.undivided as f64,
    ),
];

/// Why items were not run, and how many.
const REASONS: [Reason; 3] =
    [("queue-full", |s| s.rejected), ("deadline", |s| s.expired), ("client-gone", |s| s.gone)];

/// Why batches were ended before they were done, and how many.
const STOPPED: [Reason; 2] = [("abandoned", |s| s.stopped_abandoned), ("too-long", |s| s.stopped_too_long)];

pub fn of(models: &[ModelStatus], devices: &[DeviceStatus]) -> Vec<Sample> {
    let mut samples = vec![];
    for model in models {
        for instance in &model.instances {
            counted(model, instance, &mut samples);
        }
        placed(model, &mut samples);
        generations(model, &mut samples);
    }
    loads(models, &mut samples);
    for device in devices {
        for (window, busy) in [("10s", device.busy_10s), ("60s", device.busy_60s)] {
            let labels = vec![("device", device.id.to_string()), ("window", window.to_owned())];
            let help = "Part of the device's lanes that ran batches";
            samples.push(gauge("device_busy", help, labels, busy));
        }
    }
    samples
}

fn gauge(name: &'static str, help: &'static str, labels: Labels, value: f64) -> Sample {
    Sample { name, help, kind: SampleKind::Gauge, labels, value }
}

fn counted(model: &ModelStatus, instance: &InstanceStatus, samples: &mut Vec<Sample>) {
    let counters = &instance.counters;
    let labels = vec![
        ("model", model.name.clone()),
        ("version", instance.version.to_string()),
        ("device", instance.device.to_string()),
    ];
    samples.extend(METRICS.iter().map(|(name, help, kind, read)| Sample {
        name,
        help,
        kind: *kind,
        labels: labels.clone(),
        value: read(counters),
    }));
    for (part, bytes) in [("weights", instance.memory_weights), ("batch", instance.memory_batch)] {
        let mut labels = labels.clone();
        labels.push(("part", part.to_owned()));
        let help = "Bytes of the device's memory: weights, and the values of the largest batch so far";
        samples.push(gauge("model_memory_bytes", help, labels, bytes as f64));
    }
    for (reason, read) in REASONS {
        let mut labels = labels.clone();
        labels.push(("reason", reason.to_owned()));
        let (name, help) = ("items_rejected", "Items that were not run, by reason");
        samples.push(Sample { name, help, kind: SampleKind::Counter, labels, value: read(counters) as f64 });
    }
    for (reason, read) in STOPPED {
        let mut labels = labels.clone();
        labels.push(("reason", reason.to_owned()));
        let (name, help) = ("batches_stopped", "Batches that were ended before they were done, by reason");
        samples.push(Sample { name, help, kind: SampleKind::Counter, labels, value: read(counters) as f64 });
    }
    let sizes = BATCH_BUCKETS.map(|bound| bound as f64);
    let (name, help) = ("batch_size", "Rows in a batch");
    histogram(name, help, &labels, &sizes, &counters.batch_sizes, counters.rows as f64, samples);
    let (name, help) = ("queue_seconds", "Time that items waited before they were run");
    histogram(name, help, &labels, &WAIT_BUCKETS, &counters.waits, counters.queue_seconds, samples);
}

/// `counts` are not cumulative, and have one more than there are bounds.
fn histogram(
    name: &'static str,
    help: &'static str,
    labels: &Labels,
    bounds: &[f64],
    counts: &[u64],
    sum: f64,
    samples: &mut Vec<Sample>,
) {
    let mut add = |part, labels, value| {
        samples.push(Sample { name, help, kind: SampleKind::Histogram(part), labels, value });
    };
    let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    let mut below = 0;
    for (bound, count) in bounds.zip(counts) {
        below += count;
        let mut labels = labels.clone();
        labels.push(("le", bound));
        add("_bucket", labels, below as f64);
    }
    add("_sum", labels.clone(), sum);
    add("_count", labels.clone(), below as f64);
}

fn placed(model: &ModelStatus, samples: &mut Vec<Sample>) {
    for place in &model.places {
        let labels = vec![("model", model.name.clone()), ("device", place.device.to_string())];
        let help = "Share of the device that the model holds";
        samples.push(gauge("model_share", help, labels.clone(), place.share));
        if let Some(bytes) = place.memory_allowed {
            let help = "Bytes of the device's memory that the model's share allows";
            samples.push(gauge("model_memory_allowed_bytes", help, labels.clone(), bytes as f64));
        }
        let help = "Replicas of the model on the device";
        samples.push(gauge("model_replicas", help, labels.clone(), place.replicas as f64));
        for (window, got) in [("10s", place.share_got_10s), ("60s", place.share_got_60s)] {
            let mut labels = labels.clone();
            labels.push(("window", window.to_owned()));
            let help = "Part of the device time given out of late that the model got";
            samples.push(gauge("model_share_got", help, labels, got));
        }
    }
}

fn generations(model: &ModelStatus, samples: &mut Vec<Sample>) {
    for generation in &model.generations {
        let labels = |state: &State| {
            let digest = generation.digest.map_or(String::new(), |d| format!("{d:.12}"));
            vec![
                ("model", model.name.clone()),
                ("version", generation.version.to_string()),
                ("digest", digest),
                ("state", state.name().to_owned()),
            ]
        };
        let mut add = |name, help, value| samples.push(gauge(name, help, labels(&generation.state), value));
        add("model_load_seconds", "Time to load a generation", generation.load.as_secs_f64());
        add("model_warm_up_seconds", "Time to warm it up", generation.warm_up.as_secs_f64());
    }
}

fn loads(models: &[ModelStatus], samples: &mut Vec<Sample>) {
    for model in models {
        let labels = || vec![("model", model.name.clone())];
        let mut counter = |name, help, labels, value| {
            samples.push(Sample { name, help, kind: SampleKind::Counter, labels, value });
        };
        let loads = &model.loads;
        counter("model_loads", "Generations that came to be ready", labels(), loads.ready as f64);
        counter(
            "model_swaps",
            "Times that what serves became another generation",
            labels(),
            loads.swaps as f64,
        );
        let help = "Time to load the generations that came to be ready";
        counter("model_loading_seconds", help, labels(), loads.load_seconds);
        let help = "Time to warm up the generations that came to be ready";
        counter("model_warming_seconds", help, labels(), loads.warm_up_seconds);
        for (cause, count) in &loads.failed {
            let mut labels = labels();
            labels.push(("reason", cause.name().to_owned()));
            let help = "Generations that did not come to serve, by reason";
            counter("model_load_failures", help, labels, *count as f64);
        }
        if let Some(shadow) = &model.shadow {
            for (result, count) in [
                ("equal", shadow.equal),
                ("different", shadow.compared - shadow.equal),
                ("dropped", shadow.dropped),
                ("failed", shadow.failed),
            ] {
                let mut labels = labels();
                labels.push(("version", shadow.version.to_string()));
                labels.push(("result", result.to_owned()));
                let help = "Copies that were sent to a shadow, by what came of them";
                counter("shadow_copies", help, labels, count as f64);
            }
        }
        for version in &model.serving {
            let mut labels = labels();
            labels.push(("version", version.to_string()));
            samples.push(gauge("model_version_served", "1 for each version that answers", labels, 1.0));
        }
    }
}

/// The plan that is served, and what was refused.
pub fn of_plan(running: &Running) -> Vec<Sample> {
    let current = running.current.load();
    let refusals = running.refusals.load(Ordering::Relaxed) as f64;
    let mut samples = memory(&running.memory.usage());
    samples.extend([
        gauge(
            "plan_generation",
            "How many plans were applied since the start",
            vec![],
            current.generation as f64,
        ),
        Sample {
            name: "plan_refusals",
            help: "Times that pipeline files could not be applied",
            kind: SampleKind::Counter,
            labels: vec![],
            value: refusals,
        },
    ]);
    samples
}

fn memory(usage: &Usage) -> Vec<Sample> {
    let help = "Bytes of the process's memory that are reserved, by what they are for, and what it holds beside them";
    let of =
        |name: &str, bytes: u64| gauge("memory_bytes", help, vec![("use", name.to_owned())], bytes as f64);
    let mut samples: Vec<Sample> = usage.by_use().map(|(purpose, bytes)| of(purpose.name(), bytes)).collect();
    samples.push(of("other", usage.other));
    samples.push(gauge(
        "memory_limit_bytes",
        "Bytes of memory that the process may take",
        vec![],
        usage.limit as f64,
    ));
    samples
}
