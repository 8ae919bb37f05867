//! Which versions of each model are served, and that they can be.

use super::declared;
use super::id::{IdVec, LoadedId};
use super::rollout::{self, Asked};
use super::whole::Whole;
use super::{Facts, ModelFacts, Signature, VersionFacts};
use crate::diagnostic::{Diagnostic, Report, Span, nearest};
use crate::spec;
use std::collections::{BTreeMap, BTreeSet};

/// A declared model and what the store has of it.
pub struct Loaded<'a> {
    pub spec: &'a spec::Model,
    /// Ascending, but for a shadow that answers nobody, which is the first; the last is the default. Empty
    /// where an error was reported.
    pub versions: Vec<(u64, &'a VersionFacts)>,
    pub latest: bool,
    /// The name in the store that was probably meant, where it has not the declared one.
    pub meant: Option<&'a str>,
}

impl<'a> Loaded<'a> {
    pub fn name(&self) -> &'a str {
        &self.spec.name.value
    }

    /// The signature of the default version.
    pub fn signature(&self) -> Option<&'a Signature> {
        self.versions.last().map(|(_, facts)| facts.signature.as_ref())
    }

    /// The default version's signature, for a note.
    pub fn describe(&self) -> Option<String> {
        let (version, facts) = self.versions.last()?;
        Some(describe(self.name(), *version, &facts.signature))
    }
}

/// How many requests may wait for a model.
pub fn queue(spec: &spec::Model) -> usize {
    spec.queue.as_ref().map_or(QUEUE, |queue| queue.value)
}

/// The largest batch of a model, as the file says it.
pub fn largest_batch(spec: &spec::Model) -> usize {
    spec.batch.as_ref().and_then(|batch| batch.max.or(batch.sizes.last().copied())).unwrap_or(BATCH)
}

/// The rows that one batch of each of its replicas holds.
pub fn rows_at_once(spec: &spec::Model) -> usize {
    let replicas = spec.replicas.as_ref().map_or(1, |replicas| replicas.value);
    largest_batch(spec).saturating_mul(replicas)
}

/// The largest batch where the model says nothing.
pub const BATCH: usize = 16;

/// How many requests may wait where the model says nothing.
const QUEUE: usize = 256;

fn describe(name: &str, version: u64, signature: &Signature) -> String {
    let mut text = format!("model `{name}`, version {version}");
    for (word, ports) in [("takes", &signature.inputs), ("gives", &signature.outputs)] {
        for port in ports {
            text.push_str(&format!("\n  {word} {port}"));
        }
    }
    text
}

/// Every declared model, in the order of [`Whole::models`].
pub fn load<'a>(whole: &Whole<'a>, facts: &'a Facts, report: &mut Report) -> IdVec<LoadedId, Loaded<'a>> {
    let store = match facts.stores.get(&whole.store.value.path) {
        Some(Ok(models)) => Ok(models),
        Some(Err(reason)) => Err(reason.as_str()),
        None => Err("it was not looked at"),
    };
    // Where a part could not be read, the store that it names may be another than the one that is usual.
    let is_guess = whole.broken && whole.store.place.range.is_empty();
    if let Err(reason) = store
        && !whole.models.is_empty()
        && !is_guess
    {
        let path = whole.store.value.display();
        let d = Diagnostic::error(format!("the model store `{path}` cannot be read"));
        let place = &whole.store.place;
        let d = if place.range.is_empty() { d } else { d.at(place, "") };
        report.push(d.note(reason).help(
            "`path` in `[store]` names a folder, relative to the file, that holds <model>/<version>/model.onnx",
        ));
    }
    let load_one = |spec: &&'a spec::Model| {
        let found = store.ok().map(|store| versions(spec, store, report)).unwrap_or_default();
        let versions = alike(spec, found, report);
        let latest = rollout::follows_latest(spec);
        let meant = store.ok().filter(|store| !store.contains_key(&spec.name.value));
        let meant = meant.and_then(|store| nearest(&spec.name, store.keys().map(String::as_str)));
        let loaded = Loaded { spec, versions, latest, meant };
        declared::check(&loaded, report);
        loaded
    };
    whole.models.iter().map(load_one).collect()
}

fn versions<'a>(
    spec: &spec::Model,
    store: &'a BTreeMap<String, ModelFacts>,
    report: &mut Report,
) -> Vec<(u64, &'a VersionFacts)> {
    let name = &spec.name;
    let there = match store.get(&name.value) {
        Some(model) if !(model.versions.is_empty() && model.others.is_empty()) => model,
        Some(_) => {
            report.push(
                Diagnostic::error(format!("model `{}` has no version in the store", name.value))
                    .at(&name.place, "")
                    .help("a version is a folder with a number for a name that holds a `model.onnx`"),
            );
            return vec![];
        }
        // Said where names are read.
        None if !spec::read::is_name(name) => return vec![],
        None => {
            let d = Diagnostic::error(format!("the store has no model `{}`", name.value)).at(&name.place, "");
            report.push(match store.is_empty() {
                true => d
                    .note("the store is empty")
                    .help("`path` in `[store]` names the folder that holds <model>/<version>/model.onnx"),
                false => d.nearest(name, store.keys().map(String::as_str)),
            });
            return vec![];
        }
    };
    match rollout::asked(spec, report) {
        Asked::Latest => latest(spec, &there.versions, report),
        Asked::Listed(place, versions) => {
            let mut served = listed(spec, place, &versions, there, report);
            if let Some(shadow) = spec.shadow.as_ref().filter(|shadow| !versions.contains(&shadow.value)) {
                // First, so that the default stays the last.
                served.splice(0..0, listed(spec, &shadow.place, &[shadow.value], there, report));
            }
            served
        }
    }
}

