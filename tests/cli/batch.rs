//! `rserve batch` over the shipped images, with bad files among them.

use super::house::{images, say};
use std::fs;
use std::path::Path;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".rserve");
    names.sort();
    names
}

#[test]
fn every_image_has_a_row_and_a_file() {
    let output = tempfile::tempdir().unwrap();
    let to = output.path().to_str().unwrap();
    let said = say(&[
        "batch",
        "--pipeline",
        "landing-spot",
        "--input",
        "examples/images/landing-spot",
        "--output",
        to,
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    let images = images("landing-spot");
    assert!(said.err.contains(&format!("{} done, 0 failed", images.len())), "{}", said.err);
    assert_eq!(names(output.path()), ["map", "rows.jsonl"]);
    let rows = fs::read_to_string(output.path().join("rows.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), images.len());
    for (row, image) in rows.lines().zip(&images) {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let name = image.file_name().unwrap().to_str().unwrap();
        assert!(row.to_string().contains(name), "{row} is not of {name}");
    }
    assert_eq!(names(&output.path().join("map")).len(), images.len());
}

#[test]
fn bad_items_are_listed_and_the_rest_goes_on() {
    let input = tempfile::tempdir().unwrap();
    for (i, image) in images("road").iter().take(5).enumerate() {
        let extension = image.extension().unwrap().to_str().unwrap();
        fs::create_dir_all(input.path().join("sub")).unwrap();
        fs::copy(image, input.path().join(format!("sub/{i}.{extension}"))).unwrap();
    }
    fs::write(input.path().join("corrupt.jpg"), b"\xff\xd8\xff\xe0 this is no picture").unwrap();
    fs::write(input.path().join("empty.png"), b"").unwrap();
    fs::create_dir(input.path().join("folder.jpg")).unwrap();
    fs::write(input.path().join("notes.md"), b"left alone").unwrap();
    let output = tempfile::tempdir().unwrap();
    let to = output.path().join("results");
    let arguments = [
        "batch",
        "pipelines/road.toml",
        "--pipeline",
        "road-classification",
        "--input",
        input.path().to_str().unwrap(),
        "--output",
        to.to_str().unwrap(),
    ];
    let said = say(&arguments);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("5 done, 3 failed"), "{}", said.err);
    let rows = fs::read_to_string(to.join("rows.csv")).unwrap();
    assert_eq!(rows.lines().count(), 6, "a header and five rows: {rows}");
    let errors = fs::read_to_string(to.join("errors.jsonl")).unwrap();
    let errors: Vec<serde_json::Value> = errors.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut paths: Vec<&str> = errors.iter().map(|e| e["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["corrupt.jpg", "empty.png", "folder.jpg"]);
    assert!(
        errors
            .iter()
            .all(|e| !e["step"].as_str().unwrap().is_empty() && !e["reason"].as_str().unwrap().is_empty())
    );

    // The same again, once mended, is another list of items. Begun anew it leaves no old errors behind, and
    // gives the same rows.
    for bad in ["corrupt.jpg", "empty.png"] {
        fs::remove_file(input.path().join(bad)).unwrap();
    }
    fs::remove_dir(input.path().join("folder.jpg")).unwrap();
    let said = say(&arguments);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("the list of 8 items has changed; it has 5 now"), "{}", said.err);
    assert_eq!(say(&[&arguments[..], &["--restart"]].concat()).code, 0);
    assert_eq!(names(&to), ["rows.csv"]);
    assert_eq!(fs::read_to_string(to.join("rows.csv")).unwrap(), rows);
}

#[test]
fn what_cannot_be_done_is_said() {
    let said = say(&["batch", "--pipeline", "landing-spto", "--input", "examples/images/landing-spot"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("did you mean `landing-spot`?"), "{}", said.err);
    let said = say(&["batch", "--pipeline", "landing-spot", "--input", "no-such-folder"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("cannot read `no-such-folder`"), "{}", said.err);
    let said = say(&["batch", "--pipeline", "landing-spot", "--input", "examples/train"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("nothing to do in `examples/train`: decode `photo` takes .jpg"),
        "{}",
        said.err
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let blocked = file.path().join("below-a-file");
    let arguments =
        ["batch", "--pipeline", "landing-spot", "--input", "examples/images/landing-spot", "--output"];
    let said = say(&[&arguments[..], &[blocked.to_str().unwrap()]].concat());
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("0 done and 0 failed are kept; the same command goes on"), "{}", said.err);
    // The same command would begin anew.
    let said = say(&[&arguments[..], &[blocked.to_str().unwrap(), "--restart"]].concat());
    assert!(said.err.contains("the same command without `--restart` goes on"), "{}", said.err);
}
