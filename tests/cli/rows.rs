//! Many clients at once, of models whose rows are not what they look like: each gets what is its own.

use super::house::{Said, root, say};
use super::run::{Server, post_json, start, status_page};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;

const CLIENTS: usize = 40;
const REQUESTS: usize = 50;

/// By model: whether its items come to share batches.
const MODELS: [(&str, bool); 13] = [
    ("found-named", false),
    ("found-by-ort", false),
    ("found-fixed", false),
    ("plain", true),
    ("first-row", false),
    ("sums", false),
    ("first-of-list", false),
    ("sequence-first", true),
    ("two-sides", false),
    ("dynamic-range", false),
    ("points", false),
    ("stride", false),
    ("fixed-batch", true),
];

/// The inputs of a model, as json decodes read them, and its outputs.
fn ports(model: &str) -> (&'static [(&'static str, &'static str)], &'static [&'static str]) {
    match model {
        "found-named" | "found-by-ort" => (&[("x", "[6, 5]")], &["rows"]),
        "found-fixed" => (&[("x", "[6, 5]")], &["boxes", "scores"]),
        "two-sides" => (&[("text", "[4]"), ("image", "[4]")], &["s"]),
        "dynamic-range" => (&[("x", "[4]")], &["y"]),
        "sequence-first" => (&[("x", "[3, 2]")], &["y"]),
        "points" => (&[("x", "[5, 3]")], &["y"]),
        "stride" => (&[("n", "[]"), ("step", "[]")], &["y"]),
        _ => (&[("x", "[2]")], &["y"]),
    }
}

fn pipelines() -> String {
    let store = root().join("tests/fixtures/rows");
    let mut text = format!("[store]\npath = {:?}\nwatch = false\n[device]\nuse = \"cpu\"\n", store);
    for (model, _) in MODELS {
        let (inputs, outputs) = ports(model);
        let dtype = if model == "stride" { "int64" } else { "float32" };
        // The file says 10, and the graph takes any number.
        let axis = if model == "fixed-batch" { "axis = 0, " } else { "" };
        let batch = format!("{{ {axis}max = 16, wait = \"2ms\" }}");
        let _ = writeln!(text, "[models.{model}]\nbatch = {batch}\n[pipelines.{model}]");
        for (input, shape) in inputs {
            let _ = writeln!(
                text,
                "decode.{input} = {{ format = \"json\", dtype = \"{dtype}\", shape = {shape} }}"
            );
        }
        let fed: Vec<String> = inputs.iter().map(|(input, _)| format!("{input} = \"{input}\"")).collect();
        let _ = writeln!(text, "steps.v = {{ model = \"{model}\", inputs = {{ {} }} }}", fed.join(", "));
        let fields: Vec<String> =
            outputs.iter().map(|output| format!("fields.{output} = \"v.{output}\"")).collect();
        let _ = writeln!(text, "online.encode.o = {{ format = \"json\", {} }}", fields.join(", "));
    }
    text
}

/// A request and its answer, of one client.
fn exchange(model: &str, random: &mut u64) -> (Value, Value) {
    let mut below = |n: u64| {
        *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*random >> 33) % n
    };
    let base = below(1000) as f64;
    let candidates = |found: u64| -> Vec<[f64; 5]> {
        let score = |k: u64| if k < found { 0.75 } else { 0.25 };
        (0..6).map(|k| (base + k as f64, k)).map(|(x, k)| [x, x, x + 0.5, x + 0.5, score(k)]).collect()
    };
    match model {
        "found-named" | "found-by-ort" | "found-fixed" => {
            let found = below(5);
            let x = candidates(found);
            let found = &x[..found as usize];
            let answer = match model {
                "found-fixed" => json!({
                    "boxes": found.iter().map(|row| &row[..4]).collect::<Vec<_>>(),
                    "scores": found.iter().map(|row| row[4]).collect::<Vec<_>>(),
                }),
                _ => {
                    json!({ "rows": found.iter().map(|[a, b, c, d, e]| [0.0, *a, *b, *c, *d, *e]).collect::<Vec<_>>() })
                }
            };
            (json!({ "x": x }), answer)
        }
        "plain" => {
            let x = [below(100) as f64 / 100.0, -0.5];
            (json!({ "x": x }), json!({ "y": x.map(|x| (x + x).tanh()) }))
        }
        "fixed-batch" => {
            let x = [below(100) as f64 / 100.0, -0.5];
            (json!({ "x": x }), json!({ "y": x.map(f64::tanh) }))
        }
        "first-row" | "sums" | "first-of-list" => {
            let x = [base, base + 1.0];
            (json!({ "x": x }), json!({ "y": x }))
        }
        "sequence-first" => {
            let x = [[base, 1.0], [2.0, 3.0], [4.0, 5.0]];
            (json!({ "x": x }), json!({ "y": [[base, 1.0], [base + 2.0, 4.0], [base + 6.0, 9.0]] }))
        }
        "two-sides" => {
            let (text, image) = ([base, 1.0, 0.0, 0.0], [1.0, 2.0, 0.0, 5.0]);
            (json!({ "text": text, "image": image }), json!({ "s": [base + 2.0] }))
        }
        "dynamic-range" => {
            // The ends of a range are exact.
            let most = 255.0 * (1.0 + below(9) as f64);
            (json!({ "x": [0.0, most, 0.0, most] }), json!({ "y": [0.0, most, 0.0, most] }))
        }
        "points" => {
            let x: Vec<[f64; 3]> = (0..5).map(|k| [base + k as f64, -base, k as f64]).collect();
            (json!({ "x": x }), json!({ "y": [base + 4.0, -base, 4.0] }))
        }
        "stride" => {
            let (n, step) = (below(20), 1 + below(3));
            let y: Vec<u64> = (0..n).step_by(step as usize).collect();
            (json!({ "n": n, "step": step }), json!({ "y": y }))
        }
        other => panic!("{other}"),
    }
}

