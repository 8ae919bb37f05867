//! One look at a model, from the first question to the swap, as [`super::decide`] says.

use super::access::StoreAccess;
use super::align::align;
use super::cell::{Answering, Served};
use super::config::Config;
use super::decide::{KeepReason, Next, Situation, Snapshot, decide};
use super::fault::{Cause, Fault};
use super::generation::Generation;
use super::load::{LoadContext, LoadRequest, inspect};
use super::model::{Failure, Model, Phase, Reload};
use super::notes::Remembered;
use super::shadow::Shadow;
use super::work::{Again, MemoryConditions, Work};
use crate::store::{Digest, VersionFiles};
use crate::sync::{MutexGuard, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One look, from the first question to the swap.
struct Pass<'a> {
    model: &'a Model,
    context: &'a LoadContext,
    /// The plan's, as it was when the pass began; [`Pass::serve`] takes it anew.
    config: Config,
    work: MutexGuard<'a, Work>,
    in_store: Result<Vec<u64>, Fault>,
    snapshots: BTreeMap<u64, Snapshot>,
    files: BTreeMap<u64, VersionFiles>,
    /// Generations that serve or could at once.
    loaded: Vec<Arc<Generation>>,
    /// The conditions when the pass began.
    conditions: MemoryConditions,
    reload: Reload,
    background: bool,
    again: Again,
}

impl Model {
    /// Looks at the model's versions and does what is to be done, until there is nothing more. `background` work gives
    /// way to what serves.
    pub(super) fn look(&self, context: &LoadContext, background: bool, again: Again) -> Reload {
        Pass::begin(self, context, background, again).map(Pass::run).unwrap_or_default()
    }
}

impl<'a> Pass<'a> {
    /// Begins a look. `background` work gives way to what serves. `None` where
    /// the model is stopped.
    fn begin(model: &'a Model, context: &'a LoadContext, background: bool, again: Again) -> Option<Self> {
        let mut work = lock(&model.work);
        if model.is_stopped() {
            return None;
        }
        let config = model.config();
        let served = model.cell.served();
        let conditions = MemoryConditions::now(&config, &served);
        work.begin(again, &conditions);
        let mut loaded: Vec<Arc<Generation>> = served.generations().cloned().collect();
        loaded.append(&mut work.adopted);
        // What is on another device, or cannot answer by this plan, is as good as not loaded.
        loaded.retain(|generation| {
            config.has_in_place(generation)
                && generation.declaration == config.declaration
                && generation.shadow != config.wanted.answers(generation.version)
                && align(&config.contract, &generation.facts.signature).is_ok()
        });
        let in_store = access(&config, model, context, background).versions();
        if let Ok(in_store) = &in_store {
            model.cell.records.forget_failures(|version| !in_store.contains(&version));
        }
        Some(Self {
            model,
            context,
            config,
            work,
            in_store,
            snapshots: BTreeMap::new(),
            files: BTreeMap::new(),
            loaded,
            conditions,
            reload: Reload::default(),
            background,
            again,
        })
    }

