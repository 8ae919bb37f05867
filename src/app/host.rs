//! How things stand, and what the admin listener is asked to do, from `lifecycle` and what runs.

use super::orders::Orders;
use super::running::{Applied, Current, Running};
use crate::ingress::documents::{
    DeviceUse, FailureReport, Ignored, MemoryUse, ModelReloaded, PipelineStatus, PlanRefusal, PlanReloaded,
    PlanStatus, Reloaded, Status, Stored, StoredModel, StuckBatch,
};
use crate::ingress::{AdminCommand, BoxFuture, CommandOutcome, Host, Metrics, Sample};
use crate::lifecycle::{self, BRIEF, Cause, Looks, ModelStatus, Refused, Reload};
use crate::memory::Budget;
use crate::plan::{DeviceId, Plan};
use crate::scheduler::Stuck;
use crate::store::{self, StoreError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a look at the stores is good for: whoever asks more often is told the same.
const LOOKED: Duration = Duration::from_secs(1);

/// The process that runs, as the ingress sees it.
pub struct HostOf {
    running: Arc<Running>,
    orders: Orders,
    /// What the stores held when they were last looked at.
    stored: Arc<Mutex<Option<(Instant, Stored)>>>,
}

impl HostOf {
    pub fn new(running: Arc<Running>) -> Self {
        Self { running, orders: Orders::default(), stored: Arc::default() }
    }
}

impl Host for HostOf {
    fn not_ready(&self) -> Vec<(String, String)> {
        let lifecycle = &self.running.lifecycle;
        not_ready(&self.running.current.load().plan, &lifecycle.status(), &lifecycle.devices())
    }

    fn status(&self) -> Status {
        let current = self.running.current.load_full();
        let models = self.running.lifecycle.status();
        let open = self.running.lifecycle.devices();
        let refusal = self.running.refusal();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.running.begun.elapsed().as_secs(),
            ready: not_ready(&current.plan, &models, &open).is_empty(),
            plan: PlanStatus {
                generation: current.generation,
                since: current.since,
                files: current.files.iter().map(|file| file.display().to_string()).collect(),
                refused: refusal.map(|r| PlanRefusal { at: r.at, diagnostics: r.text }),
            },
            pipelines: pipelines(&current.plan, &self.running.metrics),
            models,
            devices: devices(&current, &open),
            memory: memory_use(&self.running.memory),
        }
    }

    fn models(&self) -> BoxFuture<'_, Result<Stored, String>> {
        let running = self.running.clone();
        Box::pin(async move {
            // One look at a time: it goes on where its caller has gone, and the next one waits for it.
            let mut last = self.stored.clone().lock_owned().await;
            if let Some((at, stored)) = &*last
                && at.elapsed() < LOOKED
            {
                return Ok(stored.clone());
            }
            let look = tokio::task::spawn_blocking(move || {
                let stored = stored(&running);
                *last = Some((Instant::now(), stored.clone()));
                stored
            });
            look.await.map_err(|error| error.to_string())
        })
    }

    fn samples(&self) -> Vec<Sample> {
        let mut samples =
            super::samples::of(&self.running.lifecycle.status(), &self.running.lifecycle.devices());
        samples.extend(super::samples::of_plan(&self.running));
        samples
    }

    fn order(&self, order: AdminCommand) -> BoxFuture<'_, CommandOutcome> {
        let running = self.running.clone();
        Box::pin(self.orders.carry_out(move |gone| carry_out(&running, order, gone)))
    }
}

/// The models of the plan that are not ready, each with what it is instead: those of which nothing serves, with the
/// state of their latest generation, and those on a device that is sick.
fn not_ready(plan: &Plan, models: &[ModelStatus], open: &[lifecycle::DeviceStatus]) -> Vec<(String, String)> {
    let is_sick = |id: &DeviceId| open.iter().any(|open| open.id == *id && !open.stuck.is_empty());
    let waiting =
        plan.models.iter().filter_map(|model| match models.iter().find(|status| status.name == model.name) {
            Some(status) if !status.serving.is_empty() => {
                model.devices.iter().any(is_sick).then(|| (model.name.clone(), "stuck".into()))
            }
            status => {
                let last = status.and_then(|status| status.generations.last());
                Some((model.name.clone(), last.map_or("new", |g| g.state.name()).to_owned()))
            }
        });
    waiting.collect()
}

