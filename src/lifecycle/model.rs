//! One model: its cell, what its plan says of it, and who may change either.

use super::cell::{Cell, Served};
use super::config::Config;
use super::fault::Cause;
use super::generation::Generation;
use super::memory::LoadedGenerations;
use super::records::Records;
use super::status::{InstanceStatus, ModelStatus};
use super::work::Work;
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// A version that was wanted and does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub model: String,
    /// `None` where no version was found at all.
    pub version: Option<u64>,
    pub cause: Cause,
    /// The reasons, one a line.
    pub reason: String,
}

/// The result of a look at one model's versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Versions that were loaded and now serve.
    pub loaded: Vec<u64>,
    /// Versions whose generation serves no more.
    pub dropped: Vec<u64>,
    /// All versions that answer, ascending.
    pub serving: Vec<u64>,
    pub failures: Vec<Failure>,
    /// Files have changed too lately to be taken; they are to be looked at again after this time.
    pub again_in: Option<Duration>,
}

/// One model's cell, and what is known beside it.
pub(super) struct Model {
    pub(super) cell: Arc<Cell>,
    /// Held while the model's versions are looked at, which may take minutes.
    pub(super) work: Mutex<Work>,
    /// Held by whoever changes what the cell serves or the plan that it serves by, so that there is one
    /// writer at a time. Never held while a model is read or loaded.
    phase: Mutex<Phase>,
    /// Told when the model is stopped.
    stopped: Condvar,
    warning: Mutex<Option<String>>,
    config: Mutex<Config>,
    by_hand: Mutex<ByHand>,
    pub(super) loaded: LoadedGenerations,
}

/// The stage of the plan that a model is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The model is of a plan that is staged. Generations that it has from the plan that serves keep that one's policy.
    Staged,
    /// The model is of the plan that serves.
    Committed,
    /// The model is of no plan any more. What the cell serves goes on for those who hold it.
    Stopped,
}

/// Versions that were asked for or refused by hand, until the next plan is committed.
#[derive(Clone, Default)]
struct ByHand {
    more: BTreeSet<u64>,
    less: BTreeSet<u64>,
}

// === impl Model ===

impl Model {
    pub(super) fn new(name: &str, config: Config) -> Self {
        Self::with(name, config, Records::default(), LoadedGenerations::default(), vec![])
    }

    /// Makes the same model under another plan: it begins with what serves under this one.
    pub(super) fn follow(&self, config: Config) -> Self {
        let adopted = self.cell.served().generations().cloned().collect();
        Self::with(self.cell.name(), config, self.cell.records.clone(), self.loaded.clone(), adopted)
    }

    fn with(
        name: &str,
        config: Config,
        records: Records,
        loaded: LoadedGenerations,
        adopted: Vec<Arc<Generation>>,
    ) -> Self {
        Self {
            cell: Cell::new(name, records),
            work: Mutex::new(Work::beginning_with(adopted)),
            phase: Mutex::new(Phase::Staged),
            stopped: Condvar::new(),
            warning: Mutex::new(None),
            config: Mutex::new(config),
            by_hand: Mutex::new(ByHand::default()),
            loaded,
        }
    }

    /// The plan for the model, with the versions that were asked for by hand.
    pub(super) fn config(&self) -> Config {
        let mut config = lock(&self.config).clone();
        let by_hand = lock(&self.by_hand).clone();
        config.wanted.more = by_hand.more;
        config.wanted.less = by_hand.less;
        config
    }

    /// The plan for the model, without the versions that were asked for by hand.
    pub(super) fn planned(&self) -> Config {
        lock(&self.config).clone()
    }

    /// The right to change what the cell serves.
    pub(super) fn phase(&self) -> MutexGuard<'_, Phase> {
        lock(&self.phase)
    }

    /// Takes the model into the plan that serves: what it serves goes by the policy and the split of the traffic
    /// that this plan gives it, and what was asked for by hand is over.
    pub(super) fn commit(&self, config: Config) {
        let mut phase = self.phase();
        *phase = Phase::Committed;
        *lock(&self.by_hand) = ByHand::default();
        *lock(&self.config) = config.clone();
        let served = self.cell.served();
        for generation in served.generations() {
            config.set_policy(generation);
        }
        if served.traffic != config.rollout.traffic {
            self.cell.serve(Served { traffic: config.rollout.traffic, ..(*served).clone() });
        }
    }

    /// Looks no more, and gives up what is being loaded. What serves goes on for those who hold the cell.
    pub(super) fn stop(&self) {
        let mut phase = self.phase();
        if *phase != Phase::Stopped {
            *phase = Phase::Stopped;
            self.cell.retire();
        }
        self.stopped.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.phase() == Phase::Stopped
    }

    /// Waits for this time, or until the model is stopped; whether it is.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut phase = self.phase();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if *phase == Phase::Stopped || left.is_zero() {
                return *phase == Phase::Stopped;
            }
            phase = self.stopped.wait_timeout(phase, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn ask_for(&self, version: u64, wanted: bool) {
        let mut by_hand = lock(&self.by_hand);
        let ByHand { more, less } = &mut *by_hand;
        let (into, out) = if wanted { (more, less) } else { (less, more) };
        into.insert(version);
        out.remove(&version);
    }

    /// Shows a warning in the status until the next one, and logs one that is new.
    pub(super) fn warn(&self, warning: Option<String>) {
        let mut shown = lock(&self.warning);
        if let Some(warning) = warning.as_ref().filter(|_| *shown != warning) {
            tracing::warn!(model = self.cell.name(), "{warning}");
        }
        *shown = warning;
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
            places: config.targets.iter().map(|target| target.status(self.cell.name())).collect(),
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
