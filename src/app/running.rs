//! What runs: the plan that is served, and how another one takes its place in one step.

use super::bring_up::{self, nothing_of};
use super::compile::{Compiled, Files};
use super::fit::PlanFit;
use super::handler::Served;
use super::token::token;
use super::{Listen, Overrides, Trouble, memory};
use crate::diagnostic::{At, Diagnostic, Report, SourceText, Span, render};
use crate::flow::{self, CodecThreads};
use crate::ingress::{ClientRules, DynamicConfig, Handler, Metrics, Routes};
use crate::lifecycle::{Failure, Fit, Lifecycle, Staged};
use crate::memory::Budget;
use crate::plan::{Address, Capacity, Facts, Plan};
use crate::spec::Spec;
use crate::sync::{Mutex, lock};
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};
use tokio::sync::Notify;

pub struct Running {
    /// The pipeline files and folders of them, as on the command line.
    pub paths: Vec<PathBuf>,
    pub overrides: Overrides,
    pub lifecycle: Arc<Lifecycle>,
    pub metrics: Arc<Metrics>,
    /// The memory of the process.
    pub memory: Budget,
    config: Arc<DynamicConfig>,
    pub current: ArcSwap<Current>,
    /// Told after each plan that was applied.
    pub applied: Notify,
    pub begun: Instant,
    /// Looks that were given up because the files could not be applied.
    pub refusals: AtomicU64,
    refused: Mutex<Option<Refusal>>,
    /// Held while files are looked at: their texts as they were last looked at.
    looked: Mutex<Option<Files>>,
    /// Where bodies are read, items decoded and answers encoded.
    pub threads: CodecThreads,
}

/// The plan that is served.
pub struct Current {
    pub plan: Arc<Plan>,
    pub capacity: Capacity,
    pub files: Vec<PathBuf>,
    /// What it was compiled from.
    texts: Files,
    facts: Facts,
    /// How many plans there have been, this one included.
    pub generation: u64,
    pub since: SystemTime,
}

/// Files that could not be applied.
#[derive(Clone)]
pub struct Refusal {
    pub at: SystemTime,
    pub text: String,
}

/// The result of a look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Unchanged,
    /// The plan of this generation is served.
    Changed(u64),
}

impl Running {
    pub fn new(
        paths: &[PathBuf],
        overrides: &Overrides,
        compiled: &Compiled,
        lifecycle: &Arc<Lifecycle>,
        metrics: &Arc<Metrics>,
        memory: &Budget,
        config: &Arc<DynamicConfig>,
    ) -> Arc<Self> {
        Arc::new(Self {
            paths: paths.to_vec(),
            overrides: overrides.clone(),
            lifecycle: lifecycle.clone(),
            metrics: metrics.clone(),
            memory: memory.clone(),
            config: config.clone(),
            current: ArcSwap::from_pointee(Current::of(compiled, 0)),
            applied: Notify::new(),
            begun: Instant::now(),
            refusals: AtomicU64::new(0),
            refused: Mutex::default(),
            looked: Mutex::new(Some(compiled.texts.clone())),
            threads: CodecThreads::reserving_from(memory),
        })
    }

    /// Brings up the first plan. Blocks. A model of which nothing serves then is an error.
    pub fn begin(&self, compiled: &Compiled) -> Result<(), Trouble> {
        let staged = bring_up::stage_all(&self.lifecycle, &compiled.plan, fit(compiled))?;
        self.commit(compiled, staged)
    }

    /// Looks at the files and applies them, if they are others than before or `again` asks for it. Blocks.
    /// With any error nothing changes; it is in the log and in the status.
    pub fn look_at_files(&self, again: bool) -> Result<Applied, String> {
        let mut looked = lock(&self.looked);
        let result = self.compile_and_apply(&mut looked, again);
        match result {
            Ok(Applied::Unchanged) => Ok(Applied::Unchanged),
            Ok(applied) => {
                *lock(&self.refused) = None;
                tracing::info!(generation = self.current.load().generation, "the pipeline files are applied");
                self.applied.notify_waiters();
                Ok(applied)
            }
            Err(trouble) => {
                let text = said(&trouble);
                let mut refused = lock(&self.refused);
                if refused.as_ref().is_none_or(|before| before.text != text) {
                    tracing::error!("the pipeline files are not applied, what runs goes on:\n{text}");
                }
                self.refusals.fetch_add(1, Ordering::Relaxed);
                *refused = Some(Refusal { at: SystemTime::now(), text: text.clone() });
                Err(text)
            }
        }
    }

    /// The files are those that are served, again or still.
    fn taken_back(&self) {
        if lock(&self.refused).take().is_some() {
            tracing::info!("the pipeline files are those that are served");
        }
    }

    pub fn refusal(&self) -> Option<Refusal> {
        lock(&self.refused).clone()
    }

    fn compile_and_apply(&self, looked: &mut Option<Files>, again: bool) -> Result<Applied, Trouble> {
        let files = match Files::read(&self.paths) {
            Ok(files) => files,
            Err(trouble) => {
                // Said once, and looked at again as soon as they can be read.
                let unread = looked.take().is_none();
                return if unread && !again { Ok(Applied::Unchanged) } else { Err(trouble) };
            }
        };
        if !again && looked.as_ref() == Some(&files) {
            return Ok(Applied::Unchanged);
        }
        *looked = Some(files.clone());
        let current = self.current.load_full();
        let as_served = current.texts == files;
        if as_served && !again {
            self.taken_back();
            return Ok(Applied::Unchanged);
        }
        let compiled = Compiled::of(files, self.lifecycle.precautions(), true)?;
        self.changeable(&compiled)?;
        let token = token(&compiled.plan)?;
        if as_served && current.facts == compiled.facts {
            self.taken_back();
            self.config.set_token(token);
            return Ok(Applied::Unchanged);
        }
        let staged = bring_up::stage(&self.lifecycle, &compiled.plan, fit(&compiled))?;
        let listed = |failure: &&Failure| {
            let model = compiled.plan.models.iter().find(|model| model.name == failure.model);
            model.is_some_and(|model| !model.latest)
        };
        let failed: Vec<&Failure> = staged.failures.iter().filter(listed).collect();
        let why = nothing_of(&staged).or_else(|| (!failed.is_empty()).then(|| bring_up::lines(failed)));
        if let Some(why) = why {
            self.lifecycle.dismiss(staged);
            return Err(bring_up::cannot_load(&why));
        }
        self.commit(&compiled, staged)?;
        self.config.set_token(token);
        Ok(Applied::Changed(self.current.load().generation))
    }

