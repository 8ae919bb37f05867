//! One model: looks at its versions, loads, swaps, as [`super::decide`] says.

use super::align::align;
use super::cell::{Answering, Cell, Generation, Served};
use super::config::Config;
use super::decide::{Kept, Look, Next, Situation, decide};
use super::load::{Fault, Loader, Order, inspect};
use super::look::Eyes;
use super::room::Living;
use super::shadow::Shadow;
use super::state::{Cause, InstanceStatus, ModelStatus, Records};
use crate::plan::memory::Allowed;
use crate::store::{self, Digest, VersionFiles};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A version that was wanted and does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub model: String,
    /// `None` where no version was found at all.
    pub version: Option<u64>,
    pub cause: Cause,
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
    /// All that answer, ascending.
    pub serving: Vec<u64>,
    pub failures: Vec<Failure>,
    /// Files have changed too lately to be taken, and are to be looked at again after so long.
    pub again_in: Option<Duration>,
}

/// One model's cell, and what is known beside it.
pub(super) struct Model {
    pub(super) cell: Arc<Cell>,
    work: Mutex<Work>,
    warning: Mutex<Option<String>>,
    config: Mutex<Config>,
    by_hand: Mutex<ByHand>,
    /// The plan has the model no more, or has it as another.
    stopped: AtomicBool,
    living: Living,
}

/// Versions that were asked for beside the plan, until the next one.
#[derive(Clone, Default)]
struct ByHand {
    more: BTreeSet<u64>,
    less: BTreeSet<u64>,
}

/// Held while a model is looked at.
#[derive(Default)]
struct Work {
    refused: BTreeSet<(u64, Digest)>,
    /// Of these, those for which there was no memory, and how things were then.
    crowded: BTreeMap<(u64, Digest), Circumstances>,
    eyes: Eyes,
    /// Generations to begin with, that served under another plan.
    adopted: Vec<Arc<Generation>>,
}

/// What it depends on whether there is memory for a generation.
#[derive(Clone, Debug, PartialEq)]
struct Circumstances {
    serving: Vec<(u64, Digest)>,
    allowed: Vec<Option<Allowed>>,
    batch: usize,
    stop_first: bool,
}

/// One look, from the first question to the swap.
struct Pass<'a> {
    model: &'a Model,
    loader: &'a Arc<dyn Loader>,
    config: Config,
    work: MutexGuard<'a, Work>,
    in_store: Result<Vec<u64>, String>,
    looks: BTreeMap<u64, Look>,
    files: BTreeMap<u64, VersionFiles>,
    loaded: Vec<Arc<Generation>>,
    /// When the look began.
    circumstances: Circumstances,
    reload: Reload,
    background: bool,
}

// === impl Model ===

impl Model {
    pub(super) fn new(name: &str, config: Config) -> Self {
        Self::with(name, config, Records::default(), Living::default(), vec![])
    }

    /// The same model under another plan: it begins with what served under this one.
    pub(super) fn follow(&self, config: Config) -> Self {
        let adopted = self.cell.served().generations().cloned().collect();
        Self::with(self.cell.name(), config, self.cell.records.clone(), self.living.clone(), adopted)
    }

    fn with(
        name: &str,
        config: Config,
        records: Records,
        living: Living,
        adopted: Vec<Arc<Generation>>,
    ) -> Self {
        Self {
            cell: Cell::new(name, records),
            work: Mutex::new(Work { adopted, ..Work::default() }),
            warning: Mutex::default(),
            config: Mutex::new(config),
            by_hand: Mutex::default(),
            stopped: AtomicBool::new(false),
            living,
        }
    }

    pub(super) fn config(&self) -> Config {
        let mut config = lock(&self.config).clone();
        let by_hand = lock(&self.by_hand).clone();
        config.wanted.more = by_hand.more;
        config.wanted.less = by_hand.less;
        config
    }

