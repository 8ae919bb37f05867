//! One model's folder in the store, looked at with a deadline.

use super::fault::{Cause, Fault};
use super::load::LoadContext;
use super::looks::{BRIEF, LookError};
use crate::plan::StoreRoot;
use crate::store::{self, Reading, Stamp, StoreError, VersionFiles};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Access to the versions of one model in the store.
pub(super) struct StoreAccess<'a> {
    pub root: &'a StoreRoot,
    pub model: &'a str,
    /// The names of the text files that are read where a version has them.
    pub texts: &'a BTreeSet<String>,
    pub context: &'a LoadContext,
    /// The time that reading one version may take.
    pub limit: Duration,
    /// Something serves that must not suffer.
    pub background: bool,
}

impl StoreAccess<'_> {
    /// The versions there are, ascending.
    pub(super) fn versions(&self) -> Result<Vec<u64>, Fault> {
        self.look(BRIEF, false, |root, model| store::versions(&root, &model))
    }

    /// `weights` are the names of the files that the version keeps weights in, as far as they are known.
    pub(super) fn stamp(&self, version: u64, weights: &BTreeSet<String>) -> Result<Stamp, Fault> {
        let weights = weights.clone();
        self.look(BRIEF, false, move |root, model| store::stamp(&root, &model, version, &weights))
    }

    pub(super) fn read(&self, version: u64) -> Result<VersionFiles, Fault> {
        let LoadContext { loader, precautions } = self.context.clone();
        let texts = self.texts.clone();
        self.look(self.limit, self.background, move |root, model| {
            let memory = &precautions.memory;
            store::read(&root, &model, version, Reading { format: loader.format(), texts: &texts, memory })
        })
    }

    fn look<T: Send + 'static>(
        &self,
        limit: Duration,
        background: bool,
        work: impl FnOnce(StoreRoot, String) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let (root, model) = (self.root.clone(), self.model.to_owned());
        let place: PathBuf = root.join(&model);
        let looked =
            self.context.precautions.looks.look(&place, limit, background, move || work(root, model));
        match looked {
            Ok(read) => read.map_err(|error| Fault::new(Cause::Unreadable, error.to_string())),
            Err(error @ LookError::Overdue { .. }) => Err(Fault::new(Cause::Timeout, error.to_string())),
            Err(error) => Err(Fault::new(Cause::Unreadable, error.to_string())),
        }
    }
}
