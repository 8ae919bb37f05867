//! One model: looks at its versions, loads, swaps, as [`super::decide`] says.

use super::cell::{Cell, Generation};
use super::check::Contract;
use super::decide::{Kept, Look, Next, Situation, Wanted, decide};
use super::load::{Loader, Order, Place, load};
use super::state::{InstanceStatus, ModelStatus};
use crate::plan::memory::Allowed;
use crate::plan::{self, Plan};
use crate::scheduler::{Device, Policy};
use crate::store::{self, Digest, Stamp, StoreError, VersionFiles};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

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

/// One model's cell, and what is known beside it.
pub(super) struct Model {
    pub(super) cell: Arc<Cell>,
    work: Mutex<Work>,
    warning: Mutex<Option<String>>,
    config: Mutex<Config>,
}

#[derive(Clone)]
pub(super) struct Config {
    store: PathBuf,
    wanted: Wanted,
    /// What one replica holds of its device.
    share: f64,
    contract: Contract,
    places: Vec<Place>,
}

/// Held while a model is looked at.
#[derive(Default)]
struct Work {
    refused: BTreeSet<(u64, Digest)>,
    /// By version, its files as they were when they were last read whole, and their digest: so that a look
    /// does not read again what has not changed.
    seen: BTreeMap<u64, (Stamp, Digest)>,
    /// The plan has the model no more.
    stopped: bool,
}

// === impl Config ===

impl Config {
    /// Of the plan's model at `index`; `devices` are its distinct ones, opened.
    pub(super) fn new(plan: &Plan, index: usize, devices: Vec<Device>) -> Self {
        let model = &plan.models[index];
        let place = |device: Device| {
            let on = |d: &&usize| plan.devices.get(**d).is_some_and(|d| d.id == device.id());
            let replicas = model.devices.iter().filter(on).count().max(1);
            let policy = Policy {
                share: model.share * replicas as f64,
                batch: model.batch.clone(),
                queue: model.queue,
                lanes: usize::MAX,
            };
            let memory = plan.devices.iter().find(|d| d.id == device.id()).and_then(|d| d.memory);
            let memory = Allowed::new(memory, policy.share);
            Place { device, replicas, policy, memory }
        };
        Self {
            store: model.store.clone(),
            wanted: if model.latest { Wanted::Latest } else { Wanted::Listed(model.versions.clone()) },
            share: model.share,
            contract: Contract {
                signature: model.signature.clone(),
                labels: labels_read(plan, index).into_iter().map(|name| (name, None)).collect(),
            },
            places: devices.into_iter().map(place).collect(),
        }
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
    pub(super) fn new(name: &str, config: Config) -> Self {
        Self {
            cell: Cell::new(name),
            work: Mutex::default(),
            warning: Mutex::default(),
            config: Mutex::new(config),
        }
    }

    /// Holds from the next look on.
    pub(super) fn set_config(&self, config: Config) {
        *lock(&self.config) = config;
    }

    /// Serves nothing more, once a look that is under way has ended.
    pub(super) fn stop(&self) {
        let mut work = lock(&self.work);
        work.stopped = true;
        self.cell.serve(vec![]);
    }

    /// Does what is to be done, until there is nothing more. `again` tries what failed before.
    pub(super) fn look(&self, loader: &dyn Loader, again: bool) -> Reload {
        let mut work = lock(&self.work);
        if work.stopped {
            return Reload::default();
        }
        let config = lock(&self.config).clone();
        if again {
            work.refused.clear();
            work.seen.clear();
        }
        let served = self.cell.served();
        for generation in served.iter() {
            for instance in generation.replicas.iter() {
                if let Some(place) = config.places.iter().find(|p| p.device.id() == instance.device()) {
                    instance.set_policy(place.policy.clone());
                }
            }
        }
        let contract = Contract {
            signature: config.contract.signature.clone(),
            labels: with_counts(&config.contract.labels, served.last()),
        };
        let order =
            |version| Order { model: self.cell.name(), version, contract: &contract, places: &config.places };
        let mut reload = Reload::default();
        let failure = |version, reason| Failure { model: self.cell.name().to_owned(), version, reason };
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
                Next::Look(version) => {
                    match self.look_at(loader, &config.store, version, &known, &mut work) {
                        Ok((digest, read)) => {
                            looks.insert(version, Look::Is(digest));
                            files.extend(read.map(|read| (version, read)));
                        }
                        Err(error) => {
                            looks.insert(version, Look::Unreadable);
                            let reason = error.to_string();
                            if self.cell.records.unreadable(version, reason.clone()) {
                                tracing::warn!(model = self.cell.name(), version, reason, "cannot be read");
                            }
                            reload.failures.push(failure(Some(version), reason));
                        }
                    }
                }
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
                            tracing::warn!(model = self.cell.name(), version, reason, "cannot be served");
                            reload.failures.push(failure(Some(version), reason));
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
            reload.failures.push(failure(None, reason));
        }
        *lock(&self.warning) = warning(kept, in_store.err());

        loaded.retain(|generation| generations.contains(&(generation.version, generation.digest)));
        self.swap(&served, loaded, &mut reload);
        reload
    }

