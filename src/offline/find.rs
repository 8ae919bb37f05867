//! What the inputs hold: files, the rows of files, and what looks like an item and is none.

use super::Stopped;
use super::glob::Glob;
use super::items::{List, Wanted};
use super::listing::Listing;
use super::names;
use super::rows::{Kind, Rows};
use crate::plan::DecodePlan;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Where items come from.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Folders (searched through, hidden files left out), files, and "-" for a list of files on stdin.
    pub paths: Vec<PathBuf>,
    /// Narrows what is found in folders.
    pub glob: Option<Glob>,
}

/// Lists the items. Nothing under `except` is taken up. An input that is not there is an error, and so is
/// a file of rows that cannot be read.
pub fn find(
    inputs: &Inputs,
    except: &Path,
    decodes: &[DecodePlan],
    wanted: &Wanted,
    stdin: &mut dyn Read,
) -> Result<List, Stopped> {
    let mut finding = Finding {
        except: fs::canonicalize(except).ok(),
        glob: inputs.glob.as_ref(),
        decodes,
        several: inputs.paths.len() > 1,
        listing: Listing::new(decodes.len() > 1),
    };
    for path in &inputs.paths {
        if path.as_os_str() == "-" {
            finding.list(stdin)?;
        } else {
            finding.input(path)?;
        }
    }
    finding.listing.finish(decodes, wanted)
}

struct Finding<'a> {
    except: Option<PathBuf>,
    glob: Option<&'a Glob>,
    decodes: &'a [DecodePlan],
    several: bool,
    listing: Listing,
}

