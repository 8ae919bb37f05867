//! Several specs as one: settings that must agree, models that must be declared alike, names that must
//! differ.

use super::{Server, StoreRoot, VersionsWanted, Watch, rollout, server, texts};
use crate::diagnostic::{At, Diagnostic, Report, Span};
use crate::spec::{self, DeviceUse, Links, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// What all files say together, defaults filled in.
pub struct Whole<'a> {
    pub server: Server,
    /// The time that one request may take, where its pipeline says nothing.
    pub timeout: Duration,
    pub watch: Watch,
    pub store: At<StoreRoot>,
    pub device: Option<&'a At<DeviceUse>>,
    /// The names of the text files that pipelines name.
    pub texts: BTreeSet<String>,
    /// Each model once, in the order of the files.
    pub models: Vec<&'a spec::Model>,
    pub pipelines: Vec<&'a spec::Pipeline>,
    /// A name that is not declared may stand in a part that a syntax error hid.
    pub broken: bool,
}

/// Which models of which store the plan must know of.
pub fn needs(specs: &[Spec]) -> BTreeMap<StoreRoot, BTreeMap<String, VersionsWanted>> {
    let Some(store) = store_root(specs) else { return BTreeMap::new() };
    let texts = texts::texts(specs);
    let mut models: BTreeMap<String, VersionsWanted> = BTreeMap::new();
    for model in specs.iter().flat_map(|s| &s.models) {
        let wanted = models.entry(model.name.value.clone()).or_default();
        rollout::want(model, wanted);
        wanted.texts.clone_from(&texts);
    }
    BTreeMap::from([(store.value, models)])
}

impl<'a> Whole<'a> {
    /// `None` where there are no files.
    pub fn new(specs: &'a [Spec], report: &mut Report) -> Option<Self> {
        let store = store_root(specs)?;
        let servers = specs.iter().filter_map(|s| s.server.as_ref());
        let stores = || specs.iter().filter_map(|s| s.store.as_ref());
        let devices = specs.iter().filter_map(|s| s.device.as_ref());
        let value = |at: Option<&At<Duration>>, default| at.map_or(default, |at| at.value);

        let timeout = agree("timeout", servers.map(|s| s.timeout.as_ref()), report);
        let watch = agree("watch", stores().map(|s| s.watch.as_ref()), report);
        let settle = agree("settle", stores().map(|s| s.settle.as_ref()), report);
        agree("links", stores().map(|s| s.links.as_ref()), report);
        let paths: Vec<At<PathBuf>> = specs.iter().filter_map(declared_store).collect();
        agree("path", paths.iter().map(Some), report);

        Some(Self {
            server: server::server(specs, report),
            timeout: value(timeout, Duration::from_secs(30)),
            watch: Watch {
                enabled: watch.is_none_or(|w| w.value),
                settle: value(settle, Duration::from_millis(500)),
            },
            store,
            device: agree("use", devices.map(|d| d.uses.as_ref()), report),
            texts: texts::texts(specs),
            models: models(specs, report),
            pipelines: pipelines(specs, report),
            broken: specs.iter().any(|s| s.broken),
        })
    }
}

/// The first that is given; every other must be the same.
pub fn agree<'a, T: PartialEq>(
    key: &str,
    given: impl Iterator<Item = Option<&'a At<T>>>,
    report: &mut Report,
) -> Option<&'a At<T>> {
    let mut given = given.flatten();
    let first = given.next()?;
    for other in given.filter(|other| other.value != first.value) {
        report.push(
            Diagnostic::error(format!("`{key}` is given twice, and differently"))
                .at(&other.place, "")
                .at(&first.place, "the other is here")
                .help("one process has one such setting: give it in one file, or alike in all"),
        );
    }
    Some(first)
}

fn declared_store(spec: &Spec) -> Option<At<PathBuf>> {
    let path = spec.store.as_ref()?.path.as_ref()?;
    Some(path.with(beside(spec, &path.value)))
}

/// The one that a file names; else `models` beside the first file.
fn store_root(specs: &[Spec]) -> Option<At<StoreRoot>> {
    let first = specs.first()?;
    let path = specs
        .iter()
        .find_map(declared_store)
        .unwrap_or_else(|| At::new(beside(first, Path::new("models")), Span::new(&first.source, 0..0)));
    let links = specs.iter().find_map(|spec| spec.store.as_ref()?.links.as_ref());
    let links = links.map_or(Links::default(), |links| links.value);
    Some(path.with(StoreRoot { path: path.value.clone(), links }))
}

