//! What the store holds of the models that are asked for, read and inspected side by side.

use crate::engine;
use crate::plan::{Facts, ModelFacts, VersionFacts};
use crate::store::{self, MODEL_FILE, StoreError, VersionFiles};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Gathered {
    pub facts: Facts,
    /// A store is there and cannot be read.
    pub unreadable: bool,
}

/// `needs` are the models wanted, by store. Of the others in a store the names alone are told.
pub fn gather(needs: &BTreeMap<PathBuf, BTreeSet<String>>) -> Gathered {
    let mut gathered = Gathered { facts: Facts::default(), unreadable: false };
    for (path, models) in needs {
        let store = match store::scan(path) {
            Ok(scan) => Ok(scan
                .models
                .into_par_iter()
                .map(|(model, versions)| {
                    let facts = if models.contains(&model) {
                        model_facts(path, &model, versions)
                    } else {
                        ModelFacts::default()
                    };
                    (model, facts)
                })
                .collect()),
            Err(error) => {
                gathered.unreadable |= matches!(error, StoreError::Forbidden(_) | StoreError::Io { .. });
                Err(error.to_string())
            }
        };
        gathered.facts.stores.insert(path.clone(), store);
    }
    gathered
}

fn model_facts(store: &Path, model: &str, versions: Result<Vec<u64>, StoreError>) -> ModelFacts {
    let versions = versions.unwrap_or_default();
    let read = |version: u64| (version, version_facts(store, model, version));
    ModelFacts { versions: versions.into_par_iter().map(read).collect() }
}

fn version_facts(store: &Path, model: &str, version: u64) -> Result<VersionFacts, String> {
    let files = store::read(store, model, version, &engine::Onnx).map_err(|e| e.to_string())?;
    facts_of(files).map(|(_, facts)| facts)
}

/// A model and what it declares, or every reason why it cannot be run, one a line.
pub fn facts_of(mut files: VersionFiles) -> Result<(engine::Model, VersionFacts), String> {
    let mut labels = std::mem::take(&mut files.labels);
    let model = engine::open(files.into_model()).map_err(|e| e.to_string())?;
    let inspection = model.inspect().map_err(|e| e.to_string())?;
    if !inspection.unsupported.is_empty() {
        let lines: Vec<String> =
            inspection.unsupported.iter().map(|node| format!("not supported: {node}")).collect();
        return Err(lines.join("\n"));
    }
    labels.extend(inspection.classes.map(|classes| (MODEL_FILE.to_owned(), classes)));
    let facts =
        VersionFacts { signature: Arc::new(inspection.signature), labels, weights: inspection.weights };
    Ok((model, facts))
}
