//! One version's files, whole, in private memory.

use super::digest::{Digest, FileHash};
use super::found::Found;
use super::model_files::{Format, MODEL_LIMIT, ModelFiles, hold, parts};
use super::open::Reach;
use super::{Content, MODEL_FILE, StoreError};
use crate::memory::{Budget, Reservation, Use};
use crate::plan::{Labels, StoreRoot};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes that a labels file may have.
pub const LABELS_LIMIT: u64 = 1 << 20;

/// Bytes that an array beside a model may have.
pub const ARRAY_LIMIT: u64 = 1 << 28;

/// Bytes that a file of samples may have.
pub const SAMPLE_LIMIT: u64 = 64 << 20;

/// The way in which versions are read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub format: &'a dyn Format,
    /// The names of the text files and arrays that are read where a version has them.
    pub texts: &'a BTreeSet<String>,
    /// What the sizes of all files are reserved from before the first is read.
    pub memory: &'a Budget,
}

/// The files of a version, as [`read`] read them.
#[derive(Clone, Debug)]
pub struct VersionFiles {
    /// The content of `model.onnx`.
    pub onnx: Content,
    /// The files that the model keeps weights in, by the names that it has for them.
    pub data: BTreeMap<String, Content>,
    pub digest: Digest,
    /// The lines of the text files that were to be read, by file name.
    pub labels: BTreeMap<String, Labels>,
    /// The arrays that were to be read (`NAME.npy`), by file name, each with the memory that it takes.
    pub arrays: BTreeMap<String, (Bytes, Arc<Reservation>)>,
    /// The names of all text files beside the model, those that were not read among them.
    pub texts: BTreeSet<String>,
    /// The arrays to try the model with: of the files `warm-up.npy` and `warm-up.INPUT.npy`, by what stands between
    /// the dots.
    pub samples: BTreeMap<String, Bytes>,
    /// When `model.onnx` was last written, where the file system knows.
    pub modified: Option<SystemTime>,
    /// The memory that the files take, until the last of them is let go.
    pub held: Arc<Reservation>,
}

impl VersionFiles {
    /// What of it makes the model.
    pub fn into_model(self) -> ModelFiles {
        ModelFiles { onnx: self.onnx, data: self.data }
    }
}

/// Reads one version. Anything beside `model.onnx`, the files that it names, the texts that are to be read and samples
/// (`warm-up.npy`) is left alone.
pub fn read(
    root: &StoreRoot,
    model: &str,
    version: u64,
    reading: Reading<'_>,
) -> Result<VersionFiles, StoreError> {
    let folder = root.join(model).join(version.to_string());
    let reach = Reach::of_store(root)?;
    let onnx = Found::look(&reach, &folder.join(MODEL_FILE), MODEL_LIMIT)?;
    let names = names_in(&folder)?;
    let look = |name: &String, limit| Ok((name.clone(), Found::look(&reach, &folder.join(name), limit)?));
    let texts: BTreeSet<String> = names.iter().filter(|name| name.ends_with(".txt")).cloned().collect();
    let named = texts.intersection(reading.texts).map(|name| look(name, LABELS_LIMIT));
    let named = named.collect::<Result<Vec<_>, StoreError>>()?;
    let is_array = |name: &&String| name.ends_with(".npy") && sample_name(name).is_none();
    let arrays = names.iter().filter(|name| is_array(name) && reading.texts.contains(*name));
    let arrays = arrays.map(|name| look(name, ARRAY_LIMIT)).collect::<Result<Vec<_>, StoreError>>()?;
    let samples = names.iter().filter(|name| sample_name(name).is_some());
    let samples = samples.map(|name| look(name, SAMPLE_LIMIT)).collect::<Result<Vec<_>, StoreError>>()?;
    let beside = named.iter().chain(&samples).map(|(_, found)| found.size);
    let mut held =
        reading.memory.reserve(Use::Loads, 0).map_err(|full| StoreError::memory(&folder, 0, full))?;
    hold(&mut held, &folder, beside.sum())?;

    let modified = onnx.modified;
    let model = parts(&reach, onnx, reading.format, &mut held)?;
    let mut hashes = vec![];
    let mut whole = |(name, found): &(String, Found)| {
        let content = found.read(&reach, &|file, size| Content::read(file, size, &[]))?;
        hashes.push((name.clone(), FileHash::of(&content)));
        Ok::<_, StoreError>(content.slice(0, content.len()).unwrap_or_default())
    };
    let label = |of: &(String, Found)| Ok((of.0.clone(), lines(&of.1.path, whole(of)?.into())?));
    let labels = named.iter().map(label).collect::<Result<_, StoreError>>()?;
    let array = |of: &(String, Found)| {
        // An array stays as long as it is used, which is longer than the files are held.
        let held = reading.memory.reserve(Use::Loads, of.1.size);
        let held = held.map_err(|full| StoreError::memory(&of.1.path, of.1.size, full))?;
        Ok((of.0.clone(), (whole(of)?, Arc::new(held))))
    };
    let arrays = arrays.iter().map(array).collect::<Result<_, StoreError>>()?;
    let sample = |of: &(String, Found)| Ok((sample_name(&of.0).unwrap_or_default().to_owned(), whole(of)?));
    let samples = samples.iter().map(sample).collect::<Result<_, StoreError>>()?;
    let mut data = BTreeMap::new();
    for (names, content) in model.data {
        let hash = FileHash::of(&content);
        hashes.extend(names.iter().map(|name| (name.clone(), hash)));
        data.extend(names.into_iter().map(|name| (name, content.clone())));
    }
    hashes.sort_by(|a, b| a.0.cmp(&b.0));
    let hashes = hashes.iter().map(|(name, hash)| (name.as_str(), *hash));
    let digest = Digest::of([(MODEL_FILE, FileHash::of(&model.onnx))].into_iter().chain(hashes));
    let held = Arc::new(held);
    Ok(VersionFiles { onnx: model.onnx, data, digest, labels, arrays, texts, samples, modified, held })
}

/// The names in a folder that are text and do not begin with a dot.
fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |source| StoreError::new(folder, source);
    let names = fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>().map_err(failed)?;
    let plain = names.into_iter().filter_map(|name| name.into_string().ok());
    Ok(plain.filter(|name| !name.starts_with('.')).collect())
}

/// "INPUT" of "warm-up.INPUT.npy"; nothing of "warm-up.npy".
fn sample_name(file: &str) -> Option<&str> {
    let input = file.strip_prefix("warm-up")?.strip_suffix(".npy")?;
    if input.is_empty() { Some("") } else { input.strip_prefix('.') }
}

/// A line each, without its CR; neither a byte order mark nor empty lines at the end are part of any.
fn lines(path: &Path, content: Vec<u8>) -> Result<Labels, StoreError> {
    let text = String::from_utf8(content).map_err(|error| StoreError::NotText {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text
        .trim_end_matches(['\r', '\n'])
        .lines()
        .map(|line| line.trim_end_matches('\r').to_owned())
        .collect())
}

#[cfg(test)]
mod tests;
