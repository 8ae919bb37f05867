//! The commands that end by themselves.

use super::house::{root, rserve, say};
use std::fs;
use std::process::Stdio;

#[test]
fn help_has_examples_for_each_command() {
    for command in ["run", "batch", "check", "graph", "inspect", "completions"] {
        let said = say(&[command, "--help"]);
        assert_eq!(said.code, 0, "{command}");
        assert!(said.out.contains("Examples:\n  rserve "), "{command}: {}", said.out);
        assert!(!said.out.contains('\x1b'), "{command}");
    }
    let version = format!("rserve {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((say(&["--version"]).out, say(&["version"]).out), (version.clone(), version));
    assert_eq!(say(&["help", "batch"]).out, say(&["batch", "--help"]).out);
    assert!(say(&["help"]).out.contains("Commands:"));
}

/// It proposed `-- --port`, which takes the flag for a file.
#[test]
fn an_unknown_flag_is_not_taken_for_a_value() {
    let said = say(&["run", "--port", "80"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("'--port'") && !said.err.contains("-- --port"), "{}", said.err);
    let near = say(&["run", "--listne", "localhost:80"]);
    assert!(near.err.contains("--listen"), "{}", near.err);
}

#[test]
fn a_wrong_call_is_2() {
    for wrong in
        [&["rum"][..], &["run", "--listen", "here"], &["batch"], &["run", "--log", "rserve=loud"], &[]]
    {
        let said = say(wrong);
        assert_eq!(said.code, 2, "{wrong:?}: {}", said.err);
        assert!(!said.err.is_empty());
    }
}

#[test]
fn the_shipped_pipelines_compile() {
    let said = say(&["check"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("pipeline road-classification on POST /road-classification/predict"),
        "{}",
        said.out
    );
    assert!(said.out.contains("pipeline landing-spot on POST /landing-spot/predict"), "{}", said.out);
    assert!(said.out.ends_with("no errors\n"));
}

#[test]
fn what_is_wrong_is_1_and_said_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let models = root().join("examples/models");
    let file = folder.path().join("broken.toml");
    let text = fs::read_to_string(root().join("pipelines/road.toml")).unwrap();
    let text = text.replace("../examples/models", models.to_str().unwrap());
    let text = text.replace("image = \"photo\", mask = \"mask\"", "image = \"phto\", mask = \"mask\"");
    fs::write(&file, &text).unwrap();
    let line = text.lines().position(|l| l.contains("phto")).unwrap() + 1;
    let said = say(&["check", file.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("broken.toml:{line}:")), "{}", said.err);
    assert!(said.err.contains("`photo`"), "{}", said.err);
    assert!(!said.err.contains('\x1b'));
    let coloured =
        rserve().args(["check", file.to_str().unwrap()]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(String::from_utf8_lossy(&coloured.stderr).contains('\x1b'));
    // The same for `run`, which then does not listen.
    assert_eq!(say(&["run", file.to_str().unwrap()]).code, 1);
}

/// It stopped the check of the other files.
#[test]
fn a_file_that_is_not_text_is_reported_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), b"[store]\n# caf\xe9\n").unwrap();
    fs::write(folder.path().join("b.toml"), "[store]\npaht = 1\n").unwrap();
    let said = say(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("a.toml` is not UTF-8 text") && said.err.contains("a.toml:2:"), "{}", said.err);
    assert!(said.err.contains("unknown key `paht`"), "{}", said.err);
}

