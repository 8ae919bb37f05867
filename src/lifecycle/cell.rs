//! What serves for a model now, behind one pointer, and the generations that it points to.

use super::state::{Records, State, Track};
use crate::plan::{Labels, Signature};
use crate::scheduler::Replicas;
use crate::store::Digest;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A loaded version. It lives as long as somebody holds it; then it is taken off its device.
pub struct Generation {
    pub version: u64,
    pub digest: Digest,
    /// "surface@2".
    pub tag: String,
    pub signature: Arc<Signature>,
    /// By file name, the `.txt` files beside the model.
    pub labels: BTreeMap<String, Labels>,
    /// Reading, checking and placing it.
    pub load: Duration,
    /// Its first batches.
    pub warm_up: Duration,
    /// Its queues, one a device.
    pub replicas: Replicas,
    pub(super) track: Track,
}

/// One model as requests see it.
pub struct Cell {
    name: String,
    /// Ascending by version.
    served: ArcSwap<Vec<Arc<Generation>>>,
    pub(super) records: Records,
}

/// A model serves nothing yet, or no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model `{model}` is not ready")]
pub struct NotReady {
    pub model: String,
}

impl Cell {
    pub(super) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), served: ArcSwap::default(), records: Records::default() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the default version, the newest of those served. Whoever holds it keeps it alive.
    pub fn pin(&self) -> Result<Arc<Generation>, NotReady> {
        let served = self.served.load();
        served.last().cloned().ok_or_else(|| NotReady { model: self.name.clone() })
    }

    /// Takes one version, if it is served.
    pub fn pin_version(&self, version: u64) -> Option<Arc<Generation>> {
        self.served.load().iter().find(|generation| generation.version == version).cloned()
    }

    /// All that serve, ascending by version.
    pub fn served(&self) -> Arc<Vec<Arc<Generation>>> {
        self.served.load_full()
    }

    /// The swap: from here on requests take these. Those that serve no more drain.
    pub(super) fn serve(&self, mut generations: Vec<Arc<Generation>>) {
        generations.sort_by_key(|generation| generation.version);
        let old = self.served.load_full();
        let has = |list: &[Arc<Generation>], one| list.iter().any(|other| Arc::ptr_eq(other, one));
        for generation in generations.iter().filter(|generation| !has(&old, generation)) {
            generation.track.to(State::Ready);
        }
        for generation in old.iter().filter(|generation| !has(&generations, generation)) {
            generation.track.to(State::Draining);
        }
        self.served.store(Arc::new(generations));
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.track.to(State::Unloaded);
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.tag, self.digest)
    }
}
