//! `rserve batch` that is stopped and goes on, is shared out and joined, and runs beside a server.

use super::house::{images, rserve, say};
use super::run::{json, post, start};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// So many pictures, under names of their own.
fn pictures(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, image) in images("landing-spot").iter().cycle().take(count).enumerate() {
        let extension = image.extension().unwrap().to_str().unwrap();
        let to = folder.path().join(format!("{:02}/{index:04}.{extension}", index % 7));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(image, to).unwrap();
    }
    folder
}

/// Every file under the folder, with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap().to_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn same(a: &Path, b: &Path) {
    let (a, b) = (tree(a), tree(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let differing: Vec<_> =
        a.iter().filter(|(name, bytes)| b[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(differing.is_empty(), "{differing:?}");
}

fn arguments<'a>(input: &'a Path, output: &'a Path) -> Vec<&'a str> {
    let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
    vec![
        "batch",
        "pipelines/landing-spot.toml",
        "--pipeline",
        "landing-spot",
        "--input",
        input,
        "--output",
        output,
    ]
}

fn spawn(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserve"));
    command.current_dir(super::house::root()).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Signals the run once its journal has so many lines. How it ended, where the signal did not kill it.
fn stop_at(arguments: &[&str], output: &Path, lines: usize, signal: &str) -> Option<i32> {
    let mut child = spawn(arguments);
    let journal = output.join(".rserve/journal");
    let begun = Instant::now();
    loop {
        let written = fs::read(&journal).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count());
        if written >= lines {
            let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            assert!(killed.success());
            return child.wait().unwrap().code();
        }
        // On a quick machine it may be done before.
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "no {lines} lines in the journal");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn a_run_that_was_killed_or_interrupted_ends_with_the_same_bytes() {
    let (input, outputs) = (pictures(90), tempfile::tempdir().unwrap());
    fs::write(input.path().join("03/bad.jpg"), "no picture").unwrap();
    let (whole, stopped) = (outputs.path().join("whole"), outputs.path().join("stopped"));
    let said = say(&arguments(input.path(), &whole));
    assert_eq!(said.code, 4, "{}", said.err);

    let again = arguments(input.path(), &stopped);
    let killed = stop_at(&again, &stopped, 1, "-KILL");
    assert!(killed.is_none_or(|code| code == 4), "{killed:?}");
    let interrupted = stop_at(&again, &stopped, 2, "-INT");
    assert!([130, 4].map(Some).contains(&interrupted), "{interrupted:?}");
    let said = say(&again);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("90 done, 1 failed"), "{}", said.err);
    same(&whole, &stopped);
}

/// The shipped models behind tables of all kinds.
const TABLES: &str = r#"
[store]
path = "STORE"

[models.landing-safety]
[models.landing-spot]

[pipelines.tables]
decode.photo = { format = "image", size = [96, 96], mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }
encode.first  = { format = "parquet", fields.centre = "spot.centre", fields.radius = { from = "spot.radius", as = "scalar" }, fields.ground = { from = "safety", as = "shares", labels = "labels.txt" } }
encode.second = { format = "csv", fields.centre = "spot.centre" }
encode.third  = { format = "jsonl", fields.centre = "spot.centre" }
encode.map    = { format = "png", from = "safety", as = "classes" }

[pipelines.tables.steps]
safety = { model = "landing-safety", inputs = { image = "photo" } }
spot   = { model = "landing-spot",   inputs = { safety = "safety" } }
"#;

#[test]
fn shards_of_rows_are_joined_to_what_one_run_writes() {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    let store = super::house::root().join("examples/models");
    fs::write(at("tables.toml"), TABLES.replace("STORE", store.to_str().unwrap())).unwrap();
    // Names that are awkward in a table, and a line that is none.
    let mut lines = String::new();
    for image in images("landing-spot").iter().take(12) {
        lines.push_str(&format!("{{\"photo\": {{\"path\": {:?}}}}}\n", image.to_str().unwrap()));
    }
    lines.push_str("{\"photo\": \n");
    fs::write(at("a, \"b\".jsonl"), &lines).unwrap();
    let run = |output: &str, more: &[&str]| {
        let input = at("a, \"b\".jsonl");
        let output = at(output);
        let config = at("tables.toml");
        let fixed = ["batch", &config, "--pipeline", "tables", "--input", &input, "--output", &output];
        say(&[&fixed[..], more].concat())
    };
    let said = run("whole", &[]);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("12 done, 1 failed"), "{}", said.err);
    for shard in ["0/3", "1/3", "2/3"] {
        let said = run(&shard[..1], &["--shard", shard]);
        assert!(said.code == 0 || said.code == 4, "{}", said.err);
    }
    let said = say(&["merge", &at("1"), &at("2"), &at("0"), "--output", &at("merged")]);
    assert_eq!(said.code, 4, "{}", said.err);
    same(&work.path().join("whole"), &work.path().join("merged"));

    let table = fs::read_to_string(at("whole/second.csv")).unwrap();
    assert!(table.contains("\"a, \"\"b\"\".jsonl#10\","), "{table}");
    let parquet = fs::read(at("whole/first.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let errors = fs::read_to_string(at("whole/errors.jsonl")).unwrap();
    assert!(errors.contains(".jsonl#12") && errors.contains("\"read\""), "{errors}");
}

#[test]
fn a_list_on_stdin_is_run_and_a_dry_run_runs_nothing() {
    let output = tempfile::tempdir().unwrap();
    let to = output.path().join("results");
    let list: String = images("landing-spot").iter().take(3).map(|i| format!("{}\n", i.display())).collect();
    let run = |more: &[&str]| {
        let fixed = arguments(Path::new("-"), &to);
        let output = rserve().args([&fixed[..], more].concat()).write_stdin(list.clone()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = run(&["--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("3 items would be run by landing-safety@2, landing-spot@2\n"), "{said}");
    assert!(!to.exists());
    let summary = output.path().join("summary.json");
    assert_eq!(run(&["--limit", "2", "--summary", summary.to_str().unwrap()]).0, Some(0));
    let summary = json(&fs::read(&summary).unwrap());
    assert_eq!((&summary["done"], &summary["finished"]), (&2.into(), &true.into()), "{summary}");
    assert_eq!(fs::read_to_string(to.join("rows.jsonl")).unwrap().lines().count(), 2);

    let (code, said) = run(&["--dry-run"]);
    assert_eq!(code, Some(0));
    let changed = "a run of 2 items has finished there\n\
        it is another run, so that this one would do nothing unless told how to begin:\n  \
        the list of 2 items has changed; it has 3 now\n  `--restart` begins anew;";
    assert!(said.contains(changed), "{said}");
    let (_, said) = run(&["--dry-run", "--restart"]);
    assert!(!said.contains("another run"), "{said}");
}

#[test]
fn through_a_server_the_results_are_the_same_and_those_of_its_route() {
    let server = start(&["pipelines/landing-spot.toml"]);
    let outputs = tempfile::tempdir().unwrap();
    let input = pictures(20);
    fs::write(input.path().join("bad.png"), "no picture").unwrap();
    let (via, own) = (outputs.path().join("via"), outputs.path().join("own"));
    let at = format!("http://{}", server.address);
    let said = say(&[&arguments(input.path(), &via)[..], &["--via", &at]].concat());
    assert_eq!(said.code, 4, "{}", said.err);
    assert_eq!(say(&arguments(input.path(), &own)).code, 4);
    for results in [&via, &own] {
        fs::remove_dir_all(results.join(".rserve")).unwrap();
    }
    same(&via, &own);

    let rows = fs::read_to_string(own.join("rows.jsonl")).unwrap();
    for row in rows.lines() {
        let row = json(row.as_bytes());
        let picture = fs::read(input.path().join(row["item"].as_str().unwrap())).unwrap();
        let (status, _, body) = post(&server, "/landing-spot/predict", &picture);
        assert_eq!(status, 200);
        let answer = json(&body);
        for field in ["centre", "radius", "confidence"] {
            assert_eq!(row[field], answer[field], "{field} of {}", row["item"]);
        }
    }

    // A server that runs another offline entry is told so, and does nothing.
    let other = outputs.path().join("other.toml");
    let text = fs::read_to_string(super::house::root().join("pipelines/landing-spot.toml")).unwrap();
    let store = super::house::root().join("examples/models");
    let text = text.replace("../examples/models", store.to_str().unwrap()).replace("round = 4", "round = 3");
    fs::write(&other, text).unwrap();
    let mut arguments = arguments(input.path(), &via);
    arguments[1] = other.to_str().unwrap();
    let said = say(&[&arguments[..], &["--via", &at]].concat());
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("is declared otherwise there than here"), "{}", said.err);
}

#[test]
fn another_normalisation_does_not_go_on_with_a_run() {
    let (input, folder) = (pictures(6), tempfile::tempdir().unwrap());
    let file = folder.path().join("landing-spot.toml");
    let text = fs::read_to_string(super::house::root().join("pipelines/landing-spot.toml")).unwrap();
    let store = super::house::root().join("examples/models");
    let text = text.replace("../examples/models", store.to_str().unwrap());
    let output = folder.path().join("out");
    let mut arguments = arguments(input.path(), &output);
    arguments[1] = file.to_str().unwrap();
    fs::write(&file, &text).unwrap();
    assert_eq!(say(&arguments).code, 0);
    let first = tree(&output);

    let other = text.replace("0.485", "0.5");
    assert_ne!(other, text);
    fs::write(&file, other).unwrap();
    let said = say(&arguments);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("`landing-spot` is not declared as it was"), "{}", said.err);
    assert_eq!(tree(&output), first, "nothing was touched");

    // Begun by an rserve that knew no more of a codec than what its debug form said.
    fs::write(&file, &text).unwrap();
    let record = output.join(".rserve/run.json");
    let written = fs::read_to_string(&record).unwrap();
    let mut old = json(written.as_bytes());
    let mut run = old["run"].clone();
    run["finished"] = old["finished"].take();
    run["plan"] = run["plan"].as_str().unwrap().strip_prefix("v2-").unwrap().into();
    fs::write(&record, run.to_string()).unwrap();
    let said = say(&arguments);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("compared pipelines by another rule"), "{}", said.err);
}
