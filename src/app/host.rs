//! How things stand, and what the admin listener is asked to do, from `lifecycle` and what runs.

use super::running::{Applied, Running};
use crate::ingress::{BoxFuture, Done, Host, Order, Sample};
use crate::lifecycle::{self, Refused, Reload};
use crate::plan::Plan;
use crate::store;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// [`Host`] takes `&self`, and an order outlives the request that gave it.
pub struct Shared(pub Arc<Running>);

impl Host for Shared {
    fn not_ready(&self) -> Vec<(String, String)> {
        let current = self.0.current.load();
        let status = self.0.lifecycle.status();
        let waiting = current.plan.models.iter().filter_map(|model| {
            let status = status.iter().find(|status| status.name == model.name);
            match status {
                Some(status) if !status.serving.is_empty() => None,
                status => {
                    let last = status.and_then(|status| status.generations.last());
                    Some((model.name.clone(), last.map_or("new", |g| g.state.name()).to_owned()))
                }
            }
        });
        waiting.collect()
    }

    fn status(&self) -> Value {
        let current = self.0.current.load_full();
        let plan = &current.plan;
        let files: Vec<String> = current.files.iter().map(|file| file.display().to_string()).collect();
        let refusal = self
            .0
            .refusal()
            .map(|refusal| json!({ "at": unix_seconds(refusal.at), "diagnostics": refusal.text }));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.0.begun.elapsed().as_secs(),
            "ready": self.not_ready().is_empty(),
            "plan": {
                "generation": current.generation,
                "since": unix_seconds(current.since),
                "files": files,
                "refused": refusal,
            },
            "pipelines": pipelines(plan),
            "models": self.0.lifecycle.status(),
            "devices": self.devices(),
        })
    }

    fn models(&self) -> BoxFuture<'_, Value> {
        let running = self.0.clone();
        Box::pin(async move {
            let listed = tokio::task::spawn_blocking(move || listed(&running));
            listed.await.unwrap_or_else(|error| json!({ "error": error.to_string() }))
        })
    }

    fn samples(&self) -> Vec<Sample> {
        let mut samples = super::samples::of(&self.0.lifecycle.status(), &self.0.lifecycle.devices());
        samples.extend(super::samples::of_plan(&self.0));
        samples
    }

    fn order(&self, order: Order) -> BoxFuture<'_, Done> {
        let running = self.0.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || carry_out(&running, order));
            done.await.unwrap_or_else(|error| Done::Failed(error.to_string()))
        })
    }
}

impl Shared {
    fn devices(&self) -> Vec<Value> {
        let current = self.0.current.load();
        let plan = &current.plan;
        let open = self.0.lifecycle.devices();
        let device = |d: &crate::plan::Device| {
            let facts = current.capacity.devices.iter().find(|f| f.id == d.id);
            let held = d.held.iter();
            let held: Map<String, Value> = held
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
        };
        plan.devices.iter().map(device).collect()
    }
}

fn pipelines(plan: &Plan) -> Vec<Value> {
    let pipeline = |p: &Arc<crate::plan::Pipeline>| {
        let models = p.models.iter().filter_map(|m| plan.models.get(*m));
        let models: Vec<&str> = models.map(|m| m.name.as_str()).collect();
        json!({
            "name": p.name,
            "route": p.route,
            "timeout_seconds": p.timeout.as_secs_f64(),
            "priority": p.priority,
            "models": models,
        })
    };
    plan.pipelines.iter().map(pipeline).collect()
}

/// What the stores hold of the models, and what in them is not a version of any.
fn listed(running: &Running) -> Value {
    let plan = running.current.load().plan.clone();
    let status = running.lifecycle.status();
    let models = plan.models.iter().map(|model| {
        let (versions, error) = match store::versions(&model.store, &model.name) {
            Ok(versions) => (versions, None),
            Err(error) => (vec![], Some(error.to_string())),
        };
        let status = status.iter().find(|status| status.name == model.name);
        json!({
            "name": model.name,
            "wanted": status.map(|s| s.wanted.as_str()),
            "serving": status.map(|s| s.serving.as_slice()),
            "in_store": versions,
            "error": error,
            "warning": status.and_then(|s| s.warning.as_deref()),
        })
    });
    let models: Vec<Value> = models.collect();
    let roots: BTreeSet<&Path> = plan.models.iter().map(|model| model.store.as_path()).collect();
    let ignored = roots.into_iter().filter_map(|root| store::scan(root).ok()).flat_map(|scan| scan.ignored);
    let ignored: Vec<Value> = ignored
        .map(|ignored| json!({ "path": ignored.path.display().to_string(), "reason": ignored.reason }))
        .collect();
    json!({ "models": models, "ignored": ignored })
}

/// Blocks until it is done.
fn carry_out(running: &Running, order: Order) -> Done {
    let known = || running.current.load().plan.models.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
    let unknown = || Done::UnknownModel { known: known() };
    let looked = |model: &str, reload: Reload| {
        let fine = reload.failures.is_empty();
        let outcome = json!({ "models": [outcome(model, &reload)] });
        if fine { Done::Fine(outcome) } else { Done::Refused(outcome) }
    };
    match order {
        Order::Reload => reload_all(running),
        Order::ReloadModel(model) => {
            running.lifecycle.reload(&model).map_or_else(|_| unknown(), |reload| looked(&model, reload))
        }
        Order::Load(model, version) => match running.lifecycle.load(&model, version) {
            Ok(reload) if reload.serving.contains(&version) => looked(&model, reload),
            Ok(reload) => {
                let mut outcome = outcome(&model, &reload);
                if reload.failures.is_empty() {
                    outcome["error"] = json!(format!("the store has no version {version} of it"));
                }
                Done::Refused(json!({ "models": [outcome] }))
            }
            Err(_) => unknown(),
        },
        Order::Unload(model, version) => match running.lifecycle.unload(&model, version) {
            Ok(reload) => looked(&model, reload),
            Err(Refused::Unknown(_)) => unknown(),
            Err(refused) => Done::Refused(json!({ "models": [], "error": refused.to_string() })),
        },
    }
}

/// Looks at the files and at every model, whether anything seems to have changed or not.
pub fn reload_all(running: &Running) -> Done {
    let applied = running.look_at_files(true);
    let names: Vec<String> = running.lifecycle.status().into_iter().map(|model| model.name).collect();
    let looked = names.iter().filter_map(|name| Some((name, running.lifecycle.reload(name).ok()?)));
    let looked: Vec<(&String, Reload)> = looked.collect();
    let fine = applied.is_ok() && looked.iter().all(|(_, reload)| reload.failures.is_empty());
    let models: Vec<Value> = looked.iter().map(|(name, reload)| outcome(name, reload)).collect();
    let plan = match applied {
        Ok(Applied::Changed(generation)) => json!({ "generation": generation }),
        Ok(Applied::Unchanged) => json!({ "generation": running.current.load().generation }),
        Err(text) => json!({ "generation": running.current.load().generation, "refused": text }),
    };
    let outcome = json!({ "plan": plan, "models": models });
    if fine { Done::Fine(outcome) } else { Done::Refused(outcome) }
}

fn outcome(model: &str, reload: &Reload) -> Value {
    let failure = |failure: &lifecycle::Failure| json!({ "version": failure.version, "cause": failure.cause, "reason": failure.reason });
    let failures: Vec<Value> = reload.failures.iter().map(failure).collect();
    json!({
        "name": model,
        "serving": reload.serving,
        "loaded": reload.loaded,
        "dropped": reload.dropped,
        "failures": failures,
    })
}

pub fn unix_seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1e3).round() / 1e3
}
