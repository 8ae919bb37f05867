//! What is found in folders, lists and files of rows, and what it is called.

use super::*;
use crate::offline::Input;
use crate::plan::{Decode, DecodeError, Decoded, Example, Payload, TensorType};
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
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn example(&self) -> Example {
        Example::File(String::new())
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
    let inputs = Inputs { paths: inputs.to_vec(), glob: glob.map(|g| g.parse().unwrap()), delimiter: None };
    let wanted = Selection { extensions: vec!["png"], ..Selection::default() };
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
    assert_eq!(outputs, ["a.jpg", "a.jpg.jpg", "a.png", "b.jpg", "b.png/c"]);
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
    let inputs = Inputs { paths: vec![input.path().join("none")], glob: None, delimiter: None };
    assert!(find(&inputs, Path::new("nowhere"), &[], &Selection::default(), &mut "".as_bytes()).is_err());
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

#[test]
fn a_folder_called_like_a_picture_is_a_folder() {
    let input = folder(&["a.jpg/b.jpg", "c.jpg"]);
    fs::create_dir(input.path().join("empty.jpg")).unwrap();
    assert_eq!(
        pairs(&of(&input, &[decode("photo", IMAGES)])),
        [("a.jpg/b.jpg", "a.jpg/b"), ("c.jpg", "c"), ("empty.jpg", "! a folder, not a file")]
    );
}

#[test]
fn results_among_the_inputs_are_no_items() {
    let input = folder(&["a.jpg", "map/a.png", "own/b.png", "below/map/c.png"]);
    let inputs = Inputs { paths: vec![input.path().to_owned()], glob: None, delimiter: None };
    let selection = Selection { written: vec!["map".into(), "rows.csv".into()], ..Selection::default() };
    let decodes = [decode("photo", IMAGES)];
    let mut list = find(&inputs, input.path(), &decodes, &selection, &mut "".as_bytes()).unwrap();
    let names: Vec<String> = list.items(&decodes).unwrap().map(|item| item.unwrap().name).collect();
    assert_eq!(names, ["a.jpg", "below/map/c.png", "own/b.png"]);
}
