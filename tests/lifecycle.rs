//! The lifecycle over a real folder, with models whose "ONNX" says what they do: `times 2`.

use crate::fakes::{Fake, first, number, signature};
use rserve::lifecycle::{Cell, Lifecycle, Loaded, Loader, State};
use rserve::plan::{self, BatchPolicy, DeviceId, Plan};
use rserve::scheduler::{Memory, Terms, Want};
use rserve::store::ModelFiles;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Reads `times FACTOR`, `input NAME`, `takes BYTES` (for a batch), `panic`, `beast` (fails its warm-up); counts what it is asked.
#[derive(Default)]
struct TextLoader(AtomicUsize);

impl Loader for TextLoader {
    fn load(&self, files: ModelFiles, _: DeviceId) -> Result<Loaded, String> {
        self.0.fetch_add(1, SeqCst);
        let text = std::str::from_utf8(&files.onnx).map_err(|_| "not text".to_owned())?;
        let loaded =
            |runner, input| Ok(Loaded { runner, signature: signature(&[input], &["y"]), classes: None });
        match text.trim().split_once(' ').unwrap_or((text.trim(), "")) {
            ("times", factor) => loaded(Fake::times(factor.parse().map_err(|_| "no factor")?), "x"),
            ("takes", bytes) => {
                let mut fake = Fake::times(1.0);
                let batch = bytes.parse().map_err(|_| "no bytes")?;
                Arc::get_mut(&mut fake).ok_or("shared")?.memory = Memory { weights: 100, batch };
                loaded(fake, "x")
            }
            ("input", name) => loaded(Fake::times(1.0), name),
            ("beast", _) => loaded(Fake::new(|_| panic!("not even zeros")), "x"),
            ("panic", _) => panic!("the loader broke"),
            _ => Err(format!("`{text}` is not a model")),
        }
    }
}

pub fn write(store: &Path, model: &str, version: u64, text: &str) {
    let folder = store.join(model).join(version.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("model.onnx"), text).unwrap();
}

/// A plan of models with one input and one output each, and no pipelines.
pub fn plan(store: &Path, models: &[(&str, &[u64], bool)]) -> Plan {
    let model = |(name, versions, latest): &(&str, &[u64], bool)| plan::Model {
        name: name.to_string(),
        store: store.to_owned(),
        versions: versions.to_vec(),
        latest: *latest,
        share: 0.5,
        devices: vec![0],
        batch: BatchPolicy::up_to(4),
        queue: 64,
        signature: signature(&["x"], &["y"]),
    };
    Plan {
        server: plan::Server {
            listen: ([127, 0, 0, 1], 0).into(),
            admin: None,
            max_body: 1 << 20,
            drain: Duration::from_secs(1),
        },
        watch: plan::Watch { enabled: false, settle: Duration::ZERO },
        devices: vec![plan::Device { id: DeviceId::Cpu, memory: Some(1 << 30), held: vec![] }],
        models: models.iter().map(model).collect(),
        pipelines: vec![],
    }
}

fn ask(cell: &Cell, value: f32) -> (u64, f32) {
    let generation = cell.pin().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let ticket = generation
        .replicas
        .submit(vec![number(value)], Arc::new([Want::Host]), Terms::until(deadline))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let done = runtime.block_on(ticket).unwrap();
    (generation.version, first(done.outputs[0].as_ref().unwrap()))
}

fn states(lifecycle: &Lifecycle) -> Vec<(u64, State)> {
    lifecycle.status()[0].generations.iter().map(|g| (g.version, g.state.clone())).collect()
}

struct Setup {
    store: tempfile::TempDir,
    loader: Arc<TextLoader>,
    lifecycle: Arc<Lifecycle>,
    cell: Arc<Cell>,
}

/// Starts `model` with version 1, `times 10`, following the latest.
fn start() -> Setup {
    let store = tempfile::tempdir().unwrap();
    write(store.path(), "model", 1, "times 10");
    let loader = Arc::new(TextLoader::default());
    let lifecycle = Arc::new(Lifecycle::new(loader.clone()));
    let plan = plan(store.path(), &[("model", &[1], true)]);
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let cell = lifecycle.cells(&plan).unwrap().remove(0);
    assert_eq!(ask(&cell, 2.0), (1, 20.0));
    Setup { store, loader, lifecycle, cell }
}

