//! Which files make which items, in an order that is the same each time.

use crate::plan::DecodePlan;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// What one run of the pipeline is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Relative to the input folder, with `/`: "north/a.jpg", and "north/a" where several files make it.
    pub name: String,
    /// The name of a file with its answer, without the extension; no other item has the same.
    pub output: String,
    /// One for each decode, in the order of the entry.
    pub files: Vec<PathBuf>,
    /// Of all its files.
    pub bytes: u64,
}

/// A file that makes no item although it looks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub name: String,
    pub reason: String,
}

/// What the inputs hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// By name.
    pub items: Vec<Item>,
    pub misfits: Vec<Misfit>,
    /// Files of other kinds, which are left alone.
    pub others: usize,
}

/// A file with its name and, where it is a proper file, its size.
struct File {
    name: String,
    path: PathBuf,
    size: Result<u64, String>,
    /// Given as itself, not found in a folder: taken up whatever its extension.
    given: bool,
}

/// Lists the items in `inputs`, which are folders (searched through, hidden files left out) and files.
/// Nothing under `except` is taken up. An input that is not there is an error.
pub fn find(inputs: &[PathBuf], except: &Path, decodes: &[DecodePlan]) -> Result<Found, String> {
    let except = fs::canonicalize(except).ok();
    let mut files = vec![];
    let mut seen_names = HashSet::new();
    for input in inputs {
        let found = fs::metadata(input).map_err(|e| format!("cannot read `{}`: {e}", input.display()))?;
        let prefix = if inputs.len() > 1 { given_name(input) } else { String::new() };
        if found.is_dir() {
            walk(input, &prefix, except.as_deref(), &mut files)?;
        } else {
            let name = if prefix.is_empty() {
                shown(input.file_name().unwrap_or(input.as_os_str()))
            } else {
                prefix
            };
            files.push(File { name, path: input.clone(), size: size_of(input), given: true });
        }
    }
    // The same file may have been given twice, as itself and in its folder.
    files.retain(|file| seen_names.insert(file.name.clone()));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut found = match decodes {
        [one] => singles(files, one),
        several => groups(files, several),
    };
    name_outputs(&mut found.items);
    Ok(found)
}

fn walk(root: &Path, prefix: &str, except: Option<&Path>, files: &mut Vec<File>) -> Result<(), String> {
    let wanted = |entry: &DirEntry| {
        let hidden = entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
        let excepted = entry.depth() > 0
            && entry.file_type().is_dir()
            && except.is_some_and(|e| fs::canonicalize(entry.path()).is_ok_and(|p| p == e));
        !hidden && !excepted
    };
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(wanted) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => {
                return Err(format!("cannot read `{}`: {error}", root.display()));
            }
            // A dangling or looping link, a folder that may not be read.
            Err(error) => {
                let Some(path) = error.path().map(Path::to_owned) else { continue };
                let reason = match error.io_error() {
                    Some(e) => e.to_string(),
                    None => "a link that leads back to a folder above it".to_owned(),
                };
                files.push(File { name: name(&path, root, prefix), path, size: Err(reason), given: false });
                continue;
            }
        };
        if entry.depth() == 0 {
            continue;
        }
        let is_folder = entry.file_type().is_dir();
        if is_folder && entry.path().extension().is_none() {
            continue;
        }
        let size = if is_folder { Err("a folder, not a file".to_owned()) } else { size_of(entry.path()) };
        let path = entry.into_path();
        files.push(File { name: name(&path, root, prefix), path, size, given: false });
    }
    Ok(())
}

fn size_of(path: &Path) -> Result<u64, String> {
    let found = fs::metadata(path).map_err(|e| e.to_string())?;
    if found.is_file() { Ok(found.len()) } else { Err("not a regular file".to_owned()) }
}

fn name(path: &Path, root: &Path, prefix: &str) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let below: Vec<_> = below.components().map(|c| shown(c.as_os_str())).collect();
    if prefix.is_empty() { below.join("/") } else { format!("{prefix}/{}", below.join("/")) }
}

