//! Carries out what [`super::decide`] says: looks, loads, swaps.
//!
//! Everything here blocks and belongs on a thread of its own (`spawn_blocking`). Models do not wait for
//! each other: each is looked at under a lock of its own, which no request takes.

use super::cell::{Cell, Generation};
use super::check::Contract;
use super::decide::{Kept, Look, Next, Situation, Wanted, decide};
use super::load::{Loader, Order, load};
use super::state::ModelStatus;
use crate::plan::{self, DeviceId, Plan};
use crate::scheduler::{Device, Policy};
use crate::store::{self, Digest, VersionFiles};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Every model that is served, and how it came to be.
pub struct Lifecycle {
    loader: Arc<dyn Loader>,
    devices: Mutex<BTreeMap<DeviceId, Device>>,
    models: Mutex<BTreeMap<String, Arc<Model>>>,
}

/// A version that was wanted and does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub model: String,
    /// `None` where no version was found at all.
    pub version: Option<u64>,
    /// One a line.
    pub reason: String,
}

/// What a look at one model came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Versions that were loaded and now serve.
    pub loaded: Vec<u64>,
    /// Versions whose generation serves no more.
    pub dropped: Vec<u64>,
    /// All that serve, ascending.
    pub serving: Vec<u64>,
    pub failures: Vec<Failure>,
}

/// No model of that name is served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no model is called `{0}` here")]
pub struct Unknown(pub String);

/// One model's cell, and what is known beside it.
struct Model {
    cell: Arc<Cell>,
    work: Mutex<Work>,
    warning: Mutex<Option<String>>,
    config: Mutex<Config>,
}

#[derive(Clone)]
struct Config {
    store: PathBuf,
    wanted: Wanted,
    policy: Policy,
    contract: Contract,
    device: Device,
}

/// Held while a model is looked at.
#[derive(Default)]
struct Work {
    refused: BTreeSet<(u64, Digest)>,
}

// === impl Lifecycle ===

impl Lifecycle {
    /// Opens the devices that a plan names.
    pub fn new(loader: Arc<dyn Loader>) -> Self {
        Self::with_devices(loader, [])
    }

    /// With these devices opened already.
    pub fn with_devices(loader: Arc<dyn Loader>, devices: impl IntoIterator<Item = Device>) -> Self {
        let devices = devices.into_iter().map(|device| (device.id(), device)).collect();
        Self { loader, devices: Mutex::new(devices), models: Mutex::default() }
    }

    /// Makes what runs into what the plan says: starts what is new, stops what is gone, and looks at the
    /// store for the rest. What fails is returned and leaves what served before.
    pub fn apply(&self, plan: &Plan) -> std::io::Result<Vec<Failure>> {
        let mut wanted = BTreeMap::new();
        for (index, model) in plan.models.iter().enumerate() {
            let device = self.device(plan.devices.get(model.device).map_or(DeviceId::Cpu, |d| d.id))?;
            wanted.insert(model.name.clone(), config(plan, index, device));
        }
        let (models, gone) = {
            let mut running = lock(&self.models);
            let gone: Vec<_> = running.extract_if(.., |name, _| !wanted.contains_key(name)).collect();
            for (name, config) in wanted {
                match running.get(&name) {
                    Some(model) => *lock(&model.config) = config,
                    None => {
                        let cell = Cell::new(&name);
                        let (work, warning) = (Mutex::default(), Mutex::default());
                        running.insert(
                            name,
                            Arc::new(Model { cell, work, warning, config: Mutex::new(config) }),
                        );
                    }
                }
            }
            (running.values().cloned().collect::<Vec<_>>(), gone)
        };
        for (_, model) in gone {
            let _work = lock(&model.work);
            model.cell.serve(vec![]);
        }
        Ok(self.look_at_all(&models))
    }

    /// The cell of each model of the plan, in its order, once [`Lifecycle::apply`] has had it.
    pub fn cells(&self, plan: &Plan) -> Result<Vec<Arc<Cell>>, Unknown> {
        plan.models.iter().map(|model| self.model(&model.name).map(|model| model.cell.clone())).collect()
    }

