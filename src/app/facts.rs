//! What the store holds of the models that are asked for, read and inspected side by side.

use crate::codec;
use crate::engine;
use crate::engine::LoadError;
use crate::lifecycle::{BRIEF, OpenError, Precautions, Remembered};
use crate::memory::Reservation;
use crate::plan::{Array, Facts, ModelFacts, StoreRoot, VersionFacts, VersionsWanted};
use crate::store::{self, MODEL_FILE, Reading, StoreError, VersionFiles};
use crate::sync::{Mutex, lock};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

pub struct Gathered {
    pub facts: Facts,
    /// A store is there and cannot be read.
    pub unreadable: bool,
}

/// `needs` are the models wanted, by store. Of the others in a store the names alone are told.
pub fn gather(
    needs: &BTreeMap<StoreRoot, BTreeMap<String, VersionsWanted>>,
    precautions: &Precautions,
    background: bool,
) -> Gathered {
    let mut gathered = Gathered { facts: Facts::default(), unreadable: false };
    for (path, models) in needs {
        let root = path.path.clone();
        let store = match precautions.looks.look(path, BRIEF, false, move || store::scan(&root)) {
            Ok(Ok(scan)) => Ok(side_by_side(scan.models, |(model, versions)| {
                let facts = models.get(&model).map(|wanted| {
                    let read =
                        |version| version_facts(path, &model, version, wanted, precautions, background);
                    model_facts(versions.unwrap_or_default(), wanted, read)
                });
                (model, facts.unwrap_or_default())
            })
            .into_iter()
            .collect()),
            Err(error) => {
                gathered.unreadable = true;
                Err(error.to_string())
            }
            Ok(Err(error)) => {
                gathered.unreadable |= matches!(error, StoreError::Forbidden(_) | StoreError::Io { .. });
                Err(error.to_string())
            }
        };
        gathered.facts.stores.insert(path.path.clone(), store);
    }
    gathered
}

/// What there is to know of a model that has these versions. `read` waits for the disk.
fn model_facts(
    versions: Vec<u64>,
    wanted: &VersionsWanted,
    read: impl Fn(u64) -> Result<VersionFacts, String> + Sync,
) -> ModelFacts {
    let mut others: BTreeSet<u64> = versions.into_iter().collect();
    let listed: Vec<u64> = others.intersection(&wanted.listed).copied().collect();
    let mut facts: BTreeMap<u64, _> =
        side_by_side(listed, |version| (version, read(version))).into_iter().collect();
    if wanted.latest {
        // From the newest down to one that can be served.
        for version in others.iter().rev() {
            if facts.entry(*version).or_insert_with(|| read(*version)).is_ok() {
                break;
            }
        }
    }
    others.retain(|version| !facts.contains_key(version));
    ModelFacts { versions: facts, others }
}