impl Finding<'_> {
    fn input(&mut self, input: &Path) -> Result<(), Stopped> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Stopped::Input(format!("cannot read `{}`: {error}", input.display()))
        };
        let found = fs::metadata(input).map_err(|e| unreadable(&e))?;
        let prefix = if self.several { names::given(input) } else { String::new() };
        if found.is_dir() {
            return self.walk(input, &prefix);
        }
        let name = match prefix.is_empty() {
            true => names::shown(input.file_name().unwrap_or(input.as_os_str()).as_bytes()).into_owned(),
            false => prefix,
        };
        let rows =
            if found.is_file() { Kind::of(input, self.decodes).map_err(|e| unreadable(&e))? } else { None };
        match rows {
            Some(kind) => {
                let rows = Rows::open(kind, input, self.decodes).and_then(Rows::count);
                let count = rows.map_err(|e| unreadable(&e))?;
                self.listing.rows(&name, input, kind, count, found.len());
            }
            None => self.file(input, &name, size(&found), true),
        }
        Ok(())
    }

    /// Files by name, one a line; or, where names may hold newlines, each with a NUL after it.
    fn list(&mut self, stdin: &mut dyn Read) -> Result<(), Stopped> {
        let mut stdin = BufReader::new(stdin);
        let unreadable = |error| Stopped::Input(format!("cannot read the list on stdin: {error}"));
        let mut end = None;
        loop {
            let mut path = vec![];
            match end {
                None => {
                    // What ends the first name ends all.
                    let buffered = stdin.fill_buf().map_err(unreadable)?;
                    let nul = buffered.contains(&0);
                    end = Some(if nul { 0 } else { b'\n' });
                    continue;
                }
                Some(end) => stdin.read_until(end, &mut path).map_err(unreadable)?,
            };
            if path.is_empty() {
                return Ok(());
            }
            if path.last().copied() == end {
                path.pop();
            }
            if end == Some(b'\n') && path.last() == Some(&b'\r') {
                path.pop();
            }
            if path.is_empty() {
                continue;
            }
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
            let name = names::given(&path);
            let size = match fs::metadata(&path) {
                Ok(found) if found.is_dir() => Err("a folder, not a file".to_owned()),
                Ok(found) => size(&found),
                Err(error) => Err(error.to_string()),
            };
            self.file(&path, &name, size, true);
        }
    }

    fn walk(&mut self, root: &Path, prefix: &str) -> Result<(), Stopped> {
        let except = self.except.take();
        let wanted = |entry: &DirEntry| {
            let hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
            let excepted = entry.depth() > 0
                && entry.file_type().is_dir()
                && except.as_ref().is_some_and(|e| fs::canonicalize(entry.path()).is_ok_and(|p| p == *e));
            !hidden && !excepted
        };
        for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(wanted) {
            let (path, size) = match entry {
                Ok(entry) if entry.depth() == 0 => continue,
                Ok(entry) if entry.file_type().is_dir() => {
                    // A folder that is called like a file is somebody's mistake.
                    if !takes_any(self.decodes, &names::extension(entry.path())) {
                        continue;
                    }
                    (entry.into_path(), Err("a folder, not a file".to_owned()))
                }
                Ok(entry) => {
                    let found = entry.metadata().map_err(|e| e.to_string());
                    let size = found.and_then(|found| size(&found));
                    (entry.into_path(), size)
                }
                Err(error) if error.depth() == 0 => {
                    return Err(Stopped::Input(format!("cannot read `{}`: {error}", root.display())));
                }
                // A dangling link, a folder that may not be read.
                Err(error) => {
                    let Some(path) = error.path().map(Path::to_owned) else { continue };
                    // A link that leads back to a folder above it: what it leads to is found there.
                    let Some(error) = error.io_error() else { continue };
                    (path, Err(error.to_string()))
                }
            };
            let below = path.strip_prefix(root).unwrap_or(&path);
            let name = names::shown(below.as_os_str().as_bytes());
            if self.glob.is_some_and(|glob| !glob.matches(&name)) {
                continue;
            }
            let given = self.glob.is_some_and(Glob::names_a_kind);
            let name = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}/{name}") };
            // A folder that cannot be opened holds who knows what.
            let given = given || (size.is_err() && path.is_dir() && names::extension(&path).is_empty());
            self.file(&path, &name, size, given);
        }
        self.except = except;
        Ok(())
    }

    /// Files of other kinds are left alone unless they were given.
    fn file(&mut self, path: &Path, name: &str, size: Result<u64, String>, given: bool) {
        let extension = names::extension(path);
        if let [one] = self.decodes {
            if given || takes(one, &extension) {
                self.listing.file(name, name.len(), 0, path, size);
            } else {
                // A link that leads nowhere may be anything; a file of another kind is none of ours.
                self.listing.others += u64::from(size.is_ok());
            }
            return;
        }
        // Files that share a stem make an item. Where several decodes take the same kind of file, the file
        // says whose it is: "a.photo.png", "a.mask.png".
        let stem = names::stem(name);
        let candidates = || (0..self.decodes.len()).filter(|i| takes(&self.decodes[*i], &extension));
        let named =
            (0..self.decodes.len()).filter(|i| given || takes(&self.decodes[*i], &extension)).find_map(|i| {
                let rest = stem.strip_suffix(self.decodes[i].name.as_str())?.strip_suffix('.')?;
                (!rest.is_empty()).then_some((i, rest.len()))
            });
        match (named, candidates().count(), candidates().next()) {
            (Some((decode, key)), _, _) => self.listing.file(name, key, decode, path, size),
            (None, 1, Some(decode)) => self.listing.file(name, stem.len(), decode, path, size),
            (None, 2.., Some(first)) => {
                let example = format!("{stem}.{}.{extension}", self.decodes[first].name);
                let reason = format!("several decodes take .{extension}; call it `{example}` or alike");
                self.listing.file(name, name.len(), 0, path, Err(reason));
            }
            _ if given => {
                let reason = format!("no decode takes .{extension}");
                self.listing.file(name, name.len(), 0, path, Err(reason));
            }
            _ => self.listing.others += u64::from(size.is_ok()),
        }
    }
}

fn size(found: &fs::Metadata) -> Result<u64, String> {
    if found.is_file() { Ok(found.len()) } else { Err("not a regular file".to_owned()) }
}

fn takes(decode: &DecodePlan, extension: &str) -> bool {
    decode.decode.extensions().contains(&extension)
}