    /// Looks at a model's versions in the store, and moves to what is new. Content that failed before is
    /// not tried again.
    pub fn refresh(&self, model: &str) -> Result<Reload, Unknown> {
        Ok(self.model(model)?.look(&*self.loader, false))
    }

    /// The same because somebody asks for it: what failed before is tried again.
    pub fn reload(&self, model: &str) -> Result<Reload, Unknown> {
        Ok(self.model(model)?.look(&*self.loader, true))
    }

    /// By name.
    pub fn status(&self) -> Vec<ModelStatus> {
        let models: Vec<_> = lock(&self.models).values().cloned().collect();
        models.iter().map(|model| model.status()).collect()
    }

    fn model(&self, name: &str) -> Result<Arc<Model>, Unknown> {
        lock(&self.models).get(name).cloned().ok_or_else(|| Unknown(name.to_owned()))
    }

    fn device(&self, id: DeviceId) -> std::io::Result<Device> {
        let mut devices = lock(&self.devices);
        if let Some(device) = devices.get(&id) {
            return Ok(device.clone());
        }
        let device = Device::open(id)?;
        devices.insert(id, device.clone());
        Ok(device)
    }

    /// Several at a time: loading waits for the disk and works on one core mostly.
    fn look_at_all(&self, models: &[Arc<Model>]) -> Vec<Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(models.len());
        let queue = Mutex::new(models.iter());
        let failures = Mutex::new(vec![]);
        let work = || {
            while let Some(model) = { lock(&queue).next() } {
                lock(&failures).extend(model.look(&*self.loader, true).failures);
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

fn config(plan: &Plan, index: usize, device: Device) -> Config {
    let model = &plan.models[index];
    Config {
        store: model.store.clone(),
        wanted: if model.latest { Wanted::Latest } else { Wanted::Listed(model.versions.clone()) },
        policy: Policy { share: model.share, batch: model.batch, queue: model.queue },
        contract: Contract {
            signature: model.signature.clone(),
            labels: labels_read(plan, index).into_iter().map(|name| (name, None)).collect(),
        },
        device,
    }
}

/// The names of the labels files that encodes read from beside the model.
fn labels_read(plan: &Plan, model: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for pipeline in &plan.pipelines {
        let entries: [&plan::Entry; 2] = [&pipeline.online, &pipeline.offline];
        let encodes = entries.into_iter().flat_map(|entry| &entry.encodes);
        for (position, name) in encodes.flat_map(|encode| &encode.sources).filter_map(|s| s.labels.as_ref()) {
            if pipeline.models.get(*position) == Some(&model) {
                names.insert(name.clone());
            }
        }
    }
    names
}

// === impl Model ===

impl Model {
    /// Does what is to be done, until there is nothing more. `again` tries what failed before.
    fn look(&self, loader: &dyn Loader, again: bool) -> Reload {
        let mut work = lock(&self.work);
        let config = lock(&self.config).clone();
        if again {
            work.refused.clear();
        }
        let served = self.cell.served();
        for generation in served.iter() {
            generation.instance.set_policy(config.policy);
        }
        let contract = Contract {
            signature: config.contract.signature.clone(),
            labels: with_counts(&config.contract.labels, served.last()),
        };
        let order = |version| Order {
            model: self.cell.name(),
            version,
            policy: config.policy,
            contract: &contract,
            device: &config.device,
        };
        let mut reload = Reload::default();
        let mut fail = |version: Option<u64>, reason: String| {
            let model = self.cell.name().to_owned();
            tracing::warn!(model, version, reason, "a version cannot be served");
            reload.failures.push(Failure { model, version, reason });
        };

        let in_store = self.versions_in_store(&config.store);
        let mut looks = BTreeMap::new();
        let mut files: BTreeMap<u64, VersionFiles> = BTreeMap::new();
        let mut loaded: Vec<Arc<Generation>> = served.to_vec();
        let (generations, kept) = loop {
            let known: Vec<(u64, Digest)> = loaded.iter().map(|g| (g.version, g.digest)).collect();
            let next = decide(&Situation {
                wanted: &config.wanted,
                in_store: in_store.as_deref().ok(),
                looks: &looks,
                loaded: &known,
                refused: &work.refused,
            });
            match next {
                Next::Look(version) => match store::read(&config.store, self.cell.name(), version) {
                    Ok(read) => {
                        looks.insert(version, Look::Is(read.digest));
                        // What will not be loaded need not be held.
                        if !known.contains(&(version, read.digest)) {
                            files.insert(version, read);
                        }
                    }
                    Err(error) => {
                        looks.insert(version, Look::Unreadable);
                        self.cell.records.unreadable(version, error.to_string());
                        fail(Some(version), error.to_string());
                    }
                },
                Next::Load(version) => {
                    // It was looked at before, or there would be nothing to load.
                    let Some(files) = files.remove(&version) else {
                        looks.insert(version, Look::Unreadable);
                        continue;
                    };
                    let digest = files.digest;
                    match load(loader, &order(version), files, &self.cell.records) {
                        Ok(generation) => loaded.push(generation),
                        Err(reason) => {
                            work.refused.insert((version, digest));
                            fail(Some(version), reason);
                        }
                    }
                }
                Next::Serve { generations, kept } => break (generations, kept),
            }
        };
        if generations.is_empty() && reload.failures.is_empty() {
            let reason = match &in_store {
                Err(reason) => reason.clone(),
                Ok(_) => format!("no wanted version is in `{}`", config.store.display()),
            };
            reload.failures.push(Failure { model: self.cell.name().to_owned(), version: None, reason });
        }
        *lock(&self.warning) = warning(kept, in_store.err());

        loaded.retain(|generation| generations.contains(&(generation.version, generation.digest)));
        let is_in = |list: &[Arc<Generation>], one| list.iter().any(|other| Arc::ptr_eq(other, one));
        let fresh = loaded.iter().filter(|g| !is_in(&served, g));
        reload.loaded = fresh.map(|g| g.version).collect();
        reload.dropped = served.iter().filter(|g| !is_in(&loaded, g)).map(|g| g.version).collect();
        reload.serving = generations.iter().map(|(version, _)| *version).collect();
        if !reload.loaded.is_empty() || !reload.dropped.is_empty() {
            self.cell.serve(loaded);
            tracing::info!(model = self.cell.name(), serving = ?reload.serving, "swapped");
        }
        reload
    }

    /// The model's versions in the store; an empty list where the store has no such model.
    fn versions_in_store(&self, root: &std::path::Path) -> Result<Vec<u64>, String> {
        let mut scan = store::scan(root).map_err(|error| error.to_string())?;
        match scan.models.remove(self.cell.name()) {
            Some(versions) => versions.map_err(|error| error.to_string()),
            None => Ok(vec![]),
        }
    }

    fn status(&self) -> ModelStatus {
        let served = self.cell.served();
        let config = lock(&self.config);
        ModelStatus {
            name: self.cell.name().to_owned(),
            device: config.device.id(),
            share: config.policy.share,
            serving: served.iter().map(|generation| generation.version).collect(),
            generations: self.cell.records.all(),
            warning: lock(&self.warning).clone(),
            counters: served.iter().map(|g| (g.version, g.instance.counters())).collect(),
        }
    }
}

/// The labels files that encodes read, each with its number of lines in what serves now.
fn with_counts(
    labels: &BTreeMap<String, Option<usize>>,
    serving: Option<&Arc<Generation>>,
) -> BTreeMap<String, Option<usize>> {
    let count = |name: &String| serving?.labels.get(name).map(|lines| lines.len());
    labels.keys().map(|name| (name.clone(), count(name))).collect()
}

fn warning(kept: Option<Kept>, store: Option<String>) -> Option<String> {
    match kept? {
        Kept::StoreUnreadable => {
            let reason = store.unwrap_or_default();
            Some(format!("the store cannot be read; what was loaded goes on serving: {reason}"))
        }
        Kept::NothingElse => {
            Some("no wanted version in the store can be served; what was loaded goes on serving".to_owned())
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