/// Does the same with each, on threads that wait for one another alone: the pool that computes goes on.
fn side_by_side<T: Send, R: Send>(
    all: impl IntoIterator<Item = T, IntoIter: Send>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let queue = Mutex::new(all.into_iter());
    let done = Mutex::new(vec![]);
    let run = || {
        while let Some(one) = { lock(&queue).next() } {
            let result = work(one);
            lock(&done).push(result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn version_facts(
    store: &StoreRoot,
    model: &str,
    version: u64,
    wanted: &VersionsWanted,
    precautions: &Precautions,
    background: bool,
) -> Result<VersionFacts, String> {
    let place = store.join(model).join(version.to_string());
    let (store, model, texts) = (store.clone(), model.to_owned(), wanted.texts.clone());
    let Precautions { memory, notes, looks } = precautions.clone();
    let looked = looks.look(&place, wanted.load_timeout, background, move || {
        let reading = Reading { format: &engine::Onnx, texts: &texts, memory: &memory };
        let files = store::read(&store, &model, version, reading).map_err(|e| e.to_string())?;
        if let Some(Remembered { reason, .. }) = notes.known(files.digest) {
            return Err(reason);
        }
        let _held = files.held.clone();
        let note = notes.begin(&model, version, files.digest);
        let facts = facts_of(files).inspect_err(|error| {
            if error.lasting {
                note.refused(&error.reason);
            }
        });
        facts.map(|(_, facts)| facts).map_err(|error| error.reason)
    });
    looked.unwrap_or_else(|error| Err(error.to_string()))
}

/// A model and what it declares, or every reason why it cannot be run, one a line.
pub fn facts_of(mut files: VersionFiles) -> Result<(engine::Model, VersionFacts), OpenError> {
    let mut labels = std::mem::take(&mut files.labels);
    let texts = std::mem::take(&mut files.texts);
    let arrays = std::mem::take(&mut files.arrays).into_iter().map(array).collect::<Result<_, _>>()?;
    let model = engine::open(files.into_model()).map_err(refused)?;
    let inspection = model.inspect().map_err(refused)?;
    if !inspection.unsupported.is_empty() {
        let lines: Vec<String> =
            inspection.unsupported.iter().map(|node| format!("not supported: {node}")).collect();
        return Err(OpenError::new(&lines.join("\n"), true));
    }
    labels.extend(inspection.classes.map(|classes| (MODEL_FILE.to_owned(), classes)));
    let facts = VersionFacts {
        signature: Arc::new(inspection.signature),
        labels,
        texts,
        arrays,
        weights: inspection.weights,
    };
    Ok((model, facts))
}

/// A file beside a model as the array that it holds.
fn array((name, (file, held)): (String, (Bytes, Arc<Reservation>))) -> Result<(String, Array), OpenError> {
    match codec::npy_tensor(file) {
        Ok(tensor) => Ok((name, Array { tensor, held })),
        Err(error) => Err(OpenError::new(&format!("{name}: {error}"), true)),
    }
}

fn refused(error: LoadError) -> OpenError {
    let lasting = matches!(error, LoadError::NotOnnx(_) | LoadError::Invalid(_) | LoadError::Unsupported(_));
    OpenError::new(&error.to_string(), lasting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::UnsupportedNode;
    use crate::memory::Budget;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn only_versions_that_are_wanted_are_looked_at() {
        let store = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models/surface/2/model.onnx");
        for version in 1..=5 {
            let folder = store.path().join(format!("surface/{version}"));
            fs::create_dir_all(&folder).unwrap();
            match version {
                5 => fs::write(folder.join(MODEL_FILE), "not a model").unwrap(),
                _ => drop(fs::copy(&shipped, folder.join(MODEL_FILE)).unwrap()),
            }
        }
        let looked = |latest, listed: &[u64]| {
            let wanted = VersionsWanted {
                latest,
                listed: listed.iter().copied().collect(),
                load_timeout: Duration::from_secs(60),
                ..VersionsWanted::default()
            };
            let (root, precautions) =
                (store.path().to_owned().into(), Precautions::within(&Budget::unlimited()));
            let read = |version| version_facts(&root, "surface", version, &wanted, &precautions, false);
            let facts = model_facts((1..=5).collect(), &wanted, read);
            let looked: Vec<(u64, bool)> =
                facts.versions.iter().map(|(v, facts)| (*v, facts.is_ok())).collect();
            (looked, facts.others.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(looked(true, &[]), (vec![(4, true), (5, false)], vec![1, 2, 3]));
        assert_eq!(looked(false, &[2, 9]), (vec![(2, true)], vec![1, 3, 4, 5]));
        assert_eq!(looked(true, &[1]), (vec![(1, true), (4, true), (5, false)], vec![2, 3]));
        assert_eq!(looked(false, &[]), (vec![], vec![1, 2, 3, 4, 5]));
    }

    /// A log line and each answer of the status would be as long as the model otherwise.
    #[test]
    fn of_many_nodes_that_are_not_supported_the_first_are_named() {
        let unsupported = |index| UnsupportedNode {
            name: format!("node {index}"),
            op: "Foo".to_owned(),
            domain: String::new(),
            why: "there is no such operator".to_owned(),
        };
        let OpenError { reason, lasting } =
            refused(LoadError::Unsupported((0..100_000).map(unsupported).collect()));
        assert!(lasting);
        assert!(reason.contains("100000 nodes") && reason.ends_with("more"), "{reason}");
        assert_eq!(reason.lines().count(), 21);
    }
}