pub fn beside(spec: &Spec, path: &Path) -> PathBuf {
    let folder = spec.source.path.parent().unwrap_or(Path::new(""));
    normalised(&folder.join(path))
}

/// A path without `.` and, where it can be done in the text alone, without `..`.
fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}

fn models<'a>(specs: &'a [Spec], report: &mut Report) -> Vec<&'a spec::Model> {
    let mut all: Vec<&spec::Model> = vec![];
    let mut by_name: BTreeMap<&str, &spec::Model> = BTreeMap::new();
    for model in specs.iter().flat_map(|s| &s.models) {
        match by_name.get(model.name.value.as_str()) {
            None => {
                by_name.insert(&model.name.value, model);
                all.push(model);
            }
            Some(first) => declared_alike(first, model, report),
        }
    }
    all
}

fn declared_alike(first: &spec::Model, second: &spec::Model, report: &mut Report) {
    let (a, b) = (first, second);
    differ("gpu", a, b, a.gpu.as_ref(), b.gpu.as_ref(), report);
    differ("replicas", a, b, a.replicas.as_ref(), b.replicas.as_ref(), report);
    differ("version", a, b, a.version.as_ref(), b.version.as_ref(), report);
    differ("batch", a, b, a.batch.as_ref(), b.batch.as_ref(), report);
    differ("queue", a, b, a.queue.as_ref(), b.queue.as_ref(), report);
    differ("max_run", a, b, a.max_run.as_ref(), b.max_run.as_ref(), report);
    differ("traffic", a, b, a.traffic.as_ref(), b.traffic.as_ref(), report);
    differ("sticky", a, b, a.sticky.as_ref(), b.sticky.as_ref(), report);
    differ("shadow", a, b, a.shadow.as_ref(), b.shadow.as_ref(), report);
    differ("reload", a, b, a.reload.as_ref(), b.reload.as_ref(), report);
    differ("load_timeout", a, b, a.load_timeout.as_ref(), b.load_timeout.as_ref(), report);
    differ("warm", a, b, a.warm.as_ref(), b.warm.as_ref(), report);
}

fn differ<T: PartialEq>(
    key: &str,
    first: &spec::Model,
    second: &spec::Model,
    a: Option<&At<T>>,
    b: Option<&At<T>>,
    report: &mut Report,
) {
    if a.map(|a| &a.value) == b.map(|b| &b.value) {
        return;
    }
    let place = |given: Option<&At<T>>, model: &spec::Model| match given {
        Some(at) => (at.place.clone(), String::new()),
        None => (model.name.place.clone(), format!("no `{key}` here")),
    };
    let (place_b, label_b) = place(b, second);
    let (place_a, label_a) = place(a, first);
    let label_a = if label_a.is_empty() { "the other is here".to_owned() } else { label_a };
    report.push(
        Diagnostic::error(format!("model `{}` is declared twice, with another `{key}`", first.name.value))
            .at(&place_b, label_b)
            .at(&place_a, label_a)
            .help("one process serves a model in one way: declare it once, or alike in all files"),
    );
}

fn pipelines<'a>(specs: &'a [Spec], report: &mut Report) -> Vec<&'a spec::Pipeline> {
    let mut all: Vec<&spec::Pipeline> = vec![];
    for pipeline in specs.iter().flat_map(|s| &s.pipelines) {
        match all.iter().find(|p| p.name.value == pipeline.name.value) {
            None => all.push(pipeline),
            Some(first) => report.push(
                Diagnostic::error(format!("two pipelines are named `{}`", pipeline.name.value))
                    .at(&pipeline.name.place, "")
                    .at(&first.name.place, "the other is here")
                    .help("rename one of them"),
            ),
        }
    }
    if all.is_empty()
        && !specs.iter().any(|s| s.broken)
        && let Some(first) = specs.first()
    {
        report.push(
            Diagnostic::error("no pipeline is declared")
                .at(&Span::new(&first.source, 0..0), "")
                .help("declare one as `[pipelines.NAME]`, with a decode, a step and an encode"),
        );
    }
    all
}