fn devices(current: &Current, open: &[lifecycle::DeviceStatus]) -> Vec<DeviceUse> {
    let plan = &current.plan;
    let device = |d: &crate::plan::Device| {
        let facts = current.capacity.devices.iter().find(|f| f.id == d.id);
        let held = d.held.iter();
        let held = held.filter_map(|(m, share)| Some((plan.models.get(*m)?.name.clone(), *share)));
        let now = open.iter().find(|open| open.id == d.id);
        DeviceUse {
            id: d.id,
            name: facts.map(|f| f.name.clone()),
            memory_bytes: facts.and_then(|f| f.memory),
            held: held.collect(),
            lanes: now.map(|now| now.lanes),
            busy_10s: now.map(|now| now.busy_10s),
            busy_60s: now.map(|now| now.busy_60s),
            stuck: now.map_or_else(Vec::new, |now| now.stuck.iter().map(stuck_batch).collect()),
        }
    };
    plan.devices.iter().map(device).collect()
}

fn stuck_batch(stuck: &Stuck) -> StuckBatch {
    StuckBatch {
        model: stuck.model.to_string(),
        node: stuck.node.clone(),
        seconds: stuck.ran.as_secs_f64().round(),
    }
}

fn memory_use(budget: &Budget) -> MemoryUse {
    let usage = budget.usage();
    MemoryUse {
        limit_bytes: Some(usage.limit).filter(|limit| *limit < u64::MAX),
        reserved_bytes: usage.by_use().map(|(purpose, bytes)| (purpose.name().to_owned(), bytes)).collect(),
        other_bytes: usage.other,
        resident_bytes: super::memory::resident(),
    }
}

fn pipelines(plan: &Plan, metrics: &Metrics) -> Vec<PipelineStatus> {
    let pipeline = |p: &Arc<crate::plan::Pipeline>| {
        let models = p.models.iter().filter_map(|m| plan.models.get(*m));
        PipelineStatus {
            name: p.name.clone(),
            route: p.route.clone(),
            timeout_seconds: p.timeout.as_secs_f64(),
            priority: p.priority,
            models: models.map(|m| m.name.clone()).collect(),
            steps: metrics.steps(p),
        }
    };
    plan.pipelines.iter().map(pipeline).collect()
}

/// What the stores hold of the models, and what in them is not a version of any.
fn stored(running: &Running) -> Stored {
    let plan = running.current.load().plan.clone();
    let looks = &running.lifecycle.precautions().looks;
    let status = running.lifecycle.status();
    let models = plan.models.iter().map(|model| {
        let (root, name) = (model.store.path.clone(), model.name.clone());
        let (in_store, error) = match look(looks, &root.join(&name), move || store::versions(&root, &name)) {
            Ok(versions) => (versions, None),
            Err(error) => (vec![], Some(error)),
        };
        let status = status.iter().find(|status| status.name == model.name);
        StoredModel {
            name: model.name.clone(),
            wanted: status.map(|s| s.wanted.clone()).unwrap_or_default(),
            serving: status.map(|s| s.serving.clone()).unwrap_or_default(),
            in_store,
            error,
            warning: status.and_then(|s| s.warning.clone()),
        }
    });
    let roots: BTreeSet<PathBuf> = plan.models.iter().map(|model| model.store.path.clone()).collect();
    let scans =
        roots.into_iter().filter_map(|root| look(looks, &root.clone(), move || store::scan(&root)).ok());
    let ignored = scans.flat_map(|scan| scan.ignored);
    let ignored =
        ignored.map(|one| Ignored { path: one.path.display().to_string(), reason: one.reason.to_owned() });
    Stored { models: models.collect(), ignored: ignored.collect() }
}

/// A look at a store, and for how long it is waited for at most.
fn look<T: Send + 'static>(
    looks: &Looks,
    place: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, String> {
    let looked = looks.look(place, BRIEF, false, work).map_err(|error| error.to_string())?;
    looked.map_err(|error| error.to_string())
}