    /// Serves these instead of what is served.
    fn swap(&self, served: &[Arc<Generation>], mut new: Vec<Arc<Generation>>, reload: &mut Reload) {
        new.sort_by_key(|generation| generation.version);
        let without = |list: &[Arc<Generation>], others: &[Arc<Generation>]| -> Vec<u64> {
            let stays = |one: &&Arc<Generation>| others.iter().any(|other| Arc::ptr_eq(other, one));
            list.iter().filter(|one| !stays(one)).map(|generation| generation.version).collect()
        };
        reload.loaded = without(&new, served);
        reload.dropped = without(served, &new);
        reload.serving = new.iter().map(|generation| generation.version).collect();
        if !reload.loaded.is_empty() || !reload.dropped.is_empty() {
            self.cell.serve(new);
            tracing::info!(model = self.cell.name(), serving = ?reload.serving, "swapped");
        }
    }

    /// The digest of a version, and its files where they may have to be loaded.
    fn look_at(
        &self,
        loader: &dyn Loader,
        root: &Path,
        version: u64,
        loaded: &[(u64, Digest)],
        work: &mut Work,
    ) -> Result<(Digest, Option<VersionFiles>), StoreError> {
        let settled =
            |digest| loaded.contains(&(version, digest)) || work.refused.contains(&(version, digest));
        let before = store::stamp(root, self.cell.name(), version)?;
        if let Some((stamp, digest)) = work.seen.get(&version)
            && *stamp == before
            && settled(*digest)
        {
            return Ok((*digest, None));
        }
        let files = store::read(root, self.cell.name(), version, &|onnx| loader.data_files(onnx))?;
        let digest = files.digest;
        // What will not be loaded need not be held.
        let files = (!settled(digest)).then_some(files);
        let unchanged = store::stamp(root, self.cell.name(), version).is_ok_and(|after| after == before);
        if unchanged && before.is_old(SystemTime::now()) {
            work.seen.insert(version, (before, digest));
        } else {
            work.seen.remove(&version);
        }
        Ok((digest, files))
    }

    /// The model's versions in the store; an empty list where the store has no such model.
    fn versions_in_store(&self, root: &Path) -> Result<Vec<u64>, String> {
        let mut scan = store::scan(root).map_err(|error| error.to_string())?;
        match scan.models.remove(self.cell.name()) {
            Some(versions) => versions.map_err(|error| error.to_string()),
            None => Ok(vec![]),
        }
    }

    pub(super) fn status(&self) -> ModelStatus {
        let served = self.cell.served();
        let config = lock(&self.config);
        ModelStatus {
            name: self.cell.name().to_owned(),
            share: config.share,
            places: config.places.iter().map(|place| place.status(self.cell.name())).collect(),
            serving: served.iter().map(|generation| generation.version).collect(),
            generations: self.cell.records.all(),
            warning: lock(&self.warning).clone(),
            instances: served.iter().flat_map(|generation| instances(generation)).collect(),
        }
    }
}

fn instances(generation: &Generation) -> impl Iterator<Item = InstanceStatus> + '_ {
    generation.replicas.iter().map(|instance| InstanceStatus {
        version: generation.version,
        device: instance.device(),
        memory_weights: instance.runner().memory().weights,
        memory_batch: instance.runner().memory().batch,
        counters: instance.counters(),
    })
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
