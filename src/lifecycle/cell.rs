//! What serves for a model now, behind one pointer.

use super::align::Align;
use super::choose::by_weight;
use super::generation::Generation;
use super::records::Records;
use super::shadow::Shadow;
use crate::sync::Pointer;
use std::sync::Arc;

/// A generation that answers, as one plan knows it.
#[derive(Clone)]
pub struct Answering {
    pub generation: Arc<Generation>,
    /// Where its ports are not those of the plan, place for place.
    pub align: Option<Arc<Align>>,
}

/// All that serves for a model at one moment.
#[derive(Clone, Default)]
pub struct Served {
    /// The versions that answer, ascending.
    pub answering: Vec<Answering>,
    /// Weights by version; empty where the newest answers all.
    pub traffic: Vec<(u64, f64)>,
    pub shadow: Option<Arc<Shadow>>,
}

/// The version of a model that one request takes.
#[derive(Clone)]
pub struct Picked {
    pub answering: Answering,
    /// Where a copy goes.
    pub shadow: Option<Arc<Shadow>>,
}

/// One model as requests see it.
pub struct Cell {
    name: String,
    served: Pointer<Served>,
    pub(super) records: Records,
}

/// A model has nothing for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It serves nothing yet, or no more.
    #[error("the model `{model}` is not ready")]
    Nothing { model: String },
    /// The request asks for a version that does not serve.
    #[error("model `{model}` does not serve version {version}")]
    Version { model: String, version: u64, served: Vec<u64> },
    /// The request asks for a version of a model that its pipeline does not call.
    #[error("this pipeline calls no model `{model}`")]
    Model { model: String, known: Vec<String> },
}

impl NotReady {
    pub fn model(&self) -> &str {
        match self {
            Self::Nothing { model } | Self::Version { model, .. } | Self::Model { model, .. } => model,
        }
    }
}

impl Cell {
    pub(super) fn new(name: &str, records: Records) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), served: Pointer::new(Served::default()), records })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the default version, the newest of those that answer. Whoever holds it keeps it alive.
    pub fn pin(&self) -> Result<Picked, NotReady> {
        self.choose(None, None)
    }

    /// Takes the version that is asked for; else, where the traffic is split, the one that `key` falls to;
    /// else the default.
    pub fn choose(&self, version: Option<u64>, key: Option<&[u8]>) -> Result<Picked, NotReady> {
        let served = self.served.load();
        let Some(newest) = served.answering.last() else {
            return Err(NotReady::Nothing { model: self.name.clone() });
        };
        let of = |version: u64| served.answering.iter().find(|one| one.generation.version == version);
        let versions = || served.answering.iter().map(|one| one.generation.version).collect::<Vec<u64>>();
        let chosen = match (version, key) {
            (Some(version), _) => of(version).ok_or_else(|| NotReady::Version {
                model: self.name.clone(),
                version,
                served: versions(),
            })?,
            (None, Some(key)) if !served.traffic.is_empty() => {
                by_weight(&versions(), &served.traffic, &self.name, key).and_then(of).unwrap_or(newest)
            }
            // A version that is compared with the others is not the default, where there is another.
            (None, _) => {
                let shadow = served.shadow.as_ref().map(|shadow| shadow.generation.version);
                let others = served.answering.iter().rfind(|one| Some(one.generation.version) != shadow);
                others.unwrap_or(newest)
            }
        };
        let compared = |shadow: &&Arc<Shadow>| shadow.generation.version != chosen.generation.version;
        Ok(Picked { answering: chosen.clone(), shadow: served.shadow.as_ref().filter(compared).cloned() })
    }

    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// Whether there is anything for a request.
    pub fn is_ready(&self) -> bool {
        !self.served.load().answering.is_empty()
    }

    /// Whether all that answers would take an item now, as far as is known without a look at the queues.
    pub fn is_roomy(&self) -> bool {
        self.served.load().answering.iter().all(|one| one.generation.replicas.is_roomy())
    }

    /// The swap: from here on requests take these. Those that serve no more drain, unless a cell of another plan
    /// serves them too.
    ///
    /// REQUIRES that one caller at a time writes the cell, and none once it is retired.
    pub(super) fn serve(&self, mut new: Served) {
        new.answering.sort_by_key(|one| one.generation.version);
        let old = self.served.load_full();
        for generation in new.generations().filter(|one| !old.has(one)) {
            generation.track.serves();
        }
        let new = Arc::new(new);
        self.served.store(new.clone());
        for generation in old.generations().filter(|one| !new.has(one)) {
            generation.track.serves_no_more();
        }
    }

    /// Gives the cell up: what serves here goes on for those who hold the cell, and drains unless another cell serves it too.
    ///
    /// REQUIRES that this is called once, by whoever may write the cell.
    pub(super) fn retire(&self) {
        for generation in self.served().generations() {
            generation.track.serves_no_more();
        }
    }
}

impl Served {
    /// All generations, the shadow's too.
    pub fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        let shadow = self.shadow.iter().map(|shadow| &shadow.generation);
        self.answering.iter().map(|one| &one.generation).chain(shadow)
    }

    pub fn versions(&self) -> Vec<u64> {
        self.answering.iter().map(|one| one.generation.version).collect()
    }

    fn has(&self, generation: &Arc<Generation>) -> bool {
        self.generations().any(|other| Arc::ptr_eq(other, generation))
    }
}

impl std::ops::Deref for Picked {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.answering.generation
    }
}

impl std::fmt::Debug for Picked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.answering.generation)
    }
}
