//! The host of the ingress: requests go through `flow`, how things stand comes from `lifecycle`.

use crate::flow::{self, CodecThreads, Side};
use crate::ingress::{self, Answer, Failure, Host, Item, Reload, Sample};
use crate::lifecycle::{Cell, Lifecycle, State};
use crate::plan::{Capacity, Entry, Pipeline, Plan};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is served. Until [`Hosted::begin`] nothing is.
pub struct Hosted {
    plan: Arc<Plan>,
    capacity: Capacity,
    lifecycle: Arc<Lifecycle>,
    running: ArcSwapOption<Running>,
    begun: Instant,
    /// Models that are being looked at because somebody asked.
    reloading: Mutex<BTreeSet<String>>,
}

/// The pipelines once their models are there.
struct Running {
    by_name: HashMap<String, Arc<flow::Pipeline>>,
    cells: Vec<Arc<Cell>>,
}

impl Hosted {
    pub fn new(plan: Arc<Plan>, capacity: Capacity, lifecycle: Arc<Lifecycle>) -> Arc<Self> {
        Arc::new(Self {
            plan,
            capacity,
            lifecycle,
            running: ArcSwapOption::empty(),
            begun: Instant::now(),
            reloading: Mutex::default(),
        })
    }

    /// From here on requests are run. `cells` are those of all models of the plan, in its order.
    pub fn begin(&self, cells: Vec<Arc<Cell>>) {
        let threads = CodecThreads::default();
        let pipelines = self.plan.pipelines.iter();
        let by_name = pipelines
            .map(|p| (p.name.clone(), flow::Pipeline::new(p.clone(), &cells, threads.clone())))
            .collect();
        self.running.store(Some(Arc::new(Running { by_name, cells })));
    }

    /// Looks at one model's versions again, on a thread that may block.
    fn look_again(self: &Arc<Self>, model: String) {
        {
            let mut reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
            // One look that has not begun its work sees whatever a second would.
            if !reloading.insert(model.clone()) {
                return;
            }
        }
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            this.reloading.lock().unwrap_or_else(PoisonError::into_inner).remove(&model);
            match this.lifecycle.reload(&model) {
                Ok(reload) => tracing::info!(model, serving = ?reload.serving, "looked at"),
                Err(unknown) => tracing::warn!("{unknown}"),
            }
        });
    }
}

/// [`Host`] takes `&self`, and a reload outlives the request that asked for it.
pub struct Shared(pub Arc<Hosted>);

impl Host for Shared {
    fn run<'a>(
        &'a self,
        pipeline: &'a Arc<Pipeline>,
        item: Item,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let running = self.0.running.load_full();
            let flow = running.as_ref().and_then(|r| r.by_name.get(&pipeline.name));
            let not_ready = || Failure::NotReady { model: pipeline.name.clone() };
            let pinned = flow.ok_or_else(not_ready)?.pin().map_err(|e| failure(e.into()))?;
            let (side, encodes) = match item.offline {
                Some(_) => (Side::Offline, (0..pipeline.offline.encodes.len()).collect()),
                None => (Side::Online, vec![item.encode]),
            };
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

    fn models(&self, pipeline: &Pipeline) -> Option<Arc<str>> {
        let running = self.0.running.load_full()?;
        let pinned = running.by_name.get(&pipeline.name)?.pin().ok()?;
        Some(pinned.models().clone())
    }

    fn not_ready(&self) -> Vec<(String, String)> {
        if let Some(running) = self.0.running.load_full()
            && running.cells.iter().all(|cell| !cell.served().is_empty())
        {
            return vec![];
        }
        let waiting = self.0.lifecycle.status().into_iter().filter(|m| m.serving.is_empty());
        let mut waiting: Vec<(String, String)> = waiting
            .map(|m| {
                let state = m.generations.last().map_or("new", |g| state_name(&g.state));
                (m.name, state.to_owned())
            })
            .collect();
        if waiting.is_empty() {
            waiting = self.0.plan.models.iter().map(|m| (m.name.clone(), "new".to_owned())).collect();
        }
        waiting
    }

    fn pipeline_ready(&self, pipeline: &Pipeline) -> bool {
        self.0.running.load().as_ref().is_some_and(|r| r.by_name.contains_key(&pipeline.name))
    }

    fn status(&self) -> Value {
        let plan = &self.0.plan;
        let pipelines: Vec<Value> = plan
            .pipelines
            .iter()
            .map(|p| {
                let models: Vec<&str> =
                    p.models.iter().filter_map(|m| plan.models.get(*m)).map(|m| m.name.as_str()).collect();
                json!({
                    "name": p.name,
                    "route": p.route,
                    "timeout_seconds": p.timeout.as_secs_f64(),
                    "priority": p.priority,
                    "models": models,
                })
            })
            .collect();
        let open = self.0.lifecycle.devices();
        let devices: Vec<Value> = plan
            .devices
            .iter()
            .map(|d| {
                let facts = self.0.capacity.devices.iter().find(|f| f.id == d.id);
                let held: serde_json::Map<String, Value> = d
                    .held
                    .iter()
                    .filter_map(|(m, share)| Some((plan.models.get(*m)?.name.clone(), json!(share))))
                    .collect();
                let now = open.iter().find(|open| open.id == d.id);
                json!({
                    "id": d.id.to_string(),
                    "lanes": now.map(|now| now.lanes),
                    "busy_10s": now.map(|now| now.busy_10s),
                    "busy_60s": now.map(|now| now.busy_60s),
                    "name": facts.map(|f| f.name.as_str()),
                    "memory_bytes": facts.and_then(|f| f.memory),
                    "held": held,
                })
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.0.begun.elapsed().as_secs(),
            "ready": self.not_ready().is_empty(),
            "pipelines": pipelines,
            "models": self.0.lifecycle.status(),
            "devices": devices,
        })
    }

    fn samples(&self) -> Vec<Sample> {
        super::samples::of(&self.0.lifecycle.status(), &self.0.lifecycle.devices())
    }

    fn reload(&self, model: Option<&str>) -> Reload {
        let known = || self.0.plan.models.iter().map(|m| m.name.clone());
        let concerned: Vec<String> = known().filter(|name| model.is_none_or(|m| m == name)).collect();
        if concerned.is_empty() && model.is_some() {
            return Reload::UnknownModel { known: known().collect() };
        }
        for model in &concerned {
            self.0.look_again(model.clone());
        }
        Reload::Begun(concerned)
    }
}

pub fn state_name(state: &State) -> &'static str {
    match state {
        State::New => "new",
        State::Reserved => "reserved",
        State::Loading => "loading",
        State::Warming => "warming",
        State::Ready => "ready",
        State::Draining => "draining",
        State::Unloaded => "unloaded",
        State::Failed(_) => "failed",
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

fn failure(error: flow::Error) -> Failure {
    use flow::Error;
    match error {
        Error::Decode { decode, error } => Failure::Decode { decode, error },
        Error::Input { step, reason, .. } => Failure::Input { step, reason },
        Error::NotReady(not_ready) => Failure::NotReady { model: not_ready.model },
        Error::Closed { model } => Failure::NotReady { model },
        Error::Full { model, retry_after } => Failure::QueueFull { model, retry_after },
        Error::Deadline { at } => Failure::Deadline { at },
        Error::Step { .. } | Error::Encode { .. } | Error::Panic { .. } | Error::Request(_) => {
            Failure::Failed(error.to_string())
        }
    }
}