/// Blocks until it is done. What is not begun when `gone` says that nobody waits for it is left.
fn carry_out(running: &Running, order: AdminCommand, gone: &dyn Fn() -> bool) -> CommandOutcome {
    if gone() {
        return CommandOutcome::Failed("its caller has gone".to_owned());
    }
    let known = || running.current.load().plan.models.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
    let unknown = || CommandOutcome::UnknownModel { known: known() };
    let looked = |model: &str, reload: &Reload| {
        let outcome = Reloaded { models: vec![outcome(model, reload)], ..Reloaded::default() };
        if reload.failures.is_empty() { CommandOutcome::Fine(outcome) } else { not_done(outcome) }
    };
    match order {
        AdminCommand::Reload => reload_all(running, gone),
        AdminCommand::ReloadModel(model) => {
            running.lifecycle.reload(&model).map_or_else(|_| unknown(), |reload| looked(&model, &reload))
        }
        AdminCommand::Load(model, version) => match running.lifecycle.load(&model, version) {
            Ok(reload) if reload.serving.contains(&version) => looked(&model, &reload),
            Ok(reload) => {
                let mut outcome = outcome(&model, &reload);
                if reload.failures.is_empty() {
                    outcome.error = Some(format!("the store has no version {version} of it"));
                }
                not_done(Reloaded { models: vec![outcome], ..Reloaded::default() })
            }
            Err(_) => unknown(),
        },
        AdminCommand::Unload(model, version) => match running.lifecycle.unload(&model, version) {
            Ok(reload) => looked(&model, &reload),
            Err(Refused::Unknown(_)) => unknown(),
            Err(refused) => {
                CommandOutcome::Refused(Reloaded { error: Some(refused.to_string()), ..Reloaded::default() })
            }
        },
    }
}

/// Looks at the files and at every model, whether anything seems to have changed or not; at no more models once `gone`
/// says that nobody waits for it.
pub fn reload_all(running: &Running, gone: &dyn Fn() -> bool) -> CommandOutcome {
    let applied = running.look_at_files(true);
    let names: Vec<String> = running.lifecycle.status().into_iter().map(|model| model.name).collect();
    let wanted = names.iter().take_while(|_| !gone());
    let looked = wanted.filter_map(|name| Some((name, running.lifecycle.look_again(name).ok()?)));
    let looked: Vec<(&String, Reload)> = looked.collect();
    let fine = applied.is_ok() && looked.iter().all(|(_, reload)| reload.failures.is_empty());
    let (generation, refused) = match applied {
        Ok(Applied::Changed(generation)) => (generation, None),
        Ok(Applied::Unchanged) => (running.current.load().generation, None),
        Err(text) => (running.current.load().generation, Some(text)),
    };
    let outcome = Reloaded {
        plan: Some(PlanReloaded { generation, refused }),
        models: looked.iter().map(|(name, reload)| outcome(name, reload)).collect(),
        error: None,
    };
    if fine { CommandOutcome::Fine(outcome) } else { not_done(outcome) }
}

/// An order that came to nothing, or not to all that it was for.
fn not_done(outcome: Reloaded) -> CommandOutcome {
    let refused = outcome.plan.as_ref().is_some_and(|plan| plan.refused.is_some());
    let mut failures = outcome.models.iter().flat_map(|model| &model.failures).peekable();
    let overdue = failures.peek().is_some() && failures.all(|failure| failure.cause == Cause::Timeout);
    if overdue && !refused { CommandOutcome::Overdue(outcome) } else { CommandOutcome::Refused(outcome) }
}

fn outcome(model: &str, reload: &Reload) -> ModelReloaded {
    let failure = |failure: &lifecycle::Failure| FailureReport {
        version: failure.version,
        cause: failure.cause,
        reason: failure.reason.clone(),
    };
    ModelReloaded {
        name: model.to_owned(),
        serving: reload.serving.clone(),
        loaded: reload.loaded.clone(),
        dropped: reload.dropped.clone(),
        failures: reload.failures.iter().map(failure).collect(),
        error: None,
    }
}
