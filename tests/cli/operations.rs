//! Operations within pipelines that are served: numbers of two models that give back what they are sent.

use super::house::root;
use super::run::{Server, post_json, start};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const PIPELINES: &str = r#"
[device]
use = "cpu"
[models.scores]
[models.reader]

[pipelines.cascade]
decode.x = { format = "json", shape = [3] }
[pipelines.cascade.steps]
small = { model = "scores", inputs = { x = "x" } }
sure  = { op = "max", from = "small" }
kind  = { op = "argmax", from = "small", labels = "labels.txt" }
twice = { op = "scale", from = "x", factor = 2 }
large = { model = "scores", inputs = { x = "twice" }, when = "sure < 0.85 and kind in ['car', 'bus']" }
best  = { op = "first", from = ["large", "small"] }
[pipelines.cascade.online.encode.o]
format = "json"
fields = { best = "best.value", from = "best.source", kind = "kind", large = "large" }

[pipelines.mean]
decode.a = { format = "json", shape = [3] }
decode.b = { format = "json", shape = [3] }
decode.c = { format = "json", shape = [3] }
[pipelines.mean.steps]
a2   = { model = "scores", inputs = { x = "a" } }
sure = { op = "max", from = "c" }
c2   = { model = "scores", inputs = { x = "c" }, when = "sure > 0" }
vote = { op = "mean", from = ["a2", "b", "c2"], weights = [1, 1, 2], least = 2 }
all  = { op = "sum", from = ["a2", "b", "c2"], least = 3 }
top  = { op = "top", from = "vote", top = 2, labels = "labels.txt" }
near = { op = "similar", from = "a2", index = "index.npy", names = "names.txt", top = 2 }
[pipelines.mean.online.encode.o]
format = "json"
fields = { vote = "vote", all = "all", top = "top.values", at = "top.indices", near = "near", how = { from = "near.scores", as = "values", round = 3 } }

[pipelines.read]
decode.x = { format = "json", shape = [-1, 4] }
[pipelines.read.steps]
seen = { model = "reader", inputs = { x = "x" } }
text = { op = "ctc", from = "seen", alphabet = "alphabet.txt", scores = "probabilities" }
row  = { op = "split", from = "seen", top = 5 }
best = { op = "max", each = "row", from = "row" }
mean = { op = "mean", over = "row", from = "best" }
sure = { op = "max", over = "row", from = "best", least = 3 }
[pipelines.read.online.encode.o]
format = "json"
fields = { text = "text.text", score = { from = "text.score", as = "scalar", round = 3 }, rows = { each = "row", fields.best = { from = "best", round = 3 } }, mean = { from = "mean", as = "scalar", round = 3 }, sure = "sure" }
"#;

fn serve() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let store = root().join("tests/fixtures/steps/store");
    let file = folder.path().join("p.toml");
    fs::write(&file, format!("[store]\npath = {store:?}\nwatch = false{PIPELINES}")).unwrap();
    let server = start(&[file.to_str().unwrap()]);
    (folder, server)
}