/// Equal but for the last digits of numbers.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-4 * b.abs().max(1.0),
            _ => a == b,
        },
    }
}

fn run() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.toml");
    fs::write(&file, pipelines()).unwrap();
    let server = start(&[file.to_str().unwrap()]);
    (folder, server)
}

#[test]
fn nobody_gets_what_is_anothers() {
    let (_folder, server) = run();
    let server = &server;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut random = client as u64 + 1;
                for request in 0..REQUESTS {
                    let (model, _) = MODELS[(client + request) % MODELS.len()];
                    let (body, wanted) = exchange(model, &mut random);
                    let path = format!("/{model}/predict");
                    let (status, answer) = post_json(server, &path, &body);
                    assert_eq!(status, 200, "{model}: {answer}");
                    assert!(alike(&answer, &wanted), "{model}: {body} gives {answer}, and not {wanted}");
                }
            });
        }
    });
    let status = status_page(server);
    for (model, joined) in MODELS {
        let models = status["models"].as_array().unwrap();
        let found = models.iter().find(|found| found["name"] == model).unwrap();
        let batching = &found["generations"][0]["batching"];
        assert_eq!(batching["joined"], joined, "{model}: {batching}");
        assert!(!batching["why"].as_str().unwrap().is_empty(), "{model}");
    }
}

/// Runs `x` through one model offline, under a declaration of its batch.
fn offline(model: &str, batch: &str, beside: &[(&str, &[u8])]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join(format!("store/{model}/1"));
    fs::create_dir_all(&version).unwrap();
    let from = root().join("tests/fixtures/rows").join(model).join("1/model.onnx");
    fs::copy(from, version.join("model.onnx")).unwrap();
    for (name, content) in beside {
        fs::write(version.join(name), content).unwrap();
    }
    let file = folder.path().join("p.toml");
    let text = format!(
        "[store]\npath = \"store\"\n[device]\nuse = \"cpu\"\n[models.{model}]\n{batch}\n[pipelines.p]\n\
         decode.x = {{ format = \"json\" }}\nsteps.v = {{ model = \"{model}\", inputs = {{ x = \"x\" }} }}\n\
         encode.o = {{ format = \"jsonl\", fields.y = \"v.y\" }}\n"
    );
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("in.jsonl"), "{\"x\": [1, 2]}\n{\"x\": [3, 4]}\n").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, input, output) = (path("p.toml"), path("in.jsonl"), path("out"));
    let mut said = say(&["batch", &file, "--pipeline", "p", "--input", &input, "--output", &output]);
    said.out = fs::read_to_string(folder.path().join("out/o.jsonl")).unwrap_or_default();
    said
}

/// An npy file of float32.
fn npy(shape: &str, numbers: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
    let header = format!("{header:<117}\n");
    let mut file = [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes()].concat();
    file.extend_from_slice(header.as_bytes());
    file.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    file
}

#[test]
fn a_declaration_that_is_seen_to_be_wrong_is_refused() {
    let said = offline("first-of-list", "batch = { axis = 0 }", &[]);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("`batch` declares that items can be joined, and they cannot"), "{}", said.err);
    // Without one, and without a trial, each item is run alone; and where the graph shows it, whatever is declared.
    for (model, batch) in [
        ("first-of-list", ""),
        ("first-of-list", "warm = false"),
        ("first-of-list", "batch = { max = 1 }"),
        ("sums", ""),
        ("sums", "batch = { axis = 0 }"),
        ("sums", "batch = { axis = 0 }\nwarm = false"),
    ] {
        let said = offline(model, batch, &[]);
        assert_eq!(said.code, 0, "{batch}: {}", said.err);
        assert!(said.out.contains("[1.0,2.0]") && said.out.contains("[3.0,4.0]"), "{batch}: {}", said.out);
    }
}

#[test]
fn samples_that_lie_beside_a_model_are_what_it_is_tried_with() {
    let said = offline("plain", "", &[("warm-up.npy", &npy("(2, 2)", &[1.0, 2.0, 3.0, 4.0]))]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = offline("plain", "", &[("warm-up.npy", &npy("(2, 3)", &[0.0; 6]))]);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("cannot run what its `warm-up` files hold"), "{}", said.err);
    let said = offline("plain", "", &[("warm-up.npy", b"text")]);
    assert!(said.code == 3 && said.err.contains("not an npy file"), "{}", said.err);
}
