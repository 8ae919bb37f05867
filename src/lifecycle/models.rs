//! All models: starts, stops and looks at them.
//!
//! Everything here blocks and belongs on a thread of its own (`spawn_blocking`). Models do not wait for
//! each other: each is looked at under a lock of its own, which no request takes.

use super::aside::Background;
use super::cell::Cell;
use super::config::{Config, Fit, PlanContext};
use super::load::{LoadContext, rounded};
use super::loader::Loader;
use super::model::{Failure, Model, Reload};
use super::precautions::Precautions;
use super::state::State;
use super::status::{DeviceStatus, ModelStatus};
use super::work::Again;
use crate::memory::Budget;
use crate::plan::{DeviceId, IdVec, ModelId, Plan};
use crate::scheduler::Device;
use crate::sync::{Mutex, lock};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Every model that is served, and how it came to be.
pub struct Lifecycle {
    context: LoadContext,
    devices: Mutex<BTreeMap<DeviceId, Device>>,
    /// The device of shadows on the CPU.
    aside: Mutex<Option<Device>>,
    models: Mutex<BTreeMap<String, Arc<Model>>>,
    /// Something serves: what is loaded from here on gives way to it.
    serves: AtomicBool,
}

/// A plan whose models are there, and which does not serve yet.
pub struct Staged {
    /// Every model of the plan by name, with what the plan says of it.
    models: Vec<(String, Arc<Model>, Config)>,
    /// What failed on the way. What serves in its place may do.
    pub failures: Vec<Failure>,
}

/// See [`Lifecycle::population`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Population(Vec<(String, Vec<(u64, State)>)>);

/// No model of that name is served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no model is called `{0}` here")]
pub struct Unknown(pub String);

/// A version is not to be taken out of service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error("version {version} is the only one of model `{model}` that answers")]
    Last { model: String, version: u64 },
    #[error("model `{model}` does not serve version {version}")]
    NotServed { model: String, version: u64 },
}

// === impl Population ===

#[cfg(test)]
impl Population {
    /// A population of generations that are ready.
    pub fn of<const N: usize>(models: [(&str, Vec<u64>); N]) -> Self {
        let ready = |ids: Vec<u64>| ids.into_iter().map(|id| (id, State::Ready)).collect();
        Self(models.into_iter().map(|(name, ids)| (name.to_owned(), ready(ids))).collect())
    }
}

// === impl Lifecycle ===

impl Lifecycle {
    /// Opens the devices that a plan names.
    pub fn new(loader: Arc<dyn Loader>) -> Self {
        Self::with_devices(loader, [])
    }

    /// A lifecycle with these devices opened already.
    pub fn with_devices(loader: Arc<dyn Loader>, devices: impl IntoIterator<Item = Device>) -> Self {
        let devices = devices.into_iter().map(|device| (device.id(), device)).collect();
        Self {
            context: LoadContext { loader, precautions: Precautions::within(&Budget::unlimited()) },
            devices: Mutex::new(devices),
            aside: Mutex::new(None),
            models: Mutex::new(BTreeMap::new()),
            serves: AtomicBool::new(false),
        }
    }

    /// Takes these precautions when models are read and loaded.
    pub fn with_precautions(mut self, precautions: Precautions) -> Self {
        self.context.precautions = precautions;
        self
    }

    pub fn precautions(&self) -> &Precautions {
        &self.context.precautions
    }

