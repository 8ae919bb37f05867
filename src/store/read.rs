//! One version's files, whole, in private memory.

use super::digest::{Digest, FileHash};
use super::found::Found;
use super::links::{below, folders};
use super::open::{FileId, Reach};
use super::{Content, MODEL_FILE, StoreError};
use crate::memory::{Budget, Reservation, Use};
use crate::plan::{Labels, StoreRoot};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes that a model file may have; protobuf allows no more than 2 GiB.
pub const MODEL_LIMIT: u64 = 2 << 30;

/// Bytes that a file of weights may have.
pub const DATA_LIMIT: u64 = 256 << 30;

/// Bytes that a labels file may have.
pub const LABELS_LIMIT: u64 = 1 << 20;

/// Bytes that an array beside a model may have.
pub const ARRAY_LIMIT: u64 = 1 << 28;

/// Bytes that a file of samples may have.
pub const SAMPLE_LIMIT: u64 = 64 << 20;

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
    let whole = |found: &Found| {
        let content = found.read(&reach, &|file, size| Content::read(file, size, &[]))?;
        Ok((content.slice(0, content.len()).unwrap_or_default(), FileHash::of(&content)))
    };
    let mut hashes = vec![];
    let mut labels = BTreeMap::new();
    for (name, found) in &named {
        let (text, hash) = whole(found)?;
        labels.insert(name.clone(), lines(&found.path, text.into())?);
        hashes.push((name.clone(), hash));
    }
    let mut read_arrays = BTreeMap::new();
    for (name, found) in &arrays {
        // An array stays as long as it is used, which is longer than the files are held.
        let held = reading.memory.reserve(Use::Loads, found.size);
        let held = held.map_err(|full| StoreError::memory(&found.path, found.size, full))?;
        let (array, hash) = whole(found)?;
        read_arrays.insert(name.clone(), (array, Arc::new(held)));
        hashes.push((name.clone(), hash));
    }
    let mut read_samples = BTreeMap::new();
    for (name, found) in &samples {
        let (array, hash) = whole(found)?;
        read_samples.insert(sample_name(name).unwrap_or_default().to_owned(), array);
        hashes.push((name.clone(), hash));
    }
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
    let (arrays, samples) = (read_arrays, read_samples);
    Ok(VersionFiles { onnx: model.onnx, data, digest, labels, arrays, texts, samples, modified, held })
}

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
struct Parts {
    onnx: Content,
    /// The files of data, each with all names that the model has for it.
    data: Vec<(Vec<String>, Content)>,
}

