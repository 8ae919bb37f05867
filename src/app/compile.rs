//! Files to a checked plan.

use super::Trouble;
use super::facts;
use super::token::token;
use crate::diagnostic::{Diagnostic, Report, SourceText, Span};
use crate::engine;
use crate::lifecycle::Precautions;
use crate::memory::{Budget, process_limit};
use crate::plan::{self, Capacity, Facts, Plan};
use crate::spec::{self, DeviceUse, Spec};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder in which pipelines are looked for where no path is given.
pub const DEFAULT_PATH: &str = "pipelines";

/// A pipeline to begin with, for somebody who has a model and none yet.
const BEGIN: &str = r#"
Name a pipeline file, or a folder of them; or begin with one. For a model that classifies pictures, put it at
models/NAME/1/model.onnx, and write pipelines/first.toml:

  [store]
  path = "../models"

  [models.NAME]

  [pipelines.first]
  decode.photo = { format = "image", size = [224, 224] }

  [pipelines.first.steps]
  classes = { model = "NAME", inputs = { INPUT = "photo" } }

  [pipelines.first.online]
  encode.reply = { format = "json", fields.classes = { from = "classes", as = "top" } }

`rserve inspect models/NAME/1/model.onnx` says what the model takes and gives, `rserve check` whether the file fits
it, and `rserve run` serves it."#;

/// The plan that a command works on, with what it was compiled from.
pub struct Compiled {
    pub plan: Arc<Plan>,
    /// Warnings alone; with an error there is no plan.
    pub report: Report,
    pub capacity: Capacity,
    /// Whether the files leave the choice of device to rserve.
    pub device_is_auto: bool,
    pub files: Vec<PathBuf>,
    pub texts: Files,
    pub specs: Vec<Spec>,
    /// What the plan was compiled with.
    pub facts: Facts,
}

/// Pipeline files with their texts, in the order in which they are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(Vec<(PathBuf, Vec<u8>)>);

/// Compiles every file in `paths`, which are files and folders of `*.toml`.
pub fn compile(paths: &[PathBuf]) -> Result<Compiled, Trouble> {
    compile_with(paths, &Precautions::within(&whole_memory()))
}

/// Compiles as [`compile`] does, and reads models with these precautions.
pub fn compile_with(paths: &[PathBuf], precautions: &Precautions) -> Result<Compiled, Trouble> {
    let compiled = Compiled::of(Files::read(paths)?, precautions, false)?;
    token(&compiled.plan)?;
    Ok(compiled)
}

/// A budget of all the memory that the system lets the process take: what the files say of it is not known yet.
pub fn whole_memory() -> Budget {
    Budget::new(process_limit().unwrap_or(u64::MAX))
}

impl Files {
    pub fn read(paths: &[PathBuf]) -> Result<Self, Trouble> {
        let read = |file: PathBuf| {
            let bytes = fs::read(&file).map_err(|e| unreadable(&file, &e))?;
            Ok((file, bytes))
        };
        files(paths)?.into_iter().map(read).collect::<Result<_, Trouble>>().map(Self)
    }
}

impl Compiled {
    /// Compiles files. `background` work gives way to what serves.
    pub fn of(texts: Files, precautions: &Precautions, background: bool) -> Result<Self, Trouble> {
        let mut report = Report::default();
        let mut specs = Vec::with_capacity(texts.0.len());
        for (file, bytes) in &texts.0 {
            if let Some(source) = text(file, bytes.clone(), &mut report) {
                specs.push(spec::read::read(&source, &mut report));
            }
        }
        let gathered = facts::gather(&plan::needs(&specs), precautions, background);
        let capacity = engine::capacity();
        match plan::compile(&specs, &gathered.facts, &capacity, super::registries(), &mut report) {
            Some(plan) => Ok(Self {
                plan: Arc::new(plan),
                report,
                capacity,
                device_is_auto: device_is_auto(&specs),
                files: texts.0.iter().map(|(file, _)| file.clone()).collect(),
                texts,
                specs,
                facts: gathered.facts,
            }),
            None if gathered.unreadable => Err(Trouble::StoreUnreadable(report)),
            None => Err(Trouble::Wrong(report)),
        }
    }
}

/// The text of a file, unless it is none, which is reported.
fn text(file: &Path, bytes: Vec<u8>, report: &mut Report) -> Option<Arc<SourceText>> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(SourceText::new(file, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let help = match bytes.as_slice() {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16; save it as UTF-8",
                _ => "save it as UTF-8",
            };
            let source = SourceText::new(file, String::from_utf8_lossy(&bytes));
            let odd = Span::new(&source, at..at + char::REPLACEMENT_CHARACTER.len_utf8());
            report.push(
                Diagnostic::error(format!("`{}` is not UTF-8 text", file.display())).at(&odd, "").help(help),
            );
            None
        }
    }
}

fn device_is_auto(specs: &[Spec]) -> bool {
    let uses = specs.iter().filter_map(|s| s.device.as_ref()?.uses.as_ref());
    uses.map(|u| &u.value).all(|u| *u == DeviceUse::Auto)
}

/// Files as they are given; of a folder every `*.toml`, by name. None is taken twice.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Trouble> {
    let mut files = vec![];
    let mut seen = BTreeSet::new();
    for path in paths {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && *path == Path::new(DEFAULT_PATH) => {
                return Err(Trouble::Given(format!("there is no `{DEFAULT_PATH}` here\n{BEGIN}")));
            }
            found => found.map_err(|e| unreadable(path, &e))?,
        };
        let within = if found.is_dir() { toml_files(path)? } else { vec![path.clone()] };
        for file in within {
            if seen.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let entries = fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml") && path.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Trouble::Given(format!("there is no *.toml in `{}`\n{BEGIN}", folder.display())));
    }
    Ok(files)
}

fn unreadable(path: &Path, error: &io::Error) -> Trouble {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Trouble::Given(format!("there is no `{shown}`; name a pipeline file, or a folder of them"))
        }
        _ => Trouble::CouldNotRun(format!("cannot read `{shown}`: {error}")),
    }
}
