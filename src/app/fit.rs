//! Whether a new version can take its place in the plan: the plan is compiled with it, as if the files had
//! asked for it.

use crate::diagnostic::{At, Level, Report, render};
use crate::lifecycle::{Fit, Serving};
use crate::plan::{self, Capacity, Facts, ModelFacts, VersionFacts};
use crate::spec::{Spec, Version};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub struct PlanFit {
    specs: Vec<Spec>,
    store: Option<PathBuf>,
    /// The version that the plan was compiled with, by model. It stands in for models of which nothing serves yet.
    compiled: BTreeMap<String, (u64, VersionFacts)>,
    capacity: Capacity,
}

impl PlanFit {
    pub fn new(specs: &[Spec], facts: &Facts, plan: &plan::Plan, capacity: &Capacity) -> Self {
        let store = plan.models.first().map(|model| model.store.path.clone());
        let found = store.as_ref().and_then(|store| facts.stores.get(store)?.as_ref().ok());
        let default = |model: &plan::Model| {
            let version = *model.versions.last()?;
            let facts = found?.get(&model.name)?.versions.get(&version)?.as_ref().ok()?;
            Some((model.name.clone(), (version, facts.clone())))
        };
        Self {
            specs: specs.to_vec(),
            store,
            compiled: plan.models.iter().filter_map(default).collect(),
            capacity: capacity.clone(),
        }
    }
}

impl Fit for PlanFit {
    fn fits(&self, model: &str, version: u64, facts: &VersionFacts, serving: &Serving) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        // Each model with one version alone: the default that serves, and for this model the new one.
        let mut chosen = self.compiled.clone();
        for (name, versions) in serving {
            if let Some(default) = versions.last() {
                chosen.insert(name.clone(), default.clone());
            }
        }
        chosen.insert(model.to_owned(), (version, facts.clone()));
        let mut specs = self.specs.clone();
        for model in specs.iter_mut().flat_map(|spec| &mut spec.models) {
            if let Some((version, _)) = chosen.get(&model.name.value) {
                let place = model.version.as_ref().map_or(&model.name.place, |version| &version.place);
                model.version = Some(At::new(Version::One(*version), place.clone()));
            }
            (model.traffic, model.sticky, model.shadow) = (None, None, None);
        }
        let facts = |(version, facts)| ModelFacts {
            versions: BTreeMap::from([(version, Ok(facts))]),
            ..ModelFacts::default()
        };
        let models = chosen.into_iter().map(|(name, one)| (name, facts(one))).collect();
        let facts = Facts { stores: BTreeMap::from([(store.clone(), Ok(models))]) };
        let mut report = Report::default();
        if plan::compile(&specs, &facts, &self.capacity, super::registries(), &mut report).is_some() {
            return Ok(());
        }
        report.diagnostics.retain(|diagnostic| diagnostic.level == Level::Error);
        Err(render(&report, false).trim_end().to_owned())
    }
}
