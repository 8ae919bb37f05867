//! A model's file, and the files that it keeps weights in, each read once.

use super::found::Found;
use super::links::{below, folders};
use super::open::{FileId, Reach};
use super::{Content, StoreError};
use crate::memory::{Budget, Reservation, Use};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes that a model file may have; protobuf allows no more than 2 GiB.
pub const MODEL_LIMIT: u64 = 2 << 30;

/// Bytes that a file of weights may have.
pub const DATA_LIMIT: u64 = 256 << 30;

/// A model's file and the files that it keeps weights in (external data).
#[derive(Clone, Debug, Default)]
pub struct ModelFiles {
    /// The content of `model.onnx`.
    pub onnx: Content,
    /// Contents by the names that the model has for them. Names of one file share their content.
    pub data: BTreeMap<String, Content>,
}

impl From<Bytes> for ModelFiles {
    /// A model that keeps its weights in its own file.
    fn from(onnx: Bytes) -> Self {
        Self { onnx: onnx.into(), data: BTreeMap::new() }
    }
}

/// The form of a model's files, which the store does not know. By default it is one file that means nothing.
pub trait Format: Send + Sync {
    /// Reads a `model.onnx` to its end, in pieces of which each may be freed without the others. `size` is what
    /// it is thought to have.
    fn read(&self, file: &mut dyn Read, size: usize) -> io::Result<Content> {
        Content::read(file, size, &[])
    }

    /// The files beside a `model.onnx` that it keeps weights in, by the names that it has for them, not to be
    /// trusted; for each, where in it the tensors lie.
    fn data(&self, _onnx: &Content) -> BTreeMap<String, Vec<Range<usize>>> {
        BTreeMap::new()
    }
}

/// Files that mean nothing.
pub struct Opaque;

impl Format for Opaque {}

/// Reads a model file, wherever it lies, and the files beside it that it keeps weights in.
pub fn model(file: &Path, format: &dyn Format, memory: &Budget) -> Result<ModelFiles, StoreError> {
    let reach = Reach::of_folders(&folders(file));
    let onnx = Found::look(&reach, file, MODEL_LIMIT)?;
    let mut held = memory.reserve(Use::Loads, 0).map_err(|full| StoreError::memory(file, 0, full))?;
    let Parts { onnx, data } = parts(&reach, onnx, format, &mut held)?;
    let each = data.into_iter();
    let data = each.flat_map(|(names, content)| names.into_iter().map(move |name| (name, content.clone())));
    Ok(ModelFiles { onnx, data: data.collect() })
}

/// A model's files, each read once.
pub(super) struct Parts {
    pub onnx: Content,
    /// The files of data, each with all names that the model has for it.
    pub data: Vec<(Vec<String>, Content)>,
}

/// Reads a model file and those beside it that it names. One that is not there is left out, and so missing when the
/// model is read.
pub(super) fn parts(
    reach: &Reach,
    onnx: Found,
    format: &dyn Format,
    held: &mut Reservation,
) -> Result<Parts, StoreError> {
    if onnx.size == 0 {
        return Err(StoreError::Empty(onnx.path));
    }
    hold(held, &onnx.path, onnx.size)?;
    let content = onnx.read(reach, &|file, size| format.read(file, size))?;
    let files = named_files(reach, &onnx.path, format.data(&content))?;
    let sizes = files.iter().map(|file| file.found.size);
    hold(held, &onnx.path, sizes.fold(0, u64::saturating_add))?;
    let read = |NamedFile { found, names, tensors }: NamedFile| {
        let cuts = cuts(tensors);
        Ok((names, found.read(reach, &|file, size| Content::read(file, size, &cuts))?))
    };
    Ok(Parts { onnx: content, data: files.into_iter().map(read).collect::<Result<_, StoreError>>()? })
}

/// Reserves these bytes beside what is reserved already.
pub(super) fn hold(held: &mut Reservation, path: &Path, bytes: u64) -> Result<(), StoreError> {
    held.grow(bytes).map_err(|full| StoreError::memory(path, held.bytes().saturating_add(bytes), full))
}

/// A file that a model keeps weights in.
struct NamedFile {
    found: Found,
    names: Vec<String>,
    /// Where the tensors in it lie, in no order.
    tensors: Vec<Range<usize>>,
}

/// The files that a model names, each once however often and under however many names it is named. They are looked for
/// beside the model's own name and beside what that links to.
fn named_files(
    reach: &Reach,
    model: &Path,
    names: BTreeMap<String, Vec<Range<usize>>>,
) -> Result<Vec<NamedFile>, StoreError> {
    let mut by_path: BTreeMap<PathBuf, (Vec<String>, Vec<Range<usize>>)> = BTreeMap::new();
    for (name, tensors) in names {
        let Some(path) = below(&name) else { continue };
        let (names, all) = by_path.entry(path).or_default();
        names.push(name);
        all.extend(tensors);
    }
    let folders = folders(model);
    let mut files: BTreeMap<FileId, NamedFile> = BTreeMap::new();
    for (path, (names, tensors)) in by_path {
        let mut candidates = folders.iter().map(|folder| folder.join(&path));
        let Some(path) = candidates.find(|path| path.is_file()) else { continue };
        let found = Found::look(reach, &path, DATA_LIMIT)?;
        let id = found.id;
        let empty = || NamedFile { found, names: vec![], tensors: vec![] };
        let file = files.entry(id).or_insert_with(empty);
        file.names.extend(names);
        file.tensors.extend(tensors);
    }
    Ok(files.into_values().collect())
}

/// Where a file is best cut, so that no tensor is cut through: each is then shared with the file, whichever of them
/// overlap.
fn cuts(mut tensors: Vec<Range<usize>>) -> Vec<usize> {
    tensors.retain(|range| range.start < range.end);
    tensors.sort_unstable_by_key(|range| (range.start, range.end));
    let mut cuts = vec![];
    let mut end = None;
    for range in tensors {
        match &mut end {
            Some(end) if range.start < *end => *end = range.end.max(*end),
            _ => {
                cuts.extend(end.replace(range.end));
                cuts.push(range.start);
            }
        }
    }
    cuts.extend(end);
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tensors that lie over each other share the file, instead of a copy for each.
    #[test]
    fn a_file_is_not_cut_through_a_tensor() {
        let mut tensors = vec![10..20, 0..10, 30..40, 30..35, 33..50, 60..60, 60..70];
        assert_eq!(cuts(tensors.clone()), [0, 10, 20, 30, 50, 60, 70]);
        tensors.push(5..usize::MAX);
        assert_eq!(cuts(tensors), [0, usize::MAX]);
    }
}