#[test]
fn a_newer_version_takes_over_and_the_old_one_goes_when_nobody_holds_it() {
    let Setup { store, lifecycle, cell, .. } = start();
    let held = cell.pin().unwrap();
    write(store.path(), "model", 2, "times 100");
    let reload = lifecycle.refresh("model").unwrap();
    assert_eq!((reload.loaded, reload.dropped, reload.serving), (vec![2], vec![1], vec![2]));
    assert_eq!(ask(&cell, 2.0), (2, 200.0));
    assert_eq!(states(&lifecycle), [(1, State::Draining), (2, State::Ready)]);
    assert_eq!((held.tag.as_str(), held.version), ("model@1", 1));
    drop(held);
    assert_eq!(states(&lifecycle), [(1, State::Unloaded), (2, State::Ready)]);
    let status = serde_json::to_value(lifecycle.status()).unwrap();
    assert_eq!(status[0]["serving"], serde_json::json!([2]));
    assert_eq!(status[0]["places"][0]["device"], "cpu");
    assert_eq!(status[0]["generations"][1]["digest"].as_str().unwrap().len(), 12);
}

#[test]
fn what_cannot_serve_leaves_the_old_one_serving_and_is_not_tried_twice() {
    let Setup { store, loader, lifecycle, cell } = start();
    #[rustfmt::skip]
    let broken = [
        ("<html>", "`<html>` is not a model"),
        ("panic", "the engine panicked: the loader broke"),
        ("beast", "warm-up: it panicked: not even zeros"),
        ("input photo", "its inputs are `photo`; the pipelines were compiled for `x`"),
    ];
    for (text, reason) in broken {
        write(store.path(), "model", 2, text);
        let reload = lifecycle.refresh("model").unwrap();
        assert_eq!(reload.failures.len(), 1);
        assert_eq!((reload.failures[0].version, reload.failures[0].reason.as_str()), (Some(2), reason));
        assert_eq!(reload.serving, [1]);
        assert_eq!(ask(&cell, 2.0), (1, 20.0));
        let (version, state) = states(&lifecycle).pop().unwrap();
        assert_eq!((version, state), (2, State::Failed(reason.into())));
        let loads = loader.0.load(SeqCst);
        assert_eq!(lifecycle.refresh("model").unwrap().failures, []);
        assert_eq!(loader.0.load(SeqCst), loads, "the same content is not tried again");
    }
    lifecycle.reload("model").unwrap();
    write(store.path(), "model", 2, "");
    let reason = lifecycle.refresh("model").unwrap().failures.remove(0).reason;
    assert!(reason.contains("model.onnx` is empty"), "{reason}");
    write(store.path(), "model", 2, "times 3");
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
    assert_eq!(ask(&cell, 2.0), (2, 6.0));
}

#[test]
fn content_is_what_counts_not_the_number_or_the_time() {
    let Setup { store, loader, lifecycle, cell } = start();
    write(store.path(), "model", 1, "times 10");
    let reload = lifecycle.refresh("model").unwrap();
    assert_eq!((reload.loaded, reload.dropped), (vec![], vec![]), "rewritten alike");
    assert_eq!(loader.0.load(SeqCst), 1);
    write(store.path(), "model", 1, "times 11");
    let reload = lifecycle.refresh("model").unwrap();
    assert_eq!((reload.loaded, reload.dropped, reload.serving), (vec![1], vec![1], vec![1]));
    assert_eq!(ask(&cell, 2.0), (1, 22.0));
}

#[test]
fn what_is_deleted_falls_back_and_the_last_one_serves_on() {
    let Setup { store, lifecycle, cell, .. } = start();
    write(store.path(), "model", 2, "times 100");
    lifecycle.refresh("model").unwrap();
    fs::remove_dir_all(store.path().join("model/2")).unwrap();
    lifecycle.refresh("model").unwrap();
    assert_eq!(ask(&cell, 2.0), (1, 20.0));
    assert_eq!(lifecycle.status()[0].warning, None);
    fs::remove_dir_all(store.path().join("model")).unwrap();
    lifecycle.refresh("model").unwrap();
    assert_eq!(ask(&cell, 2.0), (1, 20.0));
    assert!(lifecycle.status()[0].warning.as_ref().unwrap().contains("goes on serving"));
    fs::remove_dir_all(store.path()).unwrap();
    lifecycle.refresh("model").unwrap();
    assert_eq!(ask(&cell, 2.0), (1, 20.0));
    assert!(lifecycle.status()[0].warning.as_ref().unwrap().contains("store cannot be read"));
}