    /// The one step: from here on requests come by the new routes, which lead to the new plan. Those that
    /// came by the old ones end on the old plan.
    fn commit(&self, compiled: &Compiled, staged: Staged) -> Result<(), Trouble> {
        let plan = &compiled.plan;
        let cells = staged.cells();
        let handlers = plan.pipelines.iter().map(|pipeline| {
            let flow = flow::Pipeline::new(pipeline.clone(), &cells, self.threads.clone());
            Arc::new(Served::new(flow, plan)) as Arc<dyn Handler>
        });
        let routes = match Routes::new(handlers.collect(), &self.metrics) {
            Ok(routes) => routes,
            Err(error) => {
                self.lifecycle.dismiss(staged);
                return Err(Trouble::Given(error));
            }
        };
        let generation = self.current.load().generation + 1;
        self.lifecycle.commit(staged);
        self.current.store(Arc::new(Current::of(compiled, generation)));
        self.memory.set_limit(memory::limit(plan));
        self.config.set_max_body(plan.server.max_body);
        self.config.set_keep_alive(plan.server.keep_alive);
        self.config.set_admin_hosts(admin_hosts(plan, &self.overrides));
        self.config.set_client_rules(client_rules(plan));
        self.config.set_routes(routes);
        Ok(())
    }

    /// What needs a listener to be bound again cannot be changed while rserve runs.
    fn changeable(&self, compiled: &Compiled) -> Result<(), Trouble> {
        let current = self.current.load();
        let (was, now) = (&current.plan.server, &compiled.plan.server);
        let mut report = Report::default();
        if was.listen != now.listen && self.overrides.listen.is_none() {
            let place = place(&compiled.specs, |server| server.listen.as_ref().map(place_of));
            report.push(bound("listen", &was.listen.to_string(), &now.listen.to_string(), place));
        }
        if was.admin != now.admin && self.overrides.admin == Listen::AsPlanned {
            let place = place(&compiled.specs, |server| server.admin.as_ref().map(place_of));
            let text = |admin: &Option<Address>| admin.as_ref().map_or("off".into(), Address::to_string);
            report.push(bound("admin", &text(&was.admin), &text(&now.admin), place));
        }
        if was.health != now.health {
            let place = place(&compiled.specs, |server| server.health.as_ref().map(place_of));
            let text =
                |health: &Option<Address>| health.as_ref().map_or("left out".into(), Address::to_string);
            report.push(bound("health", &text(&was.health), &text(&now.health), place));
        }
        if report.has_errors() { Err(Trouble::Wrong(report)) } else { Ok(()) }
    }
}

/// The bounds of one client.
pub fn client_rules(plan: &Plan) -> ClientRules {
    ClientRules { per_client: plan.server.per_client, proxies: plan.server.proxies.clone() }
}

/// The names of the admin listener: those that are listed, and that by which it listens.
pub fn admin_hosts(plan: &Plan, overrides: &Overrides) -> Vec<String> {
    let own = overrides.admin.or(plan.server.admin.as_ref()).map(|address| address.host);
    plan.server.admin_hosts.iter().cloned().chain(own).collect()
}

/// Whether a new version fits, is for the plan to say.
fn fit(compiled: &Compiled) -> Option<Arc<dyn Fit>> {
    let Compiled { specs, facts, plan, capacity, .. } = compiled;
    Some(Arc::new(PlanFit::new(specs, facts, plan, capacity)))
}

impl Current {
    fn of(compiled: &Compiled, generation: u64) -> Self {
        Self {
            plan: compiled.plan.clone(),
            capacity: compiled.capacity.clone(),
            files: compiled.files.clone(),
            texts: compiled.texts.clone(),
            facts: compiled.facts.clone(),
            generation,
            since: SystemTime::now(),
        }
    }
}

fn place_of<T>(at: &At<T>) -> Span {
    at.place.clone()
}

fn place(specs: &[Spec], find: impl Fn(&crate::spec::Server) -> Option<Span>) -> Span {
    let found = specs.iter().filter_map(|spec| find(spec.server.as_ref()?)).next();
    let first = || specs.first().map_or_else(|| SourceText::new("", ""), |spec| spec.source.clone());
    found.unwrap_or_else(|| Span::new(&first(), 0..0))
}

fn bound(key: &str, was: &str, now: &str, place: Span) -> Diagnostic {
    Diagnostic::error(format!("`{key}` cannot be changed while rserve runs"))
        .at(&place, format!("it is {was} until rserve is started again"))
        .help(format!(
            "start rserve again to have it at {now}, or put it back: the other changes are then applied"
        ))
}

fn said(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Wrong(report) | Trouble::StoreUnreadable(report) => {
            render(report, false).trim_end().to_owned()
        }
        Trouble::Given(text) | Trouble::CouldNotRun(text) => text.clone(),
    }
}
