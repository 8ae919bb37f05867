//! Answers and tables about lists, of two models that give back what they are sent.

use super::house::{root, say};
use super::run::{Server, ask, json as read_json, post, post_json, start};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const PIPELINE: &str = r#"
[device]
use = "cpu"
[models.scores]
[models.reader]

[pipelines.rows]
decode.x = { format = "json", shape = [-1, 4] }

[pipelines.rows.steps]
seen  = { model = "reader", inputs = { x = "x" } }
row   = { op = "split", from = "seen", top = 10 }
sure  = { op = "max", each = "row", from = "row" }
part  = { op = "slice", each = "row", from = "row", end = 3 }
again = { model = "scores", each = "row", inputs = { x = "part" }, when = "sure > 0.5" }
kind  = { op = "argmax", each = "row", from = "again", labels = "labels.txt" }
cell  = { op = "split", each = "row", from = "part", top = 3 }
n     = { op = "count", from = "row" }
first = { op = "max", from = "x", when = "n > 2" }

[pipelines.rows.online]
encode.reply = { format = "json", fields.n = { from = "n", as = "scalar" }, fields.first = { from = "first", as = "scalar" }, fields.sure = { from = "sure", as = "scalar" }, fields.rows = { each = "row", fields.kind = "kind", fields.number = { from = "kind", as = "values" }, fields.scores = { from = "again", as = "scores", labels = "labels.txt" }, fields.of = { from = "n", as = "scalar" }, fields.cells = { each = "cell", fields.value = { from = "cell", as = "scalar" } } } }
encode.rows = { format = "csv", each = "row", fields = { kind = "kind", sure = { from = "sure", as = "scalar" }, scores = { from = "again", as = "scores", labels = "labels.txt" } } }
encode.cells = { format = "jsonl", each = "cell", fields = { value = { from = "cell", as = "scalar" }, kind = "kind" } }

[pipelines.photo]
decode.photo = { format = "image", size = [16, 16], fit = "contain" }
[pipelines.photo.steps]
light  = { op = "mean", from = "photo" }
bright = { op = "scale", from = "light", factor = 2, when = "light < 0.9" }
best   = { op = "first", from = ["bright", "light.value"] }
[pipelines.photo.online]
encode.o = { format = "json", fields = { size = { from = "photo", as = "size" }, by = { from = "best", as = "source" } } }

[pipelines.rows.offline.encode]
rows  = { format = "csv", each = "row", fields = { kind = "kind", sure = { from = "sure", as = "scalar" }, scores = { from = "again", as = "scores", labels = "labels.txt" } } }
cells = { format = "jsonl", each = "cell", fields = { value = { from = "cell", as = "scalar" }, kind = "kind" } }
flat  = { format = "parquet", each = "row", fields = { kind = "kind", part = "part" } }
whole = { format = "parquet", fields = { kind = "kind", first = { from = "first", as = "scalar" }, cells = "cell" } }
"#;

fn file(folder: &Path) -> String {
    let path = folder.join("p.toml");
    let store = root().join("tests/fixtures/steps/store");
    fs::write(&path, format!("[store]\npath = {store:?}\nwatch = false{PIPELINE}")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Rows of four, in which the last tells how sure they are.
fn item(rows: &[[f32; 4]]) -> Value {
    json!(rows)
}

fn as_table(server: &Server, encode: &str, body: &Value) -> String {
    let head = format!("POST /rows/predict?encode={encode} HTTP/1.1\r\ncontent-type: application/json");
    let (status, _, body) = ask(&server.address, &head, body.to_string().as_bytes());
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

#[test]
fn a_request_is_answered_with_lists_and_tables_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&[&file(folder.path())]);
    let two = item(&[[0.25, 0.75, 0.0, 0.0], [0.5, 0.0, 0.0, 0.25]]);
    let none = item(&[]);
    let (status, answer) = post_json(&server, "/rows/predict", &two);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer,
        json!({
            "n": 2,
            "first": null,
            "sure": [0.75, 0.5],
            "rows": [
                {
                    "kind": "truck", "number": 1, "scores": { "car": 0.25, "truck": 0.75, "bus": 0.0 }, "of": 2,
                    "cells": [{ "value": 0.25 }, { "value": 0.75 }, { "value": 0.0 }],
                },
                {
                    "kind": null, "number": null, "scores": null, "of": 2,
                    "cells": [{ "value": 0.5 }, { "value": 0.0 }, { "value": 0.0 }],
                },
            ],
        })
    );
    let (status, answer) = post_json(&server, "/rows/predict", &none);
    assert_eq!((status, answer), (200, json!({ "n": 0, "first": null, "sure": [], "rows": [] })));
    let header = "kind,sure,scores_car,scores_truck,scores_bus\n";
    assert_eq!(as_table(&server, "rows", &two), format!("{header}truck,0.75,0.25,0.75,0.0\n,0.5,,,\n"));
    assert_eq!(as_table(&server, "rows", &none), header);
    let cells = as_table(&server, "cells", &two);
    assert_eq!(cells.lines().count(), 6);
    assert!(cells.starts_with("{\"value\":0.25,\"kind\":\"truck\"}\n"), "{cells}");
    assert_eq!(as_table(&server, "cells", &none), "");
}

