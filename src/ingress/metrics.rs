//! What the ingress counts, and `GET /metrics`.
//!
//! The counters of a route are made when the route is, so that a request touches atomics alone.

use super::documents::StepCounts;
use super::{Sample, SampleKind};
use crate::flow::StepTiming;
use crate::plan::{Entry, IdVec, Pipeline, Side, StepId};
use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// The media type of the OpenMetrics text format, in which the numbers are written.
pub const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of Prometheus' own text format, which came before it.
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The statuses that a route answers with; 499 is a client that went away.
const STATUSES: [u16; 14] = [200, 204, 400, 405, 406, 408, 413, 415, 422, 429, 499, 500, 503, 504];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPipeline {
    pipeline: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    pipeline: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStep {
    pipeline: String,
    step: String,
}

type Histograms = Family<ByPipeline, Histogram, fn() -> Histogram>;

/// Everything that the ingress counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
    seconds: Histograms,
    in_flight: Family<ByPipeline, Gauge>,
    elements: Family<ByStep, Counter>,
    skipped: Family<ByStep, Counter>,
    late: Family<ByStep, Counter>,
    pub connections: Gauge,
}

/// The counters of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    requests: [Counter; STATUSES.len()],
    seconds: Histogram,
    pub in_flight: Gauge,
    /// Of the steps that may run several times for a request, or not at all.
    steps: BTreeMap<String, StepMetrics>,
}

/// What is counted of a step.
#[derive(Debug)]
struct StepMetrics {
    elements: Counter,
    skipped: Counter,
    late: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("rserve");
        let requests = Family::default();
        let in_flight = Family::default();
        let connections = Gauge::default();
        // 0.25 ms to 16 s.
        let seconds: Histograms =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 17)));
        registry.register("requests", "Requests by pipeline and status", requests.clone());
        registry.register("request_seconds", "Time from a request's head to its answer", seconds.clone());
        registry.register("requests_in_flight", "Requests being answered", in_flight.clone());
        registry.register("connections", "Open connections", connections.clone());
        let (elements, skipped, late) = <(Family<_, _>, Family<_, _>, Family<_, _>)>::default();
        registry.register("step_elements", "Elements that a step ran for", elements.clone());
        registry.register(
            "step_skipped",
            "Elements for which a step was skipped, or made nothing",
            skipped.clone(),
        );
        registry.register("step_late", "Elements for which a step was given up, by `within`", late.clone());
        Self { registry, requests, seconds, in_flight, elements, skipped, late, connections }
    }
}

impl Metrics {
    pub fn route(&self, of: &Pipeline) -> RouteMetrics {
        let pipeline = &of.name;
        let by_pipeline = ByPipeline { pipeline: pipeline.clone() };
        let by_status = |status| ByStatus { pipeline: pipeline.clone(), status };
        let counted = Side::BOTH.into_iter().flat_map(|side| &of.entry(side).steps);
        let counted = counted.filter(|step| !step.runs_once()).map(|step| {
            let by_step = ByStep { pipeline: pipeline.clone(), step: step.name.clone() };
            let metrics = StepMetrics {
                elements: self.elements.get_or_create_owned(&by_step),
                skipped: self.skipped.get_or_create_owned(&by_step),
                late: self.late.get_or_create_owned(&by_step),
            };
            (step.name.clone(), metrics)
        });
        RouteMetrics {
            requests: STATUSES.map(|s| self.requests.get_or_create_owned(&by_status(s))),
            seconds: self.seconds.get_or_create_owned(&by_pipeline),
            in_flight: self.in_flight.get_or_create_owned(&by_pipeline),
            steps: counted.collect(),
        }
    }

    /// What was counted of the steps of a pipeline that may run several times for a request, or not at all.
    pub fn steps(&self, of: &Pipeline) -> Vec<StepCounts> {
        let route = self.route(of);
        let counts = |(name, step): (String, StepMetrics)| StepCounts {
            name,
            elements: step.elements.get(),
            skipped: step.skipped.get(),
            late: step.late.get(),
        };
        route.steps.into_iter().map(counts).collect()
    }