    fn access(&self) -> StoreAccess<'_> {
        access(&self.config, self.model, self.context, self.background)
    }

    fn run(mut self) -> Reload {
        loop {
            if self.model.is_stopped() {
                return self.reload;
            }
            let (generations, kept) = match self.next() {
                Next::Scan(version) => {
                    self.scan(version);
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
            if let Err(fault) = self.in_store.clone() {
                self.failed(None, &fault);
            } else if generations.is_empty()
                && self.reload.failures.is_empty()
                && self.reload.again_in.is_none()
            {
                let nothing = format!("no wanted version is in `{}`", self.config.store.display());
                self.failed(None, &Fault::new(Cause::Unreadable, nothing));
            }
            self.model.warn(self.warning(kept));
            return self.reload;
        }
    }

    fn next(&self) -> Next {
        let known: Vec<(u64, Digest)> = self.loaded.iter().map(|g| (g.version, g.digest)).collect();
        decide(&Situation {
            wanted: &self.config.wanted,
            in_store: self.in_store.as_deref().ok(),
            snapshots: &self.snapshots,
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

    fn scan(&mut self, version: u64) {
        let (work, loaded) = (&mut *self.work, &self.loaded);
        let refused = &work.refused;
        let known = |digest| {
            loaded.iter().any(|g| (g.version, g.digest) == (version, digest))
                || refused.contains(&(version, digest))
        };
        let settle = self.config.settle;
        let name = self.model.cell.name();
        let access = access(&self.config, self.model, self.context, self.background);
        match work.scanner.scan(&access, version, settle, &known) {
            Ok(scan) => {
                self.snapshots.insert(version, scan.snapshot);
                self.files.extend(scan.files.map(|files| (version, files)));
                let sooner = self.reload.again_in.into_iter().chain(scan.again_in).min();
                self.reload.again_in = sooner;
            }
            Err(fault) => {
                self.snapshots.insert(version, Snapshot::Unreadable);
                if self.model.cell.records.unreadable(version, &fault) {
                    tracing::warn!(model = name, version, reason = fault.reason, "cannot be read");
                }
                self.failed(Some(version), &fault);
            }
        }
    }

    /// Loads a version that was scanned. It is then in `loaded`, or refused.
    fn load(&mut self, version: u64) {
        let Some(files) = self.files.remove(&version) else {
            // They were not kept, as it was loaded then; it is read again.
            self.snapshots.remove(&version);
            self.work.scanner.forget();
            return;
        };
        let digest = files.digest;
        match self.bring_up(version, files) {
            Ok(generation) => {
                self.work.scanner.took(version);
                self.loaded.push(generation);
            }
            Err(fault) if fault.cause == Cause::Overtaken => {
                tracing::info!(model = self.model.cell.name(), version, reason = fault.reason, "given up");
                self.snapshots.remove(&version);
            }
            Err(fault) => {
                self.work.refused.insert((version, digest));
                self.work.scanner.refused(version);
                if fault.cause == Cause::Memory {
                    self.work.crowded.insert((version, digest), self.conditions.clone());
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
        let notes = &self.context.precautions.notes;
        if matches!(self.again, Again::No | Again::Failed)
            && let Some(Remembered { cause, reason }) = notes.known(files.digest)
        {
            self.model.cell.records.track(version, Some(files.digest)).failed(cause, &reason);
            return Err(Fault::new(cause, reason));
        }
        self.work.going.retain(|_, going| going.strong_count() > 0);
        if self.work.going.contains_key(&(version, files.digest)) {
            return Err(Fault::new(Cause::Timeout, "an earlier load of it has not come back"));
        }
        let note = Arc::new(notes.begin(self.model.cell.name(), version, files.digest));
        self.work.going.insert((version, files.digest), Arc::downgrade(&note));
        let request = LoadRequest {
            loader: self.context.loader.clone(),
            model: self.model.cell.name().to_owned(),
            targets: config.targets(shadow).to_vec(),
            shadow,
            limit: config.rollout.load_timeout,
            declaration: config.declaration.clone(),
            feeds: config.feeds.clone(),
            warm: config.warm,
            loaded: self.model.loaded.clone(),
            replaces: !shadow && self.loaded.iter().any(|one| self.replaces(version, one)),
            background: self.background,
            note,
        };
        let inspected = inspect(request, version, files, &self.model.cell.records)?;
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
        self.config.context.fits(self.model.cell.name(), version, facts).map_err(misfit)?;
        align(&self.config.contract, &facts.signature).map_err(misfit)?;
        Ok(())
    }

    /// Whether what is being loaded is still what is to be loaded next.
    fn still_wanted(&mut self, version: u64) -> Result<(), Fault> {
        let overtaken = |reason: String| Err(Fault::new(Cause::Overtaken, reason));
        if self.model.is_stopped() {
            return overtaken("the plan has the model no more".to_owned());
        }
        if !self.work.scanner.is_as_it_was(&self.access(), version) {
            return overtaken("its files changed while it was being loaded".to_owned());
        }
        self.in_store = self.access().versions();
        loop {
            match self.next() {
                Next::Load(next) if next == version => return Ok(()),
                Next::Load(newer) => {
                    return overtaken(format!("version {newer} came before it was ready"));
                }
                Next::Scan(other) => self.scan(other),
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
        let phase = self.model.phase();
        let old = self.model.cell.served();
        let going: Vec<u64> =
            old.generations().filter(|one| goes(one)).map(|one| one.presence.id()).collect();
        if going.is_empty() || *phase == Phase::Stopped {
            return;
        }
        let mut left = (*old).clone();
        left.answering.retain(|one| !goes(&one.generation));
        drop(old);
        let stays: Vec<Arc<Generation>> = self.loaded.iter().filter(|one| !goes(one)).cloned().collect();
        self.model.cell.serve(left);
        drop(phase);
        self.loaded = stays;
        tracing::info!(model = self.model.cell.name(), version, "stopped, to load this version");
        let loaded = &self.model.loaded;
        loaded.wait_until(self.config.rollout.load_timeout, || going.iter().all(|id| loaded.is_gone(*id)));
    }

    /// The swap, if all that is new still fits and nothing else has come to be wanted; else there is more to
    /// decide. What was loaded under an older plan is served by the policy of the one that holds now.
    fn serve(&mut self, generations: &[(u64, Digest)]) -> bool {
        let model = self.model;
        let context = model.config().context;
        let _alone = lock(&context.swapping);
        let phase = model.phase();
        let config = model.config();
        let is_stale = config.wanted != self.config.wanted || !Arc::ptr_eq(&config.context, &context);
        self.config = config;
        if is_stale || *phase == Phase::Stopped {
            return false;
        }
        let old = model.cell.served();
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
            if *phase == Phase::Committed {
                self.config.set_policy(generation);
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
            model.cell.serve(served);
        }
        drop(phase);
        if changed {
            if !before.is_empty() {
                model.cell.records.swapped();
            }
            tracing::info!(model = model.cell.name(), serving = ?self.reload.serving, "swapped");
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

    fn warning(&self, kept: Option<KeepReason>) -> Option<String> {
        let on = "what was loaded goes on serving";
        match kept {
            Some(KeepReason::StoreUnreadable) => {
                let reason =
                    self.in_store.as_ref().err().map(|fault| fault.reason.clone()).unwrap_or_default();
                Some(format!("the store cannot be read; {on}: {reason}"))
            }
            Some(KeepReason::NothingElse) => {
                Some(format!("no wanted version in the store can be served; {on}"))
            }
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

fn access<'a>(
    config: &'a Config,
    model: &'a Model,
    context: &'a LoadContext,
    background: bool,
) -> StoreAccess<'a> {
    StoreAccess {
        root: &config.store,
        model: model.cell.name(),
        texts: &config.texts,
        context,
        limit: config.rollout.load_timeout,
        background,
    }
}