fn answer(server: &Server, pipeline: &str, body: Value) -> Value {
    let (status, answer) = post_json(server, &format!("/{pipeline}/predict"), &body);
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

#[test]
fn operations_join_branch_and_read_what_models_give() {
    let (_folder, server) = serve();

    // Sure: the large model does not run.
    let sure = answer(&server, "cascade", json!({ "x": [0.05, 0.05, 0.9] }));
    assert_eq!(sure, json!({ "best": [0.05, 0.05, 0.9], "from": "small", "kind": "bus", "large": null }));
    // Unsure: it does, but not of a truck.
    let unsure = answer(&server, "cascade", json!({ "x": [0.5, 0.25, 0.25] }));
    assert_eq!(
        unsure,
        json!({ "best": [1.0, 0.5, 0.5], "from": "large", "kind": "car", "large": [1.0, 0.5, 0.5] })
    );
    let truck = answer(&server, "cascade", json!({ "x": [0.25, 0.5, 0.25] }));
    assert_eq!((&truck["from"], &truck["kind"]), (&json!("small"), &json!("truck")));
    // What is compared with 0.85 is 0.85.
    assert_eq!(answer(&server, "cascade", json!({ "x": [0.85, 0.1, 0.05] }))["from"], json!("small"));

    let (a, b) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
    let all = answer(&server, "mean", json!({ "a": a, "b": b, "c": [0.0, 0.0, 1.0] }));
    assert_eq!((&all["vote"], &all["all"]), (&json!([0.25, 0.25, 0.5]), &json!([1.0, 1.0, 1.0])));
    assert_eq!(all["at"], json!(["bus", "car"]));
    // The rows of the index are (3, 4, 0), (0, 0, 5), (1, 0, 0) and (-1, 0, 0).
    assert_eq!((&all["near"], &all["how"]), (&json!(["one", "both"]), &json!([1.0, 0.6])));
    // Two of three are enough for one, and weigh as they did.
    let two = answer(&server, "mean", json!({ "a": a, "b": b, "c": [0.0, 0.0, 0.0] }));
    assert_eq!((&two["vote"], &two["all"]), (&json!([0.5, 0.5, 0.0]), &json!(null)));

    let steps = [[0.1, 0.7, 0.1, 0.1], [0.0, 0.9, 0.1, 0.0], [1.0, 0.0, 0.0, 0.0], [0.1, 0.0, 0.3, 0.6]];
    let read = answer(&server, "read", json!({ "x": steps }));
    let rows = json!([{ "best": 0.7 }, { "best": 0.9 }, { "best": 1.0 }, { "best": 0.6 }]);
    assert_eq!(read, json!({ "text": "ac", "score": 0.65, "rows": rows, "mean": 0.8, "sure": 1.0 }));
    let nothing = answer(&server, "read", json!({ "x": [[1.0, 0.0, 0.0, 0.0]] }));
    assert_eq!(
        nothing,
        json!({ "text": "", "score": 0.0, "rows": [{ "best": 1.0 }], "mean": 1.0, "sure": null })
    );
    // An empty list has no mean, and is a list.
    let empty = answer(&server, "read", json!({ "x": [] }));
    assert_eq!(empty, json!({ "text": "", "score": 0.0, "rows": [], "mean": null, "sure": null }));
    // More rows than the list may have are the sender's.
    let (status, problem) = post_json(&server, "/read/predict", &json!({ "x": vec![[1, 0, 0, 0]; 6] }));
    assert_eq!(status, 422, "{problem}");
    assert!(
        problem["detail"].to_string().contains("there are 6 rows, and `top = 5` is the most"),
        "{problem}"
    );
}

#[test]
fn an_index_and_its_names_change_with_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let from = root().join("tests/fixtures/steps/store/scores/1");
    let copied = |version: &str| {
        let to = folder.path().join("store/scores").join(version);
        fs::create_dir_all(&to).unwrap();
        for file in ["index.npy", "names.txt", "model.onnx"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
        to
    };
    copied("1");
    let text = r#"
[store]
path = "store"
settle = "100ms"
[device]
use = "cpu"
[models.scores]
[pipelines.who]
decode.x = { format = "json", shape = [3] }
steps.seen = { model = "scores", inputs = { x = "x" } }
steps.near = { op = "similar", from = "seen", index = "index.npy", names = "names.txt" }
online.encode.o = { format = "json", fields.who = "near.names" }
"#;
    let file = folder.path().join("p.toml");
    fs::write(&file, text).unwrap();
    let server = start(&[file.to_str().unwrap()]);
    let who = || answer(&server, "who", json!({ "x": [1.0, 0.0, 0.0] }));
    assert_eq!(who(), json!({ "who": ["one"] }));

    // The header stays: as many rows of as many numbers.
    let mut array = fs::read(from.join("index.npy")).unwrap();
    let start = array.len() - 4 * 3 * 4;
    let rows = [[1f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]];
    array.truncate(start);
    array.extend(rows.iter().flatten().flat_map(|x| x.to_le_bytes()));
    let second = folder.path().join("second");
    fs::rename(copied("2"), &second).unwrap();
    fs::write(second.join("index.npy"), array).unwrap();
    fs::write(second.join("names.txt"), "ann\nbob\ncy\ndee\n").unwrap();
    fs::rename(&second, folder.path().join("store/scores/2")).unwrap();
    let begun = Instant::now();
    while who() != json!({ "who": ["ann"] }) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the new version was not taken up: {}", who());
    }
}