    /// Brings up what a plan needs and does not yet run, beside what serves, which goes on as it was: its shares,
    /// batches and queues are changed by [`Lifecycle::commit`] alone.
    pub fn stage(&self, plan: &Plan, fit: Option<Arc<dyn Fit>>) -> io::Result<Staged> {
        let context = Arc::new(PlanContext::new(fit));
        let running = lock(&self.models).clone();
        let mut models = vec![];
        let mut fresh = vec![];
        for (id, model) in plan.models.enumerate() {
            let ids = model.distinct_devices();
            let first = ids.first().copied().unwrap_or(DeviceId::Cpu);
            let devices = ids.into_iter().map(|id| self.device(id)).collect::<io::Result<Vec<_>>>()?;
            let aside = if model.rollout.shadow.is_some() { self.aside(first)? } else { self.device(first)? };
            let config = Config::new(plan, id, devices, aside, &context);
            let model = match running.get(&model.name) {
                Some(same) if same.planned().serves_alike(&config) => same.clone(),
                other => {
                    let model = Arc::new(match other {
                        Some(other) => other.follow(config.clone()),
                        None => Model::new(&model.name, config.clone()),
                    });
                    fresh.push(model.clone());
                    model
                }
            };
            models.push((model.cell.name().to_owned(), model, config));
        }
        let cells = models.iter().map(|(name, model, _)| (name.clone(), model.cell.clone()));
        *lock(&context.cells) = cells.collect();
        Ok(Staged { failures: self.look_at_all(&fresh), models })
    }

    /// Has a staged plan looked after from here on. What it has not goes on for those who hold it.
    pub fn commit(&self, staged: Staged) {
        let mut models = BTreeMap::new();
        for (name, model, config) in staged.models {
            model.commit(config);
            models.insert(name, model);
        }
        self.serves.store(true, Ordering::Release);
        let old = std::mem::replace(&mut *lock(&self.models), models.clone());
        for (name, model) in old {
            if models.get(&name).is_none_or(|now| !Arc::ptr_eq(now, &model)) {
                model.stop();
            }
        }
    }

    /// Gives up a staged plan. What serves was not changed by it, and is not now.
    pub fn dismiss(&self, staged: Staged) {
        let running = lock(&self.models).clone();
        for (name, model, _) in staged.models {
            if running.get(&name).is_none_or(|same| !Arc::ptr_eq(same, &model)) {
                model.stop();
            }
        }
    }

    /// Makes what runs into what the plan says. What fails is returned, and leaves what served before.
    pub fn apply(&self, plan: &Plan) -> io::Result<Vec<Failure>> {
        let staged = self.stage(plan, None)?;
        let failures = staged.failures.clone();
        self.commit(staged);
        Ok(failures)
    }

    /// The cell of each model of the plan, once [`Lifecycle::commit`] has had it.
    pub fn cells(&self, plan: &Plan) -> Result<IdVec<ModelId, Arc<Cell>>, Unknown> {
        plan.models.iter().map(|model| self.model(&model.name).map(|model| model.cell.clone())).collect()
    }

    /// Looks at a model's versions in the store, and moves to what is new. Content that failed before is
    /// not tried again.
    pub fn refresh(&self, model: &str) -> Result<Reload, Unknown> {
        Ok(self.look(&*self.model(model)?, Again::No))
    }

    /// Looks at a model because somebody asks for it: what failed before is tried again, and what is being written is
    /// waited for, for a while.
    pub fn look_again(&self, model: &str) -> Result<Reload, Unknown> {
        Ok(self.until_settled(&*self.model(model)?, Again::Failed))
    }

    /// Looks at a model because somebody asks for this very one: a load that took the process down is tried again too.
    pub fn reload(&self, model: &str) -> Result<Reload, Unknown> {
        Ok(self.until_settled(&*self.model(model)?, Again::All))
    }

    /// Serves a version beside what the plan asks for, until the plan is another.
    pub fn load(&self, model: &str, version: u64) -> Result<Reload, Unknown> {
        let model = self.model(model)?;
        model.ask_for(version, true);
        Ok(self.until_settled(&model, Again::All))
    }

    /// Serves a version no more, whatever the plan asks for, until the plan is another.
    pub fn unload(&self, model: &str, version: u64) -> Result<Reload, Refused> {
        let name = model;
        let model = self.model(name)?;
        let serving = model.cell.served();
        if !serving.generations().any(|one| one.version == version) {
            return Err(Refused::NotServed { model: name.to_owned(), version });
        }
        model.ask_for(version, false);
        let others = serving.answering.iter().any(|one| one.generation.version != version);
        drop(serving);
        let reload = self.until_settled(&model, Again::Failed);
        // "latest" may have found another one.
        if !others && reload.serving.contains(&version) {
            model.ask_for(version, true);
            self.look(&model, Again::No);
            return Err(Refused::Last { model: name.to_owned(), version });
        }
        Ok(reload)
    }