    /// What the plan says, without what was asked for by hand.
    pub(super) fn planned(&self) -> Config {
        lock(&self.config).clone()
    }

    /// Another policy, and another split of the traffic, for what serves.
    pub(super) fn set_config(&self, config: Config) {
        let served = self.cell.served();
        for generation in served.generations() {
            config.set_policy(generation);
        }
        if served.traffic != config.rollout.traffic {
            self.cell.serve(Served { traffic: config.rollout.traffic.clone(), ..(*served).clone() });
        }
        *lock(&self.by_hand) = ByHand::default();
        *lock(&self.config) = config;
    }

    /// Looks no more, and gives up what it loads. What serves goes on for those who hold the cell.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(super) fn ask_for(&self, version: u64, wanted: bool) {
        let mut by_hand = lock(&self.by_hand);
        let ByHand { more, less } = &mut *by_hand;
        let (into, out) = if wanted { (more, less) } else { (less, more) };
        into.insert(version);
        out.remove(&version);
    }

    /// Does what is to be done, until there is nothing more. `again` tries what failed before.
    pub(super) fn look(&self, loader: &Arc<dyn Loader>, background: bool, again: bool) -> Reload {
        let mut work = lock(&self.work);
        if self.stopped.load(Ordering::Acquire) {
            return Reload::default();
        }
        let config = self.config();
        if again {
            work.refused.clear();
            work.crowded.clear();
            work.eyes.forget();
        }
        let circumstances = self.circumstances(&config);
        let Work { refused, crowded, .. } = &mut *work;
        crowded.retain(|generation, then| {
            let as_then = *then == circumstances;
            if !as_then {
                refused.remove(generation);
            }
            as_then
        });
        let served = self.cell.served();
        let mut loaded: Vec<Arc<Generation>> = served.generations().cloned().collect();
        loaded.append(&mut work.adopted);
        // What is on another device, or cannot answer by this plan, is as good as not loaded.
        loaded.retain(|generation| {
            config.has_in_place(generation)
                && generation.shadow != config.wanted.answers(generation.version)
                && align(&config.contract, &generation.facts.signature).is_ok()
        });
        for generation in &loaded {
            config.set_policy(generation);
        }
        let in_store = store::versions(&config.store, self.cell.name()).map_err(|error| error.to_string());
        let pass = Pass {
            model: self,
            loader,
            config,
            work,
            in_store,
            looks: BTreeMap::new(),
            files: BTreeMap::new(),
            loaded,
            circumstances,
            reload: Reload::default(),
            background,
        };
        drop(served);
        pass.run()
    }

    fn circumstances(&self, config: &Config) -> Circumstances {
        let served = self.cell.served();
        Circumstances {
            serving: served.generations().map(|one| (one.version, one.digest)).collect(),
            allowed: config.places.iter().map(|place| place.memory).collect(),
            batch: config.places.first().map_or(0, |place| place.policy.batch.max),
            stop_first: config.rollout.stop_first,
        }
    }

    pub(super) fn status(&self) -> ModelStatus {
        let served = self.cell.served();
        let config = self.config();
        let listed = config.wanted.listed.iter().map(|version| format!("{version}, "));
        let wanted = if config.wanted.latest { "latest".to_owned() } else { listed.collect() };
        let by_hand = |word: &str, versions: &BTreeSet<u64>| -> String {
            versions.iter().map(|version| format!(", {word}{version} by hand")).collect()
        };
        ModelStatus {
            name: self.cell.name().to_owned(),
            share: config.share,
            places: config.places.iter().map(|place| place.status(self.cell.name())).collect(),
            wanted: wanted.trim_end_matches(", ").to_owned()
                + &by_hand("", &config.wanted.more)
                + &by_hand("not ", &config.wanted.less),
            serving: served.versions(),
            traffic: served.traffic.iter().copied().collect(),
            shadow: served.shadow.as_ref().map(|shadow| shadow.comparison()),
            generations: self.cell.records.all(),
            warning: lock(&self.warning).clone(),
            loads: self.cell.records.loads(),
            instances: served.generations().flat_map(|generation| instances(generation)).collect(),
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

// === impl Pass ===

impl Pass<'_> {
    fn run(mut self) -> Reload {
        loop {
            if self.model.stopped.load(Ordering::Acquire) {
                return self.reload;
            }
            let (generations, kept) = match self.next() {
                Next::Look(version) => {
                    self.look_at(version);
                    continue;
                }
                Next::Load(version) => {
                    self.load(version);
                    continue;
                }
                Next::Serve { generations, kept } => (generations, kept),
            };
            if !self.serve(&generations) {
                continue;
            }
            if generations.is_empty() && self.reload.failures.is_empty() && self.reload.again_in.is_none() {
                let reason = match &self.in_store {
                    Err(reason) => reason.clone(),
                    Ok(_) => format!("no wanted version is in `{}`", self.config.store.display()),
                };
                self.failed(None, &Fault::new(Cause::Unreadable, reason));
            }
            let warning = self.warning(kept);
            let mut shown = lock(&self.model.warning);
            if let Some(warning) = warning.as_ref().filter(|_| *shown != warning) {
                tracing::warn!(model = self.model.cell.name(), "{warning}");
            }
            *shown = warning;
            return self.reload;
        }
    }

    fn next(&self) -> Next {
        let known: Vec<(u64, Digest)> = self.loaded.iter().map(|g| (g.version, g.digest)).collect();
        decide(&Situation {
            wanted: &self.config.wanted,
            in_store: self.in_store.as_deref().ok(),
            looks: &self.looks,
            loaded: &known,
            refused: &self.work.refused,
        })
    }

    fn failed(&mut self, version: Option<u64>, fault: &Fault) {
        let model = self.model.cell.name().to_owned();
        self.reload.failures.push(Failure {
            model,
            version,
            cause: fault.cause,
            reason: fault.reason.clone(),
        });
    }

    fn look_at(&mut self, version: u64) {
        let (work, loaded) = (&mut *self.work, &self.loaded);
        let refused = &work.refused;
        let known = |digest| {
            loaded.iter().any(|g| (g.version, g.digest) == (version, digest))
                || refused.contains(&(version, digest))
        };
        let settle = self.config.settle;
        let name = self.model.cell.name();
        let loader = self.loader;
        match work.eyes.look(&self.config.store, name, version, settle, loader.format(), &known) {
            Ok(seen) => {
                self.looks.insert(version, seen.look);
                self.files.extend(seen.files.map(|files| (version, files)));
                let sooner = self.reload.again_in.into_iter().chain(seen.again_in).min();
                self.reload.again_in = sooner;
            }
            Err(error) => {
                self.looks.insert(version, Look::Unreadable);
                let reason = error.to_string();
                if self.model.cell.records.unreadable(version, &reason) {
                    tracing::warn!(model = name, version, reason, "cannot be read");
                }
                self.failed(Some(version), &Fault::new(Cause::Unreadable, reason));
            }
        }
    }

    /// Loads a version that was looked at. What it comes to is in `loaded`, or refused.
    fn load(&mut self, version: u64) {
        let Some(files) = self.files.remove(&version) else {
            // They were not kept, as it was loaded then; it is read again.
            self.looks.remove(&version);
            self.work.eyes.forget();
            return;
        };
        let digest = files.digest;
        match self.bring_up(version, files) {
            Ok(generation) => {
                self.work.eyes.took(version);
                self.loaded.push(generation);
            }
            Err(fault) if fault.cause == Cause::Overtaken => {
                tracing::info!(model = self.model.cell.name(), version, reason = fault.reason, "given up");
                self.looks.remove(&version);
            }
            Err(fault) => {
                self.work.refused.insert((version, digest));
                self.work.eyes.refused(version);
                if fault.cause == Cause::Memory {
                    self.work.crowded.insert((version, digest), self.circumstances.clone());
                }
                let reason = fault.reason.as_str();
                tracing::warn!(model = self.model.cell.name(), version, reason, "cannot be served");
                self.failed(Some(version), &fault);
            }
        }
    }

    fn bring_up(&mut self, version: u64, files: VersionFiles) -> Result<Arc<Generation>, Fault> {
        let config = &self.config;
        let shadow = !config.wanted.answers(version);
        let order = Order {
            loader: self.loader.clone(),
            model: self.model.cell.name().to_owned(),
            places: config.places(shadow).to_vec(),
            shadow,
            limit: config.rollout.load_timeout,
            living: self.model.living.clone(),
            replaces: !shadow && self.loaded.iter().any(|one| self.replaces(version, one)),
            background: self.background,
        };
        let inspected = inspect(order, version, files, &self.model.cell.records)?;
        if let Err(fault) = self.fits(version, inspected.facts()).and_then(|()| self.still_wanted(version)) {
            return Err(inspected.give_up(fault));
        }
        if self.config.rollout.stop_first && !shadow {
            self.stop_first(version);
        }
        let placed = inspected.place()?;
        if let Err(fault) = self.still_wanted(version) {
            return Err(placed.give_up(fault));
        }
        placed.warm_up()
    }

    fn fits(&self, version: u64, facts: &crate::plan::VersionFacts) -> Result<(), Fault> {
        let misfit = |reason| Fault::new(Cause::Misfit, reason);
        self.config.surroundings.fits(self.model.cell.name(), version, facts).map_err(misfit)?;
        align(&self.config.contract, &facts.signature).map_err(misfit)?;
        Ok(())
    }

    /// Whether what is being loaded is still what is to be loaded next.
    fn still_wanted(&mut self, version: u64) -> Result<(), Fault> {
        let overtaken = |reason: String| Err(Fault::new(Cause::Overtaken, reason));
        if self.model.stopped.load(Ordering::Acquire) {
            return overtaken("the plan has the model no more".to_owned());
        }
        if !self.work.eyes.is_as_it_was(&self.config.store, self.model.cell.name(), version) {
            return overtaken("its files changed while it was being loaded".to_owned());
        }
        let name = self.model.cell.name();
        self.in_store = store::versions(&self.config.store, name).map_err(|error| error.to_string());
        loop {
            match self.next() {
                Next::Load(next) if next == version => return Ok(()),
                Next::Load(newer) => {
                    return overtaken(format!("version {newer} came before it was ready"));
                }
                Next::Look(other) => self.look_at(other),
                Next::Serve { .. } => return overtaken("it is no longer in the store".to_owned()),
            }
        }
    }

    /// Whether a generation is to go once this version serves.
    fn replaces(&self, version: u64, generation: &Generation) -> bool {
        !generation.shadow && (self.config.wanted.latest || generation.version == version)
    }

    /// Takes out of service what this version is to replace, and waits until it is gone.
    fn stop_first(&mut self, version: u64) {
        let goes = |generation: &Arc<Generation>| self.replaces(version, generation);
        let old = self.model.cell.served();
        let going: Vec<Weak<Generation>> =
            old.generations().filter(|one| goes(one)).map(Arc::downgrade).collect();
        if going.is_empty() {
            return;
        }
        let mut left = (*old).clone();
        left.answering.retain(|one| !goes(&one.generation));
        drop(old);
        let stays: Vec<Arc<Generation>> = self.loaded.iter().filter(|one| !goes(one)).cloned().collect();
        self.loaded = stays;
        self.model.cell.serve(left);
        tracing::info!(model = self.model.cell.name(), version, "stopped, to load this version");
        let patience = Instant::now() + self.config.rollout.load_timeout;
        while going.iter().any(|one| one.strong_count() > 0) && Instant::now() < patience {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// The swap, if all that is new still fits; else it is refused, and there is more to decide.
    fn serve(&mut self, generations: &[(u64, Digest)]) -> bool {
        let surroundings = self.config.surroundings.clone();
        let _alone = lock(&surroundings.swapping);
        let old = self.model.cell.served();
        let is = |one: &Arc<Generation>, at: &(u64, Digest)| (one.version, one.digest) == *at;
        let new: Vec<Arc<Generation>> =
            generations.iter().filter_map(|at| self.loaded.iter().find(|one| is(one, at)).cloned()).collect();
        let has = |list: &[Arc<Generation>], one: &Arc<Generation>| list.iter().any(|o| Arc::ptr_eq(o, one));
        let before: Vec<Arc<Generation>> = old.generations().cloned().collect();
        for generation in new.iter().filter(|one| !has(&before, one)) {
            if let Err(fault) = self.fits(generation.version, &generation.facts) {
                generation.track.failed(fault.cause, &fault.reason);
                self.work.refused.insert((generation.version, generation.digest));
                self.loaded.retain(|one| !Arc::ptr_eq(one, generation));
                self.failed(Some(generation.version), &fault);
                return false;
            }
        }
        let served = self.served(&new, &old);
        let versions = |list: &[Arc<Generation>], others: &[Arc<Generation>]| -> Vec<u64> {
            list.iter().filter(|one| !has(others, one)).map(|one| one.version).collect()
        };
        let reload = &mut self.reload;
        reload.loaded = versions(&new, &before);
        reload.dropped = versions(&before, &new);
        reload.serving = served.versions();
        let changed = !reload.loaded.is_empty() || !reload.dropped.is_empty();
        if changed || served.traffic != old.traffic {
            self.model.cell.serve(served);
        }
        if changed {
            if !before.is_empty() {
                self.model.cell.records.swapped();
            }
            tracing::info!(model = self.model.cell.name(), serving = ?self.reload.serving, "swapped");
        }
        self.loaded.clear();
        true
    }

    fn served(&self, generations: &[Arc<Generation>], old: &Served) -> Served {
        let wanted = &self.config.wanted;
        let aligned = |generation: &Arc<Generation>| {
            // It was checked before it came here.
            align(&self.config.contract, &generation.facts.signature).ok().flatten().map(Arc::new)
        };
        let compared = generations.iter().find(|one| Some(one.version) == wanted.shadow);
        let shadow = compared.map(|generation| match &old.shadow {
            Some(shadow) if Arc::ptr_eq(&shadow.generation, generation) => shadow.clone(),
            _ => Shadow::new(generation.clone(), aligned(generation)),
        });
        let answering = generations.iter().filter(|one| !one.shadow);
        let answering = answering
            .map(|generation| Answering { generation: generation.clone(), align: aligned(generation) })
            .collect();
        Served { answering, traffic: self.config.rollout.traffic.clone(), shadow }
    }

    fn warning(&self, kept: Option<Kept>) -> Option<String> {
        let on = "what was loaded goes on serving";
        match kept {
            Some(Kept::StoreUnreadable) => {
                let reason = self.in_store.as_ref().err().cloned().unwrap_or_default();
                Some(format!("the store cannot be read; {on}: {reason}"))
            }
            Some(Kept::NothingElse) => Some(format!("no wanted version in the store can be served; {on}")),
            None => {
                let there = self.in_store.as_ref().ok()?;
                let wanted = &self.config.wanted;
                let asked = wanted.listed.iter().chain(&wanted.shadow).chain(&wanted.more);
                let gone: BTreeSet<u64> = asked.copied().filter(|version| !there.contains(version)).collect();
                let gone: Vec<String> = gone.iter().map(u64::to_string).collect();
                (!gone.is_empty()).then(|| format!("not in the store: version {}", gone.join(", ")))
            }
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
