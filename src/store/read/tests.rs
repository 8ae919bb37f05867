//! Versions in folders of their own, read whole.

use super::*;
use crate::plan::Links;
use crate::store::model_files::{Opaque, model};
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

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
    let beside: [(&str, &[u8]); 4] =
        [(MODEL_FILE, b"onnx"), ("index.npy", b"array"), ("other.npy", b"other"), ("warm-up.npy", b"sample")];
    let (root, folder) = version(&beside);
    let store: StoreRoot = root.path().to_owned().into();
    let named = ["index.npy", "warm-up.npy", "missing.npy"].map(str::to_owned).into();
    let memory = Budget::new(1 << 20);
    let again = || read(&store, "surface", 2, Reading { format: &Opaque, texts: &named, memory: &memory });
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