#[test]
fn what_is_not_there_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let empty = say(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(empty.code, 1);
    assert!(empty.err.contains("there is no *.toml in"), "{}", empty.err);
    // Somebody who has only begun is told how.
    let mut here = rserve();
    let output = here.current_dir(folder.path()).arg("run").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in
        ["there is no `pipelines` here", "write pipelines/first.toml", "rserve inspect", "[pipelines.first]"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let none = say(&["run", "pipelines/raod.toml"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("there is no `pipelines/raod.toml`"), "{}", none.err);
}

#[test]
fn graph_draws_all_pipelines_or_one() {
    for (format, mark) in [
        ("text", "pipeline road-classification"),
        ("mermaid", "flowchart LR"),
        ("dot", "digraph"),
        ("svg", "<svg"),
    ] {
        let said = say(&["graph", "--format", format]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.contains(mark) && said.out.contains("landing-spot"), "{format}: {}", said.out);
        let one = say(&["graph", "--format", format, "--pipeline", "road-classification"]);
        assert!(one.out.contains("surface") && !one.out.contains("landing-spot"), "{format}: {}", one.out);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.svg");
    assert_eq!(say(&["graph", "--format", "svg", "-o", file.to_str().unwrap()]).code, 0);
    assert!(fs::read_to_string(file).unwrap().starts_with("<svg"));
    let said = say(&["graph", "--pipeline", "raod-classification"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("did you mean `road-classification`?"), "{}", said.err);
}

#[test]
fn inspect_tells_what_a_model_is() {
    let said = say(&["inspect", "examples/models/surface/2/model.onnx"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for part in [
        "inputs\n  image: float32[",
        "outputs\n  probabilities: float32[",
        "Conv",
        "all of them are supported",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let json = say(&["inspect", "--json", "examples/models/surface/2/model.onnx"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["inputs"][1]["name"], "mask");
    assert_eq!(json["batches"], true);
    assert_eq!(json["unsupported"], serde_json::json!([]));
    assert!(json["operators"]["Conv"].as_u64().unwrap() > 0);

    assert_eq!(say(&["inspect", "Cargo.toml"]).code, 1);
    assert_eq!(say(&["inspect", "no-such-file"]).code, 1);
}

/// What a model file calls its parts goes to a terminal.
#[test]
fn names_in_a_model_do_not_reach_the_terminal_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = fs::read(root().join("examples/models/surface/2/model.onnx")).unwrap();
    let name = b"probabilities";
    let evil = b"\x1b[2J\r\nfine: x";
    let places: Vec<usize> = (0..model.len()).filter(|at| model[*at..].starts_with(name)).collect();
    assert!(!places.is_empty());
    for at in places {
        model[at..at + evil.len()].copy_from_slice(evil);
    }
    let file = folder.path().join("model.onnx");
    fs::write(&file, model).unwrap();
    let said = say(&["inspect", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!said.out.contains('\x1b') && !said.out.contains('\r'), "{}", said.out);
    assert!(said.out.contains("  \\u{1b}[2J\\r\\nfine: x: float32["), "{}", said.out);
    // Nor by what is said of a pipeline that uses it.
    fs::create_dir_all(folder.path().join("store/evil/1")).unwrap();
    fs::rename(&file, folder.path().join("store/evil/1/model.onnx")).unwrap();
    let toml = folder.path().join("evil.toml");
    let text = |from: &str| {
        format!(
            "[store]\npath = \"store\"\n[models.evil]\n[pipelines.p]\n\
             decode.photo = {{ format = \"image\", size = [64, 64] }}\ndecode.mask = {{ format = \"npy\" }}\n\
             [pipelines.p.steps]\ns = {{ model = \"evil\", inputs = {{ image = \"photo\", mask = \"mask\" }} }}\n\
             [pipelines.p.online]\nencode.reply = {{ format = \"npy\", from = \"{from}\" }}\n"
        )
    };
    for (from, command, code) in
        [("s", "graph", 0), ("s", "check", 0), ("s.y", "check", 1), ("s.y", "graph", 1)]
    {
        fs::write(&toml, text(from)).unwrap();
        let said = say(&[command, toml.to_str().unwrap()]);
        let text = said.out + &said.err;
        assert_eq!(said.code, code, "{text}");
        assert!(!text.contains(['\x1b', '\r']) && !text.contains("\nfine"), "{command} {from}: {text}");
        let says = code == 0 || text.contains("\\u{1b}[2J\\r\\nfine: x");
        assert!(says, "{command} {from}: {text}");
    }
}

#[test]
fn completions_are_printed_even_into_a_closed_pipe() {
    for shell in ["bash", "zsh", "fish"] {
        let said = say(&["completions", shell]);
        assert!(said.code == 0 && said.out.contains("rserve"), "{shell}");
    }
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rserve"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