    /// The status of every model, by name.
    pub fn status(&self) -> Vec<ModelStatus> {
        let models: Vec<_> = lock(&self.models).values().cloned().collect();
        models.iter().map(|model| model.status()).collect()
    }

    /// The generations of each model: another population after each load, swap and unload.
    pub fn population(&self) -> Population {
        let models = lock(&self.models);
        Population(models.iter().map(|(name, model)| (name.clone(), model.cell.records.standing())).collect())
    }

    /// The devices that are open.
    pub fn devices(&self) -> Vec<DeviceStatus> {
        let devices: Vec<Device> = lock(&self.devices).values().cloned().collect();
        let status = |device: &Device| {
            let [busy_10s, busy_60s] = device.usage().busy.map(rounded);
            let (id, lanes, stuck) = (device.id(), device.lanes(), device.stuck());
            DeviceStatus { id, lanes, busy_10s, busy_60s, stuck }
        };
        devices.iter().map(status).collect()
    }

    fn model(&self, name: &str) -> Result<Arc<Model>, Unknown> {
        lock(&self.models).get(name).cloned().ok_or_else(|| Unknown(name.to_owned()))
    }

    fn device(&self, id: DeviceId) -> io::Result<Device> {
        let mut devices = lock(&self.devices);
        if let Some(device) = devices.get(&id) {
            return Ok(device.clone());
        }
        let device = Device::open(id)?;
        devices.insert(id, device.clone());
        Ok(device)
    }

    /// Where a shadow runs. On the CPU beside the lanes of those that serve; another device has one lane, on
    /// which it takes what is left idle.
    fn aside(&self, id: DeviceId) -> io::Result<Device> {
        if id != DeviceId::Cpu {
            return self.device(id);
        }
        let mut aside = lock(&self.aside);
        if let Some(device) = &*aside {
            return Ok(device.clone());
        }
        let device = Device::new(id, Background::start()?);
        *aside = Some(device.clone());
        Ok(device)
    }

    fn look(&self, model: &Model, again: Again) -> Reload {
        model.look(&self.context, self.serves.load(Ordering::Acquire), again)
    }

    /// Looks again until nothing is being written any more, for as long as a load may take.
    fn until_settled(&self, model: &Model, again: Again) -> Reload {
        let until = Instant::now() + model.config().rollout.load_timeout;
        let mut all = self.look(model, again);
        while let Some(pause) = all.again_in.filter(|pause| Instant::now() + *pause < until) {
            if model.pause(pause) {
                break;
            }
            let mut next = self.look(model, if again == Again::All { Again::Ordered } else { Again::No });
            next.loaded.splice(0..0, all.loaded);
            next.dropped.splice(0..0, all.dropped);
            next.failures.splice(0..0, all.failures);
            all = next;
        }
        all
    }

    /// Several at a time: loading waits for the disk and works on one core mostly.
    fn look_at_all(&self, models: &[Arc<Model>]) -> Vec<Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(models.len());
        let queue = Mutex::new(models.iter());
        let failures = Mutex::new(vec![]);
        let work = || {
            while let Some(model) = { lock(&queue).next() } {
                let found = self.until_settled(model, Again::Failed).failures;
                lock(&failures).extend(found);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        failures.sort_by(|a, b| (&a.model, a.version).cmp(&(&b.model, b.version)));
        failures
    }
}

// === impl Staged ===

impl Staged {
    /// The cell of each model, in the order of the plan.
    pub fn cells(&self) -> IdVec<ModelId, Arc<Cell>> {
        self.models.iter().map(|(_, model, _)| model.cell.clone()).collect()
    }

    /// Models that would serve nothing.
    pub fn without(&self) -> Vec<&str> {
        let without = self.models.iter().filter(|(_, model, _)| !model.cell.is_ready());
        without.map(|(name, ..)| name.as_str()).collect()
    }
}
