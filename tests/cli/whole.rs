//! `op = "crop"` without a box: the whole picture once more, at another size than its decode gives.

use super::house::{root, say};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const TWICE: &str = r#"
[pipelines.cut]
decode.photo = { format = "image", size = 20, fit = "contain" }
steps.view   = { op = "crop", on = "photo", size = [12, 8], mean = 0.5, std = 0.25 }
offline.encode.values = { format = "npy", from = "view" }

[pipelines.plain]
decode.photo = { format = "image", size = [12, 8], mean = 0.5, std = 0.25 }
steps.same   = { op = "scale", from = "photo", factor = 1 }
offline.encode.values = { format = "npy", from = "same" }
"#;

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let npy = entries.filter(|path| path.extension().is_some_and(|e| e == "npy"));
    npy.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn the_whole_picture_is_cut_out_as_a_decode_of_that_size_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("twice.toml");
    let store = root().join("examples/models");
    fs::write(&file, format!("[store]\npath = {store:?}\n{TWICE}")).unwrap();
    let run = |pipeline: &str| {
        let output = folder.path().join(pipeline);
        let arguments = ["batch", file.to_str().unwrap(), "--pipeline", pipeline, "--glob", "turned-*.jpg"];
        let paths = ["--input", "tests/fixtures/codec/pictures", "--output", output.to_str().unwrap()];
        let said = say(&[&arguments[..], &paths].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        files(&output.join("values"))
    };
    let (cut, plain) = (run("cut"), run("plain"));
    assert!(cut.len() >= 7, "{:?}", cut.keys());
    assert_eq!(cut, plain);
}

#[test]
fn the_whole_picture_cannot_grow() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grown.toml");
    let steps = TWICE.replace("on = \"photo\"", "on = \"photo\", grow = 0.1");
    fs::write(&file, format!("[store]\npath = {:?}\n{steps}", root().join("examples/models"))).unwrap();
    let said = say(&["check", file.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("there is no box that could grow: all of the picture is taken"),
        "{}",
        said.err
    );
}