#[test]
fn a_picture_has_the_size_that_it_was_sent_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&[&file(folder.path())]);
    for (name, size) in [("turned-1.jpg", [48, 32]), ("turned-6.jpg", [48, 32]), ("turned-6.tif", [48, 32])] {
        let picture = fs::read(root().join("tests/fixtures/codec/pictures").join(name)).unwrap();
        let (status, _, body) = post(&server, "/photo/predict", &picture);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        assert_eq!(read_json(&body), json!({ "size": size, "by": "bright" }), "{name}");
    }
}

/// Every file of an output, but for its record.
fn results(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    files.map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap())).collect()
}

#[test]
fn rows_of_elements_are_the_same_however_a_run_comes_about() {
    let work = tempfile::tempdir().unwrap();
    let config = file(work.path());
    let at = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    // Items of no rows, of several, and one of more than there may be, which fails.
    let rows = |n: usize| -> Vec<[f32; 4]> {
        (0..n).map(|k| [k as f32 / 8.0, (n - k) as f32 / 8.0, 0.0, 0.125]).collect()
    };
    let lines: String = [0, 2, 1, 11, 0, 3, 10, 0].map(|n| format!("{}\n", item(&rows(n)))).concat();
    fs::write(at("items.jsonl"), lines).unwrap();
    let run = |output: &str, more: &[&str]| {
        let (input, output) = (at("items.jsonl"), at(output));
        let fixed = ["batch", &config, "--pipeline", "rows", "--input", &input, "--output", &output];
        say(&[&fixed[..], more].concat())
    };
    let said = run("whole", &[]);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("7 done, 1 failed"), "{}", said.err);
    let whole = results(Path::new(&at("whole")));
    let table = |name: &str| String::from_utf8(whole[Path::new(name)].clone()).unwrap();
    let csv = table("rows.csv");
    assert_eq!(csv.lines().count(), 1 + 2 + 1 + 3 + 10, "{csv}");
    assert!(
        csv.starts_with("item,kind,sure,scores_car,scores_truck,scores_bus,models\nitems.jsonl#1,"),
        "{csv}"
    );
    // One that had nothing to ask the second model about names the first alone.
    let third: Vec<&str> = csv.lines().filter(|line| line.starts_with("items.jsonl#2,")).collect();
    assert_eq!(third, ["items.jsonl#2,,0.125,,,,reader@1"], "{csv}");
    assert_eq!(table("cells.jsonl").lines().count(), 3 * (2 + 1 + 3 + 10));

    // Gone on with, shared out and joined, and through a server.
    for limit in ["1", "3", "5"] {
        let said = run("stopped", &["--limit", limit, "--resume-anyway"]);
        assert!([0, 4].contains(&said.code), "{}", said.err);
    }
    assert_eq!(run("stopped", &["--resume-anyway"]).code, 4);
    for shard in ["0/3", "1/3", "2/3"] {
        let said = run(&shard[..1], &["--shard", shard]);
        assert!([0, 4].contains(&said.code), "{}", said.err);
    }
    assert_eq!(say(&["merge", &at("1"), &at("2"), &at("0"), "--output", &at("merged")]).code, 4);
    let server = start(&[&config]);
    let said = run("via", &["--via", &format!("http://{}", server.address)]);
    assert_eq!(said.code, 4, "{}", said.err);
    for other in ["stopped", "merged", "via"] {
        for (name, bytes) in results(Path::new(&at(other))) {
            assert!(bytes == whole[&name], "{other}: {}", name.display());
        }
    }
    let errors = read_json(&whole[Path::new("errors.jsonl")]);
    assert_eq!(errors["path"], "items.jsonl#3", "{errors}");
}