/// Reads a model file and those beside it that it names. One that is not there is left out, and so missing when the
/// model is read.
fn parts(
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
fn hold(held: &mut Reservation, path: &Path, bytes: u64) -> Result<(), StoreError> {
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
mod tests {
    use super::*;
    use crate::plan::Links;
    use std::fs::File;

    /// Reads a version of `surface` with every text beside it.
    fn read_all(
        root: &StoreRoot,
        model: &str,
        version: u64,
        format: &dyn Format,
    ) -> Result<VersionFiles, StoreError> {
        let texts = ["labels.txt", "names.txt"].map(str::to_owned).into();
        read(root, model, version, Reading { format, texts: &texts, memory: &Budget::unlimited() })
    }

    fn version(files: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("surface/2");
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        (root, folder)
    }

    #[test]
    fn arrays_are_read_where_they_are_named_and_held_as_long_as_they_are_used() {
        let beside: [(&str, &[u8]); 4] = [
            (MODEL_FILE, b"onnx"),
            ("index.npy", b"array"),
            ("other.npy", b"other"),
            ("warm-up.npy", b"sample"),
        ];
        let (root, folder) = version(&beside);
        let store: StoreRoot = root.path().to_owned().into();
        let named = ["index.npy", "warm-up.npy", "missing.npy"].map(str::to_owned).into();
        let memory = Budget::new(1 << 20);
        let again =
            || read(&store, "surface", 2, Reading { format: &Opaque, texts: &named, memory: &memory });
        let VersionFiles { arrays, digest, held, samples, .. } = again().unwrap();
        assert_eq!(arrays.keys().collect::<Vec<_>>(), ["index.npy"]);
        assert_eq!(arrays["index.npy"].0, b"array"[..]);
        assert_eq!(samples.len(), 1);
        drop(held);
        assert_eq!(memory.usage().reserved(), 5, "the array alone is still there");
        drop(arrays);
        assert_eq!(memory.usage().reserved(), 0);
        assert_eq!(again().unwrap().digest, digest);
        fs::write(folder.join("index.npy"), b"arrow").unwrap();
        assert_ne!(again().unwrap().digest, digest, "a new array is a new generation");
        File::create(folder.join("index.npy")).unwrap().set_len(ARRAY_LIMIT + 1).unwrap();
        assert!(matches!(again(), Err(StoreError::TooLarge { limit: ARRAY_LIMIT, .. })));
    }

    #[test]
    fn labels_lose_their_bom_and_carriage_returns() {
        let (root, _) = version(&[
            (MODEL_FILE, b"onnx"),
            ("labels.txt", b"\xef\xbb\xbfasphalt\r\ngravel \r\n\r\ndirt\r\n\n"),
            ("notes.md", b"\xff"),
        ]);
        let files = read_all(&root.path().to_owned().into(), "surface", 2, &Opaque).unwrap();
        assert_eq!(files.onnx.pieces().collect::<Vec<_>>(), [b"onnx"]);
        assert_eq!(files.labels.keys().collect::<Vec<_>>(), ["labels.txt"]);
        assert_eq!(&files.labels["labels.txt"][..], ["asphalt", "gravel ", "", "dirt"]);
        assert!(files.modified.is_some());
    }

    #[test]
    fn the_digest_is_of_names_and_contents_and_of_nothing_else() {
        let (root, folder) = version(&[(MODEL_FILE, b"onnx"), ("labels.txt", b"a\n")]);
        let digest = || read_all(&root.path().to_owned().into(), "surface", 2, &Opaque).unwrap().digest;
        let first = digest();
        fs::write(folder.join("notes.md"), "not ours").unwrap();
        fs::write(folder.join(MODEL_FILE), "onnx").unwrap();
        assert_eq!(digest(), first, "rewritten alike");
        fs::rename(folder.join("labels.txt"), folder.join("names.txt")).unwrap();
        let renamed = digest();
        assert_ne!(renamed, first);
        fs::write(folder.join("names.txt"), "b\n").unwrap();
        assert_ne!(digest(), renamed);
        assert_eq!(format!("{first:.12}").len(), 12);
        assert_eq!(format!("{first}").len(), 64);
    }

    #[test]
    fn weights_are_read_by_names_that_lead_down_alone() {
        let (root, folder) = version(&[(MODEL_FILE, b"onnx"), ("weights.bin", b"1234")]);
        fs::write(root.path().join("secret"), "secret").unwrap();
        fs::write(root.path().join("shared"), "90").unwrap();
        fs::create_dir(folder.join("more")).unwrap();
        fs::write(folder.join("more/part"), "5678").unwrap();
        std::os::unix::fs::symlink(root.path().join("shared"), folder.join("link")).unwrap();
        let outside = root.path().join("secret");
        let names = || {
            let names = ["weights.bin", "more/part", "link", "../../secret", "more/../../../secret", "more"];
            let all = names.into_iter().chain([outside.to_str().unwrap(), "", "nowhere"]);
            all.map(|name| (name.to_owned(), vec![])).collect()
        };
        let files = || read_all(&root.path().to_owned().into(), "surface", 2, &Named(names())).unwrap();
        let whole = |content: &Content| content.slice(0, content.len()).unwrap();
        let read: Vec<(String, Bytes)> = files().data.iter().map(|(n, c)| (n.clone(), whole(c))).collect();
        let part = |name: &str, content: &'static str| (name.to_owned(), Bytes::from(content));
        assert_eq!(read, [part("link", "90"), part("more/part", "5678"), part("weights.bin", "1234")]);
        let first = files().digest;
        fs::write(folder.join("weights.bin"), "4321").unwrap();
        assert_ne!(files().digest, first);
    }

    /// A format whose models keep their weights in files of these names.
    struct Named(BTreeMap<String, Vec<Range<usize>>>);

    impl Format for Named {
        fn data(&self, _: &Content) -> BTreeMap<String, Vec<Range<usize>>> {
            self.0.clone()
        }
    }

    fn weights() -> Named {
        Named(BTreeMap::from([("w".to_owned(), vec![])]))
    }

    /// The layout of the Hugging Face cache, whose snapshots are links into a folder of blobs, in the ways that people
    /// link to it; and a link to a model that lies with its weights elsewhere.
    #[test]
    fn links_lead_out_of_the_store_where_that_is_allowed() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        let (blobs, snapshot) = (outside.path().join("blobs"), outside.path().join("snapshots/abc"));
        [&blobs, &snapshot].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        for (name, blob) in [(MODEL_FILE, "aaa"), ("w", "bbb")] {
            fs::write(blobs.join(blob), name).unwrap();
            symlink(Path::new("../../blobs").join(blob), snapshot.join(name)).unwrap();
            fs::write(outside.path().join(name), name).unwrap();
        }
        let layouts: [&dyn Fn(&Path); 4] = [
            &|version| symlink(&snapshot, version).unwrap(),
            &|version| {
                fs::create_dir(version).unwrap();
                for name in [MODEL_FILE, "w"] {
                    symlink(snapshot.join(name), version.join(name)).unwrap();
                }
            },
            &|version| {
                fs::create_dir(version).unwrap();
                symlink(snapshot.join(MODEL_FILE), version.join(MODEL_FILE)).unwrap();
            },
            &|version| {
                fs::create_dir(version).unwrap();
                symlink(outside.path().join(MODEL_FILE), version.join(MODEL_FILE)).unwrap();
            },
        ];
        for (index, layout) in layouts.into_iter().enumerate() {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("m")).unwrap();
            layout(&root.path().join("m/1"));
            let within = StoreRoot::from(root.path().to_owned());
            let error = read_all(&within, "m", 1, &weights()).unwrap_err();
            assert!(matches!(error, StoreError::LinkOutside { .. }), "layout {index}: {error}");
            assert!(error.to_string().contains("`links = \"anywhere\"`"), "{error}");
            let anywhere = StoreRoot { links: Links::Anywhere, ..within };
            let files = read_all(&anywhere, "m", 1, &weights()).unwrap();
            assert_eq!(files.data.keys().collect::<Vec<_>>(), ["w"], "layout {index}");
            // A person who names the file reads it with what lies beside it.
            let named =
                model(&root.path().join("m/1").join(MODEL_FILE), &weights(), &Budget::unlimited()).unwrap();
            assert_eq!(named.data.len(), 1, "layout {index}");
        }
    }

    #[test]
    fn a_link_within_the_store_is_followed_and_labels_are_not_read_from_without() {
        use std::os::unix::fs::symlink;
        let (root, folder) = version(&[(MODEL_FILE, b"onnx"), ("w", b"1")]);
        symlink("2", folder.with_file_name("3")).unwrap();
        assert_eq!(read_all(&root.path().to_owned().into(), "surface", 3, &weights()).unwrap().data.len(), 1);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("passwd"), "root").unwrap();
        symlink(outside.path().join("passwd"), folder.join("labels.txt")).unwrap();
        let error = read_all(&root.path().to_owned().into(), "surface", 2, &weights()).unwrap_err();
        assert!(matches!(error, StoreError::LinkOutside { .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_said_by_its_cause() {
        let (root, folder) = version(&[(MODEL_FILE, b"")]);
        let cause = || read_all(&root.path().to_owned().into(), "surface", 2, &Opaque).unwrap_err();
        assert!(matches!(cause(), StoreError::Empty(_)));
        fs::write(folder.join(MODEL_FILE), "onnx").unwrap();
        fs::write(folder.join("labels.txt"), b"ok\n\xff").unwrap();
        assert!(matches!(cause(), StoreError::NotText { offset: 3, .. }));
        File::create(folder.join("labels.txt")).unwrap().set_len(LABELS_LIMIT + 1).unwrap();
        assert!(matches!(cause(), StoreError::TooLarge { limit: LABELS_LIMIT, .. }));
        File::create(folder.join(MODEL_FILE)).unwrap().set_len(MODEL_LIMIT + 1).unwrap();
        assert!(matches!(cause(), StoreError::TooLarge { limit: MODEL_LIMIT, .. }));
        fs::remove_file(folder.join(MODEL_FILE)).unwrap();
        assert!(matches!(cause(), StoreError::Missing(_)));
        fs::create_dir(folder.join(MODEL_FILE)).unwrap();
        assert!(matches!(cause(), StoreError::NotAFile(_)));
    }

    /// Many names of one file are one file: read once, held once, and known by one content.
    #[test]
    fn a_file_is_read_once_under_all_its_names() {
        let (root, folder) = version(&[(MODEL_FILE, b"onnx"), ("w.bin", &[7; 1000])]);
        fs::hard_link(folder.join("w.bin"), folder.join("hard")).unwrap();
        std::os::unix::fs::symlink("w.bin", folder.join("soft")).unwrap();
        let spelled = |n: usize| format!("{}w.bin", "./".repeat(n));
        let names = (0..64).map(spelled).chain(["hard".to_owned(), "soft".to_owned()]);
        let format = Named(names.map(|name| (name, vec![])).collect());
        let memory = Budget::unlimited();
        let texts = BTreeSet::new();
        let reading = Reading { format: &format, texts: &texts, memory: &memory };
        let files = read(&root.path().to_owned().into(), "surface", 2, reading).unwrap();
        assert_eq!(files.data.len(), 66);
        let at = |content: &Content| content.slice(0, 1000).unwrap().as_ptr();
        let first = at(&files.data["w.bin"]);
        assert!(files.data.values().all(|content| at(content) == first), "they share their memory");
        assert_eq!((files.held.bytes(), memory.usage().reserved()), (1004, 1004));
        drop(files);
        assert_eq!(memory.usage().reserved(), 0);
    }

    /// The sizes are summed before anything is read: a file of holes takes no disk, and all the memory there is.
    #[test]
    fn what_takes_more_memory_than_there_may_be_is_not_read() {
        let (root, folder) = version(&[(MODEL_FILE, b"onnx"), ("labels.txt", b"a\n")]);
        File::create(folder.join("w")).unwrap().set_len(100 << 30).unwrap();
        let (format, texts) = (weights(), BTreeSet::new());
        let read = |memory: &Budget| {
            let reading = Reading { format: &format, texts: &texts, memory };
            read(&root.path().to_owned().into(), "surface", 2, reading)
        };
        let memory = Budget::new(1 << 30);
        let error = read(&memory).unwrap_err();
        assert!(matches!(error, StoreError::TooMuch { most: 1_073_741_824, .. }), "{error}");
        assert_eq!(memory.usage().reserved(), 0);
        File::create(folder.join("w")).unwrap().set_len(1000).unwrap();
        let others = memory.reserve(Use::Running, 1 << 30).unwrap();
        assert!(matches!(read(&memory).unwrap_err(), StoreError::NoMemory { .. }));
        drop(others);
        assert_eq!(read(&memory).unwrap().held.bytes(), 1004, "what nobody names is not read");
    }

    /// Tensors that lie over each other share the file, instead of a copy for each.
    #[test]
    fn a_file_is_not_cut_through_a_tensor() {
        let mut tensors = vec![10..20, 0..10, 30..40, 30..35, 33..50, 60..60, 60..70];
        assert_eq!(cuts(tensors.clone()), [0, 10, 20, 30, 50, 60, 70]);
        tensors.push(5..usize::MAX);
        assert_eq!(cuts(tensors), [0, usize::MAX]);
    }

    /// How Kubernetes lays out what it mounts: `..data` is a link that is turned to another folder in one step.
    #[test]
    fn files_of_a_mount_of_kubernetes_are_read() {
        use std::os::unix::fs::symlink;
        let (root, folder) = version(&[]);
        let data = folder.join("..2026_11_30");
        fs::create_dir(&data).unwrap();
        symlink("..2026_11_30", folder.join("..data")).unwrap();
        for name in [MODEL_FILE, "w", "labels.txt"] {
            fs::write(data.join(name), name).unwrap();
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
        let files = read_all(&root.path().to_owned().into(), "surface", 2, &weights()).unwrap();
        assert_eq!((files.data.len(), &*files.labels["labels.txt"]), (1, &["labels.txt".to_owned()][..]));
    }

    #[test]
    fn texts_that_nobody_names_are_known_by_name_alone() {
        let (root, _) = version(&[(MODEL_FILE, b"onnx"), ("labels.txt", b"a\n"), ("secret.txt", b"\xff")]);
        let files = read_all(&root.path().to_owned().into(), "surface", 2, &Opaque).unwrap();
        assert_eq!(files.labels.keys().collect::<Vec<_>>(), ["labels.txt"]);
        assert_eq!(files.texts, ["labels.txt", "secret.txt"].map(str::to_owned).into());
    }
}