    /// Writes all numbers in the OpenMetrics text format, together with what others counted.
    pub fn text(&self, mut samples: Vec<Sample>) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        let end = text.len() - "# EOF\n".len().min(text.len());
        text.truncate(end);
        samples.sort_by_key(|s| s.name);
        let mut last = "";
        for sample in &samples {
            let (kind, suffix) = match sample.kind {
                SampleKind::Counter => ("counter", "_total"),
                SampleKind::Gauge => ("gauge", ""),
                SampleKind::Histogram(part) => ("histogram", part),
            };
            if sample.name != last {
                last = sample.name;
                let _ = writeln!(text, "# HELP rserve_{last} {}.\n# TYPE rserve_{last} {kind}", sample.help);
            }
            let labels: Vec<String> =
                sample.labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let _ = writeln!(text, "rserve_{last}{suffix}{{{}}} {}", labels.join(","), sample.value);
        }
        text.push_str("# EOF\n");
        text
    }
}

impl RouteMetrics {
    pub fn answered(&self, status: StatusCode, took: Duration) {
        self.count(status.as_u16());
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts what became of the steps of an item.
    pub fn ran(&self, entry: &Entry, steps: &IdVec<StepId, Option<StepTiming>>) {
        if self.steps.is_empty() {
            return;
        }
        for (step, timing) in entry.steps.iter().zip(steps) {
            if let (Some(step), Some(timing)) = (self.steps.get(&step.name), timing) {
                step.elements.inc_by(timing.ran as u64);
                step.skipped.inc_by(timing.skipped as u64);
                step.late.inc_by(timing.late as u64);
            }
        }
    }

    pub fn client_gone(&self) {
        self.count(499);
    }

    fn count(&self, status: u16) {
        if let Some(counter) = STATUSES.iter().position(|s| *s == status).and_then(|i| self.requests.get(i)) {
            counter.inc();
        }
    }
}

/// A text in the OpenMetrics format as one in Prometheus' own: there a counter is called as its sample, and
/// nothing says where the text ends.
pub fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help: Option<(&str, &str)> = None;
    // Writing to a string does not fail.
    for line in open_metrics.lines() {
        let comment = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        let family = comment.and_then(|(what, rest)| Some((what, rest.split_once(' ')?)));
        match (comment, family) {
            (_, Some(("HELP", said))) => help = Some(said),
            (_, Some(("TYPE", (name, kind)))) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                    let _ = writeln!(text, "# HELP {name}{suffix} {help}");
                }
                let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
            }
            (None, _) if !line.starts_with('#') => {
                let _ = writeln!(text, "{line}");
            }
            // Units, and the end.
            _ => {}
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_foreign_numbers_stand_in_one_text() {
        let metrics = Metrics::default();
        let pipeline = Pipeline { name: "road".into(), ..Pipeline::default() };
        metrics.route(&pipeline).answered(StatusCode::OK, Duration::from_millis(3));
        let batches = |model: &str, value| Sample {
            name: "batches",
            help: "Batches run",
            kind: SampleKind::Counter,
            labels: vec![("model", model.into())],
            value,
        };
        let text = metrics.text(vec![batches("a", 2.0), batches("b\"", 3.0)]);
        assert!(text.contains("rserve_requests_total{pipeline=\"road\",status=\"200\"} 1\n"), "{text}");
        assert!(text.contains("rserve_request_seconds_count{pipeline=\"road\"} 1\n"), "{text}");
        let foreign = "# HELP rserve_batches Batches run.\n# TYPE rserve_batches counter\n\
                       rserve_batches_total{model=\"a\"} 2\nrserve_batches_total{model=\"b\\\"\"} 3\n# EOF\n";
        assert!(text.ends_with(foreign), "{text}");

        let text = plain(&text);
        let requests = "# HELP rserve_requests_total Requests by pipeline and status.\n\
                        # TYPE rserve_requests_total counter\n";
        assert!(text.contains(requests), "{text}");
        assert!(text.contains("rserve_requests_total{pipeline=\"road\",status=\"200\"} 1\n"), "{text}");
        assert!(text.contains("# TYPE rserve_request_seconds histogram\n"), "{text}");
        assert!(text.contains("# TYPE rserve_connections gauge\n"), "{text}");
        let foreign = "# HELP rserve_batches_total Batches run.\n# TYPE rserve_batches_total counter\n\
                       rserve_batches_total{model=\"a\"} 2\nrserve_batches_total{model=\"b\\\"\"} 3\n";
        assert!(text.ends_with(foreign), "{text}");
    }
}
