//! What is remembered from one look at a model to the next, and what of it is forgotten.

use super::cell::Served;
use super::config::Config;
use super::generation::Generation;
use super::notes::LoadNote;
use super::scan::Scanner;
use crate::plan::memory::Allowed;
use crate::store::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

/// The facts about a model that are remembered from one look to the next.
#[derive(Default)]
pub(super) struct Work {
    /// Generations that failed, and will again.
    pub refused: BTreeSet<(u64, Digest)>,
    /// The refused generations for which there was no memory, and the conditions of that moment.
    pub crowded: BTreeMap<(u64, Digest), MemoryConditions>,
    /// The latest load of each generation, for as long as it goes on: one that is overdue does.
    pub going: BTreeMap<(u64, Digest), Weak<LoadNote>>,
    pub scanner: Scanner,
    /// Generations to begin with, that serve under another plan.
    pub adopted: Vec<Arc<Generation>>,
}

/// The failures of before that are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    /// Nothing that this order has tried; what an earlier process remembers does not stand against it.
    Ordered,
    /// All refusals but those of loads that took a process down or did not come back.
    Failed,
    All,
}

/// The conditions on which it depends whether there is memory for a generation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MemoryConditions {
    serving: Vec<(u64, Digest)>,
    allowed: Vec<Option<Allowed>>,
    batch: usize,
    stop_first: bool,
}

impl MemoryConditions {
    pub(super) fn now(config: &Config, served: &Served) -> Self {
        Self {
            serving: served.generations().map(|one| (one.version, one.digest)).collect(),
            allowed: config.targets.iter().map(|target| target.memory).collect(),
            batch: config.targets.first().map_or(0, |target| target.policy.batch.max),
            stop_first: config.rollout.stop_first,
        }
    }
}

impl Work {
    pub(super) fn beginning_with(adopted: Vec<Arc<Generation>>) -> Self {
        Self { adopted, ..Self::default() }
    }

    /// Forgets what is to be tried again; where nothing is, what lacked memory under other conditions.
    pub(super) fn begin(&mut self, again: Again, now: &MemoryConditions) {
        if matches!(again, Again::Failed | Again::All) {
            self.refused.clear();
            self.crowded.clear();
            self.scanner.forget();
        }
        let Self { refused, crowded, .. } = self;
        crowded.retain(|generation, then| {
            let as_then = then == now;
            if !as_then {
                refused.remove(generation);
            }
            as_then
        });
    }
}
