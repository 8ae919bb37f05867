//! One version's files, whole, in private memory.

use super::links::{Reach, beside};
use super::{Content, MODEL_FILE, StoreError};
use crate::plan::{Labels, StoreRoot};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

/// Bytes that a model file may have; protobuf allows no more than 2 GiB.
pub const MODEL_LIMIT: u64 = 2 << 30;

/// Bytes that a file of weights may have.
pub const DATA_LIMIT: u64 = 256 << 30;

/// Bytes that a labels file may have.
pub const LABELS_LIMIT: u64 = 1 << 20;

/// Bytes that a file of samples may have.
pub const SAMPLE_LIMIT: u64 = 64 << 20;

/// BLAKE3 over the names and contents of a version's files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// A model's file and the files that it keeps weights in (external data).
#[derive(Clone, Debug, Default)]
pub struct ModelFiles {
    /// The content of `model.onnx`.
    pub onnx: Content,
    /// Contents by the names that the model has for them.
    pub data: BTreeMap<String, Content>,
}

impl From<Bytes> for ModelFiles {
    /// A model that keeps its weights in its own file.
    fn from(onnx: Bytes) -> Self {
        Self { onnx: onnx.into(), data: BTreeMap::new() }
    }
}

/// What the store does not know of a model's files. By default it is one file that means nothing.
pub trait Format {
    /// Reads a `model.onnx` to its end, in pieces of which each may be freed without the others. `size` is what
    /// it is thought to have.
    fn read(&self, file: &mut dyn Read, size: usize) -> io::Result<Content> {
        Content::read(file, size, &[])
    }

    /// The files beside a `model.onnx` that it keeps weights in, by the names that it has for them, not to be
    /// trusted; for each, the places where it is best cut into pieces, ascending.
    fn data(&self, _onnx: &Content) -> BTreeMap<String, Vec<usize>> {
        BTreeMap::new()
    }
}

/// Files that mean nothing.
pub struct Opaque;

impl Format for Opaque {}

/// What [`read`] read.
#[derive(Clone, Debug)]
pub struct VersionFiles {
    /// The content of `model.onnx`.
    pub onnx: Content,
    /// The files that the model keeps weights in, by the names that it has for them.
    pub data: BTreeMap<String, Content>,
    pub digest: Digest,
    /// The lines of every `.txt` file beside the model, by file name.
    pub labels: BTreeMap<String, Labels>,
    /// The arrays to try the model with: of the files `warm-up.npy` and `warm-up.INPUT.npy`, by what stands between
    /// the dots.
    pub samples: BTreeMap<String, Bytes>,
    /// When `model.onnx` was last written, where the file system knows.
    pub modified: Option<SystemTime>,
}

impl VersionFiles {
    /// What of it makes the model.
    pub fn into_model(self) -> ModelFiles {
        ModelFiles { onnx: self.onnx, data: self.data }
    }
}