/// A file's name as text. What is not UTF-8 is written out in hex, so that two names never become one.
fn shown(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A path as it was given, as a name that leads nowhere outside the output folder.
fn given_name(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .filter_map(|c| match c {
            Component::Normal(part) => Some(shown(part)),
            Component::ParentDir => Some("__".into()),
            _ => None,
        })
        .collect();
    parts.join("/")
}

fn extension(path: &Path) -> String {
    path.extension().and_then(OsStr::to_str).unwrap_or("").to_ascii_lowercase()
}

fn takes(decode: &DecodePlan, extension: &str) -> bool {
    decode.decode.extensions().contains(&extension)
}

fn singles(files: Vec<File>, decode: &DecodePlan) -> Found {
    let mut found = Found::default();
    for file in files {
        if !file.given && !takes(decode, &extension(&file.path)) {
            // A link that leads nowhere may be anything; a file of another kind is none of ours.
            found.others += usize::from(file.size.is_ok());
            continue;
        }
        match file.size {
            Ok(bytes) => found.items.push(Item {
                output: String::new(),
                name: file.name,
                files: vec![file.path],
                bytes,
            }),
            Err(reason) => found.misfits.push(Misfit { name: file.name, reason }),
        }
    }
    found
}

/// Files that share a stem make an item. Where several decodes take the same kind of file, the file says
/// whose it is: "a.photo.png", "a.mask.png".
fn groups(files: Vec<File>, decodes: &[DecodePlan]) -> Found {
    let mut found = Found::default();
    let mut groups: BTreeMap<String, Vec<Option<(PathBuf, u64)>>> = BTreeMap::new();
    for file in files {
        let extension = extension(&file.path);
        let stem = match file.name.rsplit_once('.') {
            Some((stem, _)) if !extension.is_empty() => stem,
            _ => file.name.as_str(),
        };
        let candidates: Vec<usize> = (0..decodes.len()).filter(|i| takes(&decodes[*i], &extension)).collect();
        let named = candidates.iter().find_map(|i| {
            Some((*i, stem.strip_suffix(decodes[*i].name.as_str())?.strip_suffix('.')?.to_owned()))
        });
        let (decode, stem) = match (named, candidates.as_slice()) {
            (Some((decode, stem)), _) => (decode, stem),
            (None, [decode]) => (*decode, stem.to_owned()),
            (None, []) => {
                found.others += 1;
                continue;
            }
            (None, [first, ..]) => {
                let example = format!("{stem}.{}.{extension}", decodes[*first].name);
                let reason = format!("several decodes take .{extension}; call it `{example}` or alike");
                found.misfits.push(Misfit { name: file.name, reason });
                continue;
            }
        };
        let bytes = match file.size {
            Ok(bytes) => bytes,
            Err(reason) => {
                found.misfits.push(Misfit { name: file.name, reason });
                continue;
            }
        };
        let group = groups.entry(stem).or_insert_with(|| vec![None; decodes.len()]);
        if group[decode].is_some() {
            let reason = format!("a second file for decode `{}`", decodes[decode].name);
            found.misfits.push(Misfit { name: file.name, reason });
        } else {
            group[decode] = Some((file.path, bytes));
        }
    }
    for (name, group) in groups {
        match group.iter().position(Option::is_none) {
            Some(missing) => {
                let decode = &decodes[missing];
                let kinds = decode.decode.extensions().join(", .");
                let reason = format!("no file for decode `{}` (.{kinds}) shares its stem", decode.name);
                found.misfits.push(Misfit { name, reason });
            }
            None => {
                let (files, sizes): (Vec<_>, Vec<u64>) = group.into_iter().flatten().unzip();
                let bytes = sizes.iter().sum();
                found.items.push(Item { output: String::new(), name, files, bytes });
            }
        }
    }
    found.misfits.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// "a" for a.jpg where nothing else is called so; else "a.jpg".
fn name_outputs(items: &mut [Item]) {
    let stem = |name: &str| match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !stem.ends_with('/') && !extension.contains('/') => {
            stem.to_owned()
        }
        _ => name.to_owned(),
    };
    let mut stems: HashMap<String, usize> = HashMap::new();
    for item in items.iter() {
        *stems.entry(stem(&item.name)).or_default() += 1;
    }
    let mut taken = HashSet::new();
    for item in items {
        let short = stem(&item.name);
        let mut output = if stems.get(&short) == Some(&1) { short } else { item.name.clone() };
        while !taken.insert(output.clone()) {
            output.push('~');
        }
        item.output = output;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Decode, DecodeError, Decoded, Payload, TensorType};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Takes(&'static [&'static str]);

    impl Decode for Takes {
        fn format(&self) -> &'static str {
            "pretend"
        }
        fn produces(&self) -> TensorType {
            TensorType::default()
        }
        fn extensions(&self) -> &'static [&'static str] {
            self.0
        }
        fn curl_example(&self) -> String {
            String::new()
        }
        fn decode(&self, _: &Payload, _: bool) -> Result<Decoded, DecodeError> {
            Err(DecodeError::Invalid("nothing here decodes".into()))
        }
    }

    fn decode(name: &str, extensions: &'static [&'static str]) -> DecodePlan {
        DecodePlan { name: name.into(), decode: Arc::new(Takes(extensions)), keep_origin: false }
    }

    const IMAGES: &[&str] = &["jpg", "png"];

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "xy").unwrap();
        }
        folder
    }

    fn names(found: &Found) -> Vec<(&str, &str)> {
        found.items.iter().map(|i| (i.name.as_str(), i.output.as_str())).collect()
    }

    #[test]
    fn a_folder_is_searched_through_in_the_order_of_paths() {
        let input =
            folder(&["b.JPG", "a/2.png", "a/10.jpg", "a/10.png", "notes.txt", ".hidden/x.jpg", "out/y.jpg"]);
        fs::create_dir(input.path().join("folder.jpg")).unwrap();
        let inputs = [input.path().to_owned()];
        let found = find(&inputs, &input.path().join("out"), &[decode("photo", IMAGES)]).unwrap();
        assert_eq!(
            names(&found),
            [("a/10.jpg", "a/10.jpg"), ("a/10.png", "a/10.png"), ("a/2.png", "a/2"), ("b.JPG", "b")]
        );
        assert_eq!(
            found.misfits,
            [Misfit { name: "folder.jpg".into(), reason: "a folder, not a file".into() }]
        );
        assert_eq!(found.others, 1);
        assert_eq!(found.items[0].bytes, 2);
    }

    /// Both were once called "a�.jpg", and one of them was taken for the other.
    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_stay_apart() {
        use std::os::unix::ffi::OsStrExt;
        let input = folder(&[]);
        for name in [&b"a\xfe.jpg"[..], b"a\xff.jpg"] {
            fs::write(input.path().join(OsStr::from_bytes(name)), "xy").unwrap();
        }
        let found =
            find(&[input.path().to_owned()], Path::new("nowhere"), &[decode("photo", IMAGES)]).unwrap();
        assert_eq!(names(&found), [(r"a\xfe.jpg", r"a\xfe"), (r"a\xff.jpg", r"a\xff")]);
    }

    #[test]
    fn files_that_share_a_stem_make_an_item() {
        let input = folder(&["a.jpg", "a.json", "b.jpg", "c.json", "c.png", "c.jpg", "d.txt"]);
        let decodes = [decode("meta", &["json"]), decode("photo", IMAGES)];
        let found = find(&[input.path().to_owned()], Path::new("nowhere"), &decodes).unwrap();
        assert_eq!(names(&found), [("a", "a"), ("c", "c")]);
        assert!(found.items[0].files[0].ends_with("a.json") && found.items[0].files[1].ends_with("a.jpg"));
        let misfits: Vec<&str> = found.misfits.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(misfits, ["b", "c.png"]);
        assert!(found.misfits[0].reason.contains("no file for decode `meta`"), "{:?}", found.misfits);
    }

    #[test]
    fn a_file_may_say_whose_it_is() {
        let input = folder(&["a.photo.jpg", "a.mask.png", "b.jpg"]);
        let decodes = [decode("photo", IMAGES), decode("mask", IMAGES)];
        let found = find(&[input.path().to_owned()], Path::new("nowhere"), &decodes).unwrap();
        assert_eq!(names(&found), [("a", "a")]);
        assert!(found.misfits[0].reason.contains("b.photo.jpg"), "{:?}", found.misfits);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_special_files_neither_hang_nor_get_lost() {
        use std::os::unix::fs::symlink;
        let input = folder(&["a.jpg", "sub/b.jpg"]);
        symlink(input.path(), input.path().join("sub/loop")).unwrap();
        symlink("nowhere.jpg", input.path().join("dangling.jpg")).unwrap();
        symlink("/dev/zero", input.path().join("zero.jpg")).unwrap();
        let found =
            find(&[input.path().to_owned()], Path::new("nowhere"), &[decode("photo", IMAGES)]).unwrap();
        assert_eq!(names(&found), [("a.jpg", "a"), ("sub/b.jpg", "sub/b")]);
        let misfits: Vec<&str> = found.misfits.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(misfits, ["dangling.jpg", "zero.jpg"]);
    }

    #[test]
    fn several_inputs_are_named_as_they_were_given() {
        let input = folder(&["one/a.jpg", "two/a.jpg", "x.bin"]);
        let inputs = ["one", "two", "x.bin"].map(|n| input.path().join(n));
        let found = find(&inputs, Path::new("nowhere"), &[decode("photo", IMAGES)]).unwrap();
        let names: Vec<&str> = found.items.iter().map(|i| i.name.rsplit_once('/').unwrap().1).collect();
        assert_eq!(names, ["a.jpg", "a.jpg", "x.bin"]);
        assert!(
            find(&[input.path().join("none")], Path::new("nowhere"), &[decode("photo", IMAGES)]).is_err()
        );
    }
}