fn takes_any(decodes: &[DecodePlan], extension: &str) -> bool {
    decodes.iter().any(|decode| takes(decode, extension))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::Input;
    use crate::plan::{Decode, DecodeError, Decoded, Payload, TensorType};
    use std::ffi::OsStr;
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

    /// Name and what became of it: the name of its files, or why it is none.
    fn found(
        inputs: &[PathBuf],
        glob: Option<&str>,
        decodes: &[DecodePlan],
        stdin: &str,
    ) -> (Vec<(String, String)>, u64) {
        let inputs = Inputs { paths: inputs.to_vec(), glob: glob.map(|g| g.parse().unwrap()) };
        let wanted = Wanted { extensions: vec!["png"], ..Wanted::default() };
        let except = inputs.paths[0].join("out");
        let mut list = find(&inputs, &except, decodes, &wanted, &mut stdin.as_bytes()).unwrap();
        let items: Vec<(String, String)> = list
            .items(decodes)
            .unwrap()
            .map(|item| {
                let item = item.unwrap();
                let what = match item.input {
                    Input::Misfit(reason) => format!("! {reason}"),
                    Input::Files(files) => {
                        files.iter().for_each(|file| assert!(file.is_file(), "{file:?}"));
                        item.output
                    }
                    Input::Row(row) => format!("{:?}", row.payloads(decodes)),
                };
                (item.name, what)
            })
            .collect();
        assert_eq!(list.total, items.len() as u64);
        (items, list.others)
    }

    fn of(folder: &tempfile::TempDir, decodes: &[DecodePlan]) -> Vec<(String, String)> {
        found(&[folder.path().to_owned()], None, decodes, "").0
    }

    fn pairs(items: &[(String, String)]) -> Vec<(&str, &str)> {
        items.iter().map(|(name, what)| (name.as_str(), what.as_str())).collect()
    }

    #[test]
    fn a_folder_is_searched_through_in_the_order_of_paths() {
        let input =
            folder(&["b.JPG", "a/2.png", "a/10.jpg", "a/10.png", "notes.txt", ".hidden/x.jpg", "out/y.jpg"]);
        fs::create_dir(input.path().join("folder.jpg")).unwrap();
        let (items, others) = found(&[input.path().to_owned()], None, &[decode("photo", IMAGES)], "");
        assert_eq!(
            pairs(&items),
            [
                ("a/10.jpg", "a/10.jpg"),
                ("a/10.png", "a/10.png"),
                ("a/2.png", "a/2"),
                ("b.JPG", "b"),
                ("folder.jpg", "! a folder, not a file")
            ]
        );
        assert_eq!(others, 1);
    }

    #[test]
    fn answers_never_share_a_name() {
        let input = folder(&["a.jpg", "a.jpg.jpg", "a.png", "b.jpg", "b.png/c.jpg"]);
        let items = of(&input, &[decode("photo", IMAGES)]);
        let outputs: Vec<&str> = items.iter().map(|(_, output)| output.as_str()).collect();
        assert_eq!(outputs, ["a.jpg", "a.jpg.jpg", "a.png", "b.jpg", "! a folder, not a file", "b.png/c"]);
    }

    #[test]
    fn a_glob_narrows_what_is_found() {
        let input = folder(&["2023/a.jpg", "2024/a.jpg", "2024/b.png", "2024/x.dat", "2024/notes.txt"]);
        let names = |glob: &str| -> Vec<String> {
            let inputs = [input.path().to_owned()];
            let (items, _) = found(&inputs, Some(glob), &[decode("photo", IMAGES)], "");
            items.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names("2024/**"), ["2024/a.jpg", "2024/b.png"]);
        assert_eq!(names("*.png"), ["2024/b.png"]);
        assert_eq!(names("*.dat"), ["2024/x.dat"]);
    }

    #[test]
    fn a_list_is_ended_by_newlines_or_nuls() {
        let input = folder(&["a.jpg", "b\n.dat"]);
        let at = input.path().to_str().unwrap();
        let name = |file: &str| format!("{}/{file}", at.trim_start_matches('/'));
        let decodes = [decode("photo", IMAGES)];
        let stdin = ["-".into()];
        let (items, _) = found(&stdin, None, &decodes, &format!("{at}/none.jpg\r\n{at}/a.jpg\n\n{at}/a.jpg"));
        assert_eq!(items[0].0, name("a.jpg"));
        assert!(items[1].1.starts_with("! No such file"), "{items:?}");
        assert_eq!(items.len(), 2);
        let (items, _) = found(&stdin, None, &decodes, &format!("{at}/b\n.dat\0{at}/a.jpg\0"));
        assert_eq!([items[0].0.clone(), items[1].0.clone()], [name("a.jpg"), name("b\n.dat")]);
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
        let items = of(&input, &[decode("photo", IMAGES)]);
        assert_eq!(pairs(&items), [(r"a\xfe.jpg", r"a\xfe"), (r"a\xff.jpg", r"a\xff")]);
    }

    #[test]
    fn files_that_share_a_stem_make_an_item() {
        let input = folder(&["a.jpg", "a.json", "a-b.json", "b.jpg", "c.json", "c.png", "c.jpg", "d.txt"]);
        let items = of(&input, &[decode("meta", &["json"]), decode("photo", IMAGES)]);
        assert_eq!(
            pairs(&items),
            [
                ("a", "a"),
                ("a-b", "! no file for decode `photo` (.jpg, .png) shares its stem"),
                ("b", "! no file for decode `meta` (.json) shares its stem"),
                ("c", "c"),
                ("c.png", "! a second file for decode `photo`"),
            ]
        );
    }

    #[test]
    fn a_file_may_say_whose_it_is() {
        let input = folder(&["a.photo.jpg", "a.mask.png", "b.jpg"]);
        let items = of(&input, &[decode("photo", IMAGES), decode("mask", IMAGES)]);
        assert_eq!(items[0], ("a".to_owned(), "a".to_owned()));
        assert!(items[1].1.contains("b.photo.jpg"), "{items:?}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_special_files_neither_hang_nor_get_lost() {
        use std::os::unix::fs::symlink;
        let input = folder(&["a.jpg", "sub/b.jpg"]);
        symlink(input.path(), input.path().join("sub/loop")).unwrap();
        symlink("nowhere.jpg", input.path().join("dangling.jpg")).unwrap();
        symlink("/dev/zero", input.path().join("zero.jpg")).unwrap();
        let items = of(&input, &[decode("photo", IMAGES)]);
        let names: Vec<&str> = items.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.jpg", "dangling.jpg", "sub/b.jpg", "zero.jpg"]);
        assert_eq!(items[3].1, "! not a regular file");
    }

    #[test]
    fn several_inputs_are_named_as_they_were_given() {
        let input = folder(&["one/a.jpg", "two/a.jpg", "x.bin"]);
        let inputs = ["one", "two", "x.bin", "two/a.jpg"].map(|n| input.path().join(n));
        let (items, _) = found(&inputs, None, &[decode("photo", IMAGES)], "");
        let names: Vec<&str> = items.iter().map(|(name, _)| name.rsplit_once('/').unwrap().1).collect();
        assert_eq!(names, ["a.jpg", "a.jpg", "x.bin"]);
        let inputs = Inputs { paths: vec![input.path().join("none")], glob: None };
        assert!(find(&inputs, Path::new("nowhere"), &[], &Wanted::default(), &mut "".as_bytes()).is_err());
    }

    #[test]
    fn rows_of_a_file_are_items() {
        let input = folder(&["a.jpg"]);
        let at = |name: &str| input.path().join(name);
        fs::write(at("t.jsonl"), "{\"photo\": {\"path\": \"a.jpg\"}}\n\n{\"photo\": \"eA==\"}\n{}").unwrap();
        fs::write(at("t.csv"), "id,photo\n1,a.jpg\n2,none.jpg\n").unwrap();
        let decodes = [decode("photo", IMAGES)];
        let (items, _) = found(&[at("t.jsonl")], None, &decodes, "");
        let names: Vec<&str> = items.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["t.jsonl#0", "t.jsonl#1", "t.jsonl#2"]);
        assert_eq!(items[0].1, r#"Ok([Bytes(b"xy")])"#);
        assert!(items[1].1.contains("eA=="), "{items:?}");
        assert!(items[2].1.contains("has no `photo`"), "{items:?}");
        let (items, _) = found(&[at("t.csv")], None, &decodes, "");
        assert_eq!(items[0].1, r#"Ok([Bytes(b"xy")])"#);
        assert!(items[1].1.contains("none.jpg") && items[1].1.contains("No such file"), "{items:?}");
    }
}