type There = BTreeMap<u64, Result<VersionFacts, String>>;

/// The newest that can be served. A newer one that cannot is a warning, as it is while rserve runs.
fn latest<'a>(spec: &spec::Model, there: &'a There, report: &mut Report) -> Vec<(u64, &'a VersionFacts)> {
    let name = &spec.name.value;
    let place = spec.version.as_ref().map_or(&spec.name.place, |v| &v.place);
    let newest = there.iter().rev().find_map(|(n, facts)| Some((*n, facts.as_ref().ok()?)));
    for (version, reason) in there.iter().rev().map_while(|(n, facts)| Some((n, facts.as_ref().err()?))) {
        let title = format!("version {version} of model `{name}` cannot be served");
        report.push(match newest {
            Some((older, _)) => Diagnostic::warning(title)
                .at(place, "")
                .note(reason)
                .note(format!("version {older} is served in its place")),
            None => Diagnostic::error(title).at(place, "").note(reason),
        });
    }
    newest.into_iter().collect()
}

fn listed<'a>(
    spec: &spec::Model,
    place: &Span,
    versions: &[u64],
    there: &'a ModelFacts,
    report: &mut Report,
) -> Vec<(u64, &'a VersionFacts)> {
    let name = &spec.name.value;
    let mut served = vec![];
    for version in versions {
        match there.versions.get(version) {
            Some(Ok(facts)) => served.push((*version, facts)),
            Some(Err(reason)) => report.push(
                Diagnostic::error(format!("version {version} of model `{name}` cannot be served"))
                    .at(place, "")
                    .note(reason),
            ),
            None => {
                let all: BTreeSet<&u64> = there.versions.keys().chain(&there.others).collect();
                let list: Vec<String> = all.into_iter().map(u64::to_string).collect();
                let word = if list.len() == 1 { "version" } else { "versions" };
                report.push(
                    Diagnostic::error(format!("the store has no version {version} of model `{name}`"))
                        .at(place, "")
                        .help(format!("{word} there: {}", list.join(", "))),
                );
            }
        }
    }
    served
}

/// Versions that are served together answer to the same steps; those that differ from the newest are
/// reported and left out.
fn alike<'a>(
    spec: &spec::Model,
    mut versions: Vec<(u64, &'a VersionFacts)>,
    report: &mut Report,
) -> Vec<(u64, &'a VersionFacts)> {
    let Some((newest, facts)) = versions.last().copied() else { return versions };
    versions.retain(|(version, other)| {
        let Err(reason) = interchangeable(&facts.signature, &other.signature) else { return true };
        let place = spec.version.as_ref().map_or(&spec.name.place, |v| &v.place);
        report.push(
            Diagnostic::error(format!(
                "versions {version} and {newest} of model `{}` cannot stand in for each other",
                spec.name.value
            ))
            .at(place, "")
            .note(reason)
            .note(describe(&spec.name, *version, &other.signature))
            .note(describe(&spec.name, newest, &facts.signature))
            .help("serve one of them, or give the other a model name of its own"),
        );
        false
    });
    versions
}

/// Whether a model with the signature `b` can take the place of one with `a` in any pipeline: the same
/// inputs and outputs by name, of types that can match. The error says what differs.
pub fn interchangeable(a: &Signature, b: &Signature) -> Result<(), String> {
    for (word, a, b) in [("inputs", &a.inputs, &b.inputs), ("outputs", &a.outputs, &b.outputs)] {
        let names = |ports: &[super::Port]| -> Vec<String> { ports.iter().map(|p| p.name.clone()).collect() };
        let sorted = |ports: &[super::Port]| names(ports).into_iter().collect::<BTreeSet<_>>();
        if sorted(a) != sorted(b) {
            return Err(format!("their {word} differ: {} and {}", names(b).join(", "), names(a).join(", ")));
        }
        for (a, b) in a.iter().filter_map(|a| Some((a, b.iter().find(|b| b.name == a.name)?))) {
            if a.item_type().mismatch(&b.item_type()).is_some() {
                return Err(format!(
                    "`{}` is {} in one and {} in the other",
                    a.name,
                    b.item_type(),
                    a.item_type()
                ));
            }
        }
    }
    Ok(())
}