/// Reads one version. Anything beside `model.onnx`, the files that it names, `.txt` files and samples
/// (`warm-up.npy`) is left alone.
pub fn read(
    root: &StoreRoot,
    model: &str,
    version: u64,
    format: &dyn Format,
) -> Result<VersionFiles, StoreError> {
    let folder = root.join(model).join(version.to_string());
    let reach = Reach::of_store(root)?;
    let (ModelFiles { onnx, data }, modified) = model_files(&folder.join(MODEL_FILE), &reach, format)?;
    let texts = files_of(&folder, &reach, LABELS_LIMIT, |name| name.ends_with(".txt"))?;
    let samples = files_of(&folder, &reach, SAMPLE_LIMIT, |name| sample_name(name).is_some())?;
    let digest = digest(&onnx, texts.iter().chain(&samples).chain(&data));
    let whole = |content: Content| content.slice(0, content.len()).unwrap_or_default();
    let samples = samples.into_iter();
    let samples =
        samples.filter_map(|(name, all)| Some((sample_name(&name)?.to_owned(), whole(all)))).collect();
    let labels = texts
        .into_iter()
        .map(|(name, content)| {
            let text = content.slice(0, content.len()).unwrap_or_default();
            let lines = lines(&folder.join(&name), text.into())?;
            Ok((name, lines))
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(VersionFiles { onnx, data, digest, labels, samples, modified })
}

/// Reads a model file, wherever it lies, and the files beside it that it keeps weights in.
pub fn model(file: &Path, format: &dyn Format) -> Result<ModelFiles, StoreError> {
    Ok(model_files(file, &Reach::of_file(file), format)?.0)
}

fn model_files(
    path: &Path,
    reach: &Reach,
    format: &dyn Format,
) -> Result<(ModelFiles, Option<SystemTime>), StoreError> {
    reach.check(path)?;
    let (onnx, modified) = read_file(path, MODEL_LIMIT, &|file, size| format.read(file, size))?;
    if onnx.is_empty() {
        return Err(StoreError::Empty(path.to_owned()));
    }
    let data = data(path, reach, format.data(&onnx))?;
    Ok((ModelFiles { onnx, data }, modified))
}

/// The digest of a version: of the name, length and content of each of its files, by name.
fn digest<'a>(onnx: &Content, beside: impl Iterator<Item = (&'a String, &'a Content)>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let mut add = |name: &str, content: &Content| {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(content.len() as u64).to_le_bytes());
        for piece in content.pieces() {
            hasher.update(piece);
        }
    };
    add(MODEL_FILE, onnx);
    for (name, content) in beside {
        add(name, content);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Reads the files beside a model that it keeps weights in, beside the file's own name or beside what that links to.
/// One that is not there is left out, and so missing when the model is read.
fn data(
    model: &Path,
    reach: &Reach,
    names: BTreeMap<String, Vec<usize>>,
) -> Result<BTreeMap<String, Content>, StoreError> {
    let mut data = BTreeMap::new();
    for (name, cuts) in names {
        if let Some(path) = beside(model, &name) {
            reach.check(&path)?;
            let read = read_file(&path, DATA_LIMIT, &|file, size| Content::read(file, size, &cuts))?;
            data.insert(name, read.0);
        }
    }
    Ok(data)
}

/// "INPUT" of "warm-up.INPUT.npy"; nothing of "warm-up.npy".
fn sample_name(file: &str) -> Option<&str> {
    let input = file.strip_prefix("warm-up")?.strip_suffix(".npy")?;
    if input.is_empty() { Some("") } else { input.strip_prefix('.') }
}

/// The files of a folder that are wanted by their names.
fn files_of(
    folder: &Path,
    reach: &Reach,
    limit: u64,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Content>, StoreError> {
    let mut texts = BTreeMap::new();
    let failed = |source| StoreError::new(folder, source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if wanted(&name) && !name.starts_with('.') {
            let read = |file: &mut dyn Read, size| Content::read(file, size, &[]);
            reach.check(&entry.path())?;
            let (content, _) = read_file(&entry.path(), limit, &read)?;
            texts.insert(name, content);
        }
    }
    Ok(texts)
}

/// Reads a file into memory, given how many bytes it is thought to have.
type Reading<'a> = &'a dyn Fn(&mut dyn Read, usize) -> io::Result<Content>;

/// Reads a regular file of at most `limit` bytes, even where it grows meanwhile.
fn read_file(
    path: &Path,
    limit: u64,
    into: Reading<'_>,
) -> Result<(Content, Option<SystemTime>), StoreError> {
    let failed = |source| StoreError::new(path, source);
    // Looked at before it is opened: to open a FIFO would wait for whoever writes it.
    let found = fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(StoreError::NotAFile(path.to_owned()));
    }
    let too_large = |bytes| StoreError::TooLarge { path: path.to_owned(), bytes, limit };
    if found.len() > limit {
        return Err(too_large(found.len()));
    }
    let mut file = File::open(path).map_err(failed)?.take(limit + 1);
    let content = into(&mut file, found.len() as usize).map_err(failed)?;
    if content.len() as u64 > limit {
        return Err(too_large(content.len() as u64));
    }
    Ok((content, found.modified().ok()))
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

impl fmt::Display for Digest {
    /// All of it as hex; with a precision, so many of its digits: `{:.12}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(64).min(64);
        for at in 0..digits {
            let byte = self.0[at / 2];
            write!(f, "{:x}", if at % 2 == 0 { byte >> 4 } else { byte & 15 })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.12}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(hex).map(|hash| Self(*hash.as_bytes())).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Links;
    use std::path::PathBuf;

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
    fn labels_lose_their_bom_and_carriage_returns() {
        let (root, _) = version(&[
            (MODEL_FILE, b"onnx"),
            ("labels.txt", b"\xef\xbb\xbfasphalt\r\ngravel \r\n\r\ndirt\r\n\n"),
            ("notes.md", b"\xff"),
        ]);
        let files = read(&root.path().to_owned().into(), "surface", 2, &Opaque).unwrap();
        assert_eq!(files.onnx.pieces().collect::<Vec<_>>(), [b"onnx"]);
        assert_eq!(files.labels.keys().collect::<Vec<_>>(), ["labels.txt"]);
        assert_eq!(&files.labels["labels.txt"][..], ["asphalt", "gravel ", "", "dirt"]);
        assert!(files.modified.is_some());
    }

    #[test]
    fn the_digest_is_of_names_and_contents_and_of_nothing_else() {
        let (root, folder) = version(&[(MODEL_FILE, b"onnx"), ("labels.txt", b"a\n")]);
        let digest = || read(&root.path().to_owned().into(), "surface", 2, &Opaque).unwrap().digest;
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
            all.map(|name| (name.to_owned(), vec![])).collect::<BTreeMap<_, _>>()
        };
        struct Named<F>(F);
        impl<F: Fn() -> BTreeMap<String, Vec<usize>>> Format for Named<F> {
            fn data(&self, _: &Content) -> BTreeMap<String, Vec<usize>> {
                (self.0)()
            }
        }
        let files = || read(&root.path().to_owned().into(), "surface", 2, &Named(names)).unwrap();
        let whole = |content: &Content| content.slice(0, content.len()).unwrap();
        let read: Vec<(String, Bytes)> = files().data.iter().map(|(n, c)| (n.clone(), whole(c))).collect();
        let part = |name: &str, content: &'static str| (name.to_owned(), Bytes::from(content));
        assert_eq!(read, [part("link", "90"), part("more/part", "5678"), part("weights.bin", "1234")]);
        let first = files().digest;
        fs::write(folder.join("weights.bin"), "4321").unwrap();
        assert_ne!(files().digest, first);
    }

    /// A format whose models keep their weights in `w`.
    struct Weights;

    impl Format for Weights {
        fn data(&self, _: &Content) -> BTreeMap<String, Vec<usize>> {
            BTreeMap::from([("w".to_owned(), vec![])])
        }
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
            let error = read(&within, "m", 1, &Weights).unwrap_err();
            assert!(matches!(error, StoreError::LinkOutside { .. }), "layout {index}: {error}");
            assert!(error.to_string().contains("`links = \"anywhere\"`"), "{error}");
            let anywhere = StoreRoot { links: Links::Anywhere, ..within };
            let files = read(&anywhere, "m", 1, &Weights).unwrap();
            assert_eq!(files.data.keys().collect::<Vec<_>>(), ["w"], "layout {index}");
            // A person who names the file reads it with what lies beside it.
            let named = model(&root.path().join("m/1").join(MODEL_FILE), &Weights).unwrap();
            assert_eq!(named.data.len(), 1, "layout {index}");
        }
    }

    #[test]
    fn a_link_within_the_store_is_followed_and_labels_are_not_read_from_without() {
        use std::os::unix::fs::symlink;
        let (root, folder) = version(&[(MODEL_FILE, b"onnx"), ("w", b"1")]);
        symlink("2", folder.with_file_name("3")).unwrap();
        assert_eq!(read(&root.path().to_owned().into(), "surface", 3, &Weights).unwrap().data.len(), 1);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("passwd"), "root").unwrap();
        symlink(outside.path().join("passwd"), folder.join("labels.txt")).unwrap();
        let error = read(&root.path().to_owned().into(), "surface", 2, &Weights).unwrap_err();
        assert!(matches!(error, StoreError::LinkOutside { .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_said_by_its_cause() {
        let (root, folder) = version(&[(MODEL_FILE, b"")]);
        let cause = || read(&root.path().to_owned().into(), "surface", 2, &Opaque).unwrap_err();
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
}