#[test]
fn a_plan_is_applied_as_a_difference() {
    let Setup { store, loader, lifecycle, cell } = start();
    write(store.path(), "other", 4, "times 2");
    write(store.path(), "other", 5, "times 3");
    let both = plan(store.path(), &[("model", &[1], true), ("other", &[4, 5], false)]);
    assert_eq!(lifecycle.apply(&both).unwrap(), []);
    assert_eq!(loader.0.load(SeqCst), 3, "what runs is not loaded again");
    let cells = lifecycle.cells(&both).unwrap();
    assert!(Arc::ptr_eq(&cells[0], &cell));
    assert_eq!(ask(&cells[1], 1.0), (5, 3.0));
    assert_eq!(cells[1].pin_version(4).unwrap().tag, "other@4");
    assert!(cells[1].pin_version(6).is_none());

    let without = plan(store.path(), &[("other", &[5], false), ("missing", &[1], true)]);
    let failures = lifecycle.apply(&without).unwrap();
    assert_eq!((failures.len(), failures[0].model.as_str(), failures[0].version), (1, "missing", None));
    assert_eq!(cell.pin().unwrap_err().to_string(), "the model `model` is not ready");
    assert!(cells[1].pin_version(4).is_none());
    assert_eq!(ask(&cells[1], 1.0), (5, 3.0));
    assert!(lifecycle.reload("model").is_err());
}

#[test]
fn swaps_under_load_lose_no_request() {
    let Setup { store, lifecycle, cell, .. } = start();
    let done = std::sync::atomic::AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut newest = 0;
                while !done.load(SeqCst) {
                    let (version, answer) = ask(&cell, 2.0);
                    let factor = if version == 1 { 10.0 } else { version as f32 };
                    assert_eq!(answer, 2.0 * factor, "answered by the version that it is said to be");
                    assert!(version >= newest, "versions do not go back");
                    newest = version;
                    asked.fetch_add(1, SeqCst);
                }
            });
        }
        for version in 2..=20 {
            write(store.path(), "model", version, &format!("times {version}"));
            assert_eq!(lifecycle.refresh("model").unwrap().serving, [version]);
        }
        done.store(true, SeqCst);
    });
    assert!(asked.load(SeqCst) > 0);
    let states = states(&lifecycle);
    assert_eq!(states.last().unwrap(), &(20, State::Ready));
    assert!(states[..states.len() - 1].iter().all(|(_, state)| *state == State::Unloaded), "{states:?}");
}

#[test]
fn a_version_that_takes_more_memory_than_its_share_is_refused_with_both_numbers() {
    let store = tempfile::tempdir().unwrap();
    write(store.path(), "model", 1, "takes 900");
    let mut plan = plan(store.path(), &[("model", &[1], true)]);
    plan.devices[0].memory = Some(2000);
    let lifecycle = Lifecycle::new(Arc::new(TextLoader::default()));
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let reason = |text: &str| {
        write(store.path(), "model", 2, text);
        let reload = lifecycle.refresh("model").unwrap();
        assert_eq!(reload.serving, [1], "the old one goes on serving");
        reload.failures[0].reason.clone()
    };
    assert_eq!(
        reason("takes 901"),
        "it takes 1001 B (100 B of weights, 901 B for its largest batch), and its share of the device's memory \
         is 1000 B (0.5 of 2.0 KiB)"
    );
    // Its file alone is too much: it is not even loaded.
    assert_eq!(
        reason(&format!("panic {}", "x".repeat(1000))),
        "by estimate, it takes 1.0 KiB (1006 B of weights, 32 B for its largest batch), and its share of the \
         device's memory is 1000 B (0.5 of 2.0 KiB)"
    );
    let status = serde_json::to_value(lifecycle.status()).unwrap();
    assert_eq!(status[0]["places"][0]["memory_allowed"], 1000);
    assert_eq!(status[0]["instances"][0]["memory_batch"], 900);
}
