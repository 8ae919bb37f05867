//! What the store holds of the models that are asked for, read and inspected side by side.

use crate::engine;
use crate::memory::Budget;
use crate::plan::{Facts, ModelFacts, StoreRoot, VersionFacts, VersionsWanted};
use crate::store::{self, MODEL_FILE, Reading, StoreError, VersionFiles};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub struct Gathered {
    pub facts: Facts,
    /// A store is there and cannot be read.
    pub unreadable: bool,
}

/// `needs` are the models wanted, by store. Of the others in a store the names alone are told.
pub fn gather(needs: &BTreeMap<StoreRoot, BTreeMap<String, VersionsWanted>>, memory: &Budget) -> Gathered {
    let mut gathered = Gathered { facts: Facts::default(), unreadable: false };
    for (path, models) in needs {
        let store = match store::scan(path) {
            Ok(scan) => Ok(scan
                .models
                .into_par_iter()
                .map(|(model, versions)| {
                    let facts = match models.get(&model) {
                        Some(wanted) => model_facts(path, &model, versions, wanted, memory),
                        None => ModelFacts::default(),
                    };
                    (model, facts)
                })
                .collect()),
            Err(error) => {
                gathered.unreadable |= matches!(error, StoreError::Forbidden(_) | StoreError::Io { .. });
                Err(error.to_string())
            }
        };
        gathered.facts.stores.insert(path.path.clone(), store);
    }
    gathered
}

fn model_facts(
    store: &StoreRoot,
    model: &str,
    versions: Result<Vec<u64>, StoreError>,
    wanted: &VersionsWanted,
    memory: &Budget,
) -> ModelFacts {
    let mut others: BTreeSet<u64> = versions.unwrap_or_default().into_iter().collect();
    let reading = Reading { format: &engine::Onnx, texts: &wanted.texts, memory };
    let read = |version: u64| version_facts(store, model, version, reading);
    let listed: Vec<u64> = others.intersection(&wanted.listed).copied().collect();
    let mut facts: BTreeMap<u64, _> =
        listed.into_par_iter().map(|version| (version, read(version))).collect();
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

fn version_facts(
    store: &StoreRoot,
    model: &str,
    version: u64,
    reading: Reading<'_>,
) -> Result<VersionFacts, String> {
    let files = store::read(store, model, version, reading).map_err(|e| e.to_string())?;
    let _held = files.held.clone();
    facts_of(files).map(|(_, facts)| facts)
}

/// A model and what it declares, or every reason why it cannot be run, one a line.
pub fn facts_of(mut files: VersionFiles) -> Result<(engine::Model, VersionFacts), String> {
    let mut labels = std::mem::take(&mut files.labels);
    let texts = std::mem::take(&mut files.texts);
    let model = engine::open(files.into_model()).map_err(|e| e.to_string())?;
    let inspection = model.inspect().map_err(|e| e.to_string())?;
    if !inspection.unsupported.is_empty() {
        let lines: Vec<String> =
            inspection.unsupported.iter().map(|node| format!("not supported: {node}")).collect();
        return Err(lines.join("\n"));
    }
    labels.extend(inspection.classes.map(|classes| (MODEL_FILE.to_owned(), classes)));
    let facts = VersionFacts {
        signature: Arc::new(inspection.signature),
        labels,
        texts,
        weights: inspection.weights,
    };
    Ok((model, facts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

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
                ..VersionsWanted::default()
            };
            let facts = model_facts(
                &store.path().to_owned().into(),
                "surface",
                Ok((1..=5).collect()),
                &wanted,
                &Budget::unlimited(),
            );
            let looked: Vec<(u64, bool)> =
                facts.versions.iter().map(|(v, facts)| (*v, facts.is_ok())).collect();
            (looked, facts.others.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(looked(true, &[]), (vec![(4, true), (5, false)], vec![1, 2, 3]));
        assert_eq!(looked(false, &[2, 9]), (vec![(2, true)], vec![1, 3, 4, 5]));
        assert_eq!(looked(true, &[1]), (vec![(1, true), (4, true), (5, false)], vec![2, 3]));
        assert_eq!(looked(false, &[]), (vec![], vec![1, 2, 3, 4, 5]));
    }
}
