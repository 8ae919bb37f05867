//! The lifecycle over a real folder, with models whose "ONNX" says what they do: `times 2`.

use crate::fakes::{Fake, Gate, TwoLanes, first, id, number, signature};
use rserve::lifecycle::{
    Cause, Cell, Copied, Fit, Lifecycle, LoadNotes, Loadable, Loader, NotReady, OpenError, Opened,
    PlaceError, Precautions, Refused, Serving, State,
};
use rserve::memory::Budget;
use rserve::plan::{self, BatchPolicy, Declaration, DeviceId, Plan, VersionFacts};
use rserve::scheduler::{Device, Memory, RunError, Runner, Terms, Want};
use rserve::store::{Content, Format, VersionFiles};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Reads `times FACTOR`, `input NAME`, `takes BYTES` (for a batch), `panic`, `beast` (fails its warm-up), `huge` (asks for
/// too much, whatever it is given), `hang`
/// (until it is let go), `read FILE` (in which one of these stands); counts what it is asked to load. Files that begin with `stuck` are read once they are let go.
#[derive(Default)]
struct TextLoader {
    loads: Arc<AtomicUsize>,
    gate: Arc<Gate>,
    format: StuckFormat,
}

#[derive(Default)]
struct StuckFormat(Gate);

impl Format for StuckFormat {
    fn read(&self, file: &mut dyn Read, size: usize) -> std::io::Result<Content> {
        let content = Content::read(file, size, &[])?;
        if content.pieces().any(|piece| piece.starts_with(b"stuck")) {
            self.0.pass();
        }
        Ok(content)
    }

    fn data(&self, onnx: &Content) -> BTreeMap<String, Vec<Range<usize>>> {
        let text = onnx.pieces().collect::<Vec<_>>().concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.strip_prefix("read ").map(|name| (name.to_owned(), vec![])).into_iter().collect()
    }
}

impl Loader for TextLoader {
    fn open(&self, files: VersionFiles, _: &Declaration) -> Result<Opened, OpenError> {
        let beside = files.data.values().next().map(|data| data.pieces().collect::<Vec<_>>().concat());
        let onnx = beside.unwrap_or_else(|| whole(&files));
        let text = std::str::from_utf8(&onnx).map_err(|_| "not text".to_owned())?;
        let input = match text.trim().split_once(' ') {
            Some(("input", name)) => name,
            _ => "x",
        };
        let signature = signature(&[input], &["y"]);
        let facts = VersionFacts {
            signature,
            labels: files.labels,
            texts: files.texts,
            arrays: BTreeMap::new(),
            weights: onnx.len() as u64,
        };
        let model = Text { text: text.trim().to_owned(), loads: self.loads.clone(), gate: self.gate.clone() };
        Ok(Opened { facts, model: Box::new(model) })
    }

    fn format(&self) -> &dyn Format {
        &self.format
    }
}

/// Of a version's `model.onnx`.
pub fn whole(files: &VersionFiles) -> Vec<u8> {
    files.onnx.pieces().collect::<Vec<_>>().concat()
}

#[derive(Clone)]
struct Text {
    text: String,
    loads: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

impl Loadable for Text {
    fn another(&self) -> Box<dyn Loadable> {
        Box::new(self.clone())
    }

    fn load(self: Box<Self>, _: DeviceId) -> Result<Arc<dyn Runner>, PlaceError> {
        self.loads.fetch_add(1, SeqCst);
        let text = self.text.as_str();
        match text.split_once(' ').unwrap_or((text, "")) {
            ("takes", bytes) => {
                let mut fake = Fake::times(1.0);
                let batch = bytes.parse().map_err(|_| "no bytes")?;
                Arc::get_mut(&mut fake).ok_or("shared")?.memory = Memory { weights: 100, batch };
                Ok(fake)
            }
            ("times", factor) => Ok(Fake::times(factor.parse().map_err(|_| "no factor")?)),
            ("input", _) => Ok(Fake::times(1.0)),
            ("beast", _) => Ok(Fake::new(|_| panic!("not even zeros"))),
            ("huge", _) => {
                Ok(Fake::new(|_| Err(RunError::TooLarge("[4, 1099511627776] is too large".into()))))
            }
            ("panic", _) => panic!("the loader broke"),
            ("hang", factor) => {
                self.gate.pass();
                Ok(Fake::times(factor.parse().map_err(|_| "no factor")?))
            }
            ("full", _) => Err(PlaceError::Memory("there is no memory for its weights".into())),
            _ => Err(format!("`{text}` is not a model").into()),
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
        store: store.to_owned().into(),
        versions: versions.to_vec(),
        latest: *latest,
        share: 0.5,
        devices: vec![DeviceId::Cpu],
        batch: BatchPolicy::up_to(4),
        declaration: Declaration::default(),
        warm: true,
        max_run: Duration::from_secs(60),
        queue: 64,
        rollout: plan::Rollout::default(),
        texts: ["labels.txt", "names.txt"].map(str::to_owned).into(),
        signature: signature(&["x"], &["y"]),
    };
    Plan {
        server: plan::Server {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into(),
            admin: None,
            max_body: 1 << 20,
            drain: Duration::from_secs(1),
            grace: Duration::ZERO,
            keep_alive: Duration::from_secs(75),
            ..plan::Server::default()
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
    let cell = lifecycle.cells(&plan).unwrap()[id(0)].clone();
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
    assert_eq!(status[0]["generations"][1]["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn what_cannot_serve_leaves_the_old_one_serving_and_is_not_tried_twice() {
    let Setup { store, loader, lifecycle, cell } = start();
    #[rustfmt::skip]
    let broken = [
        ("<html>", "`<html>` is not a model"),
        ("panic", "the engine panicked: the loader broke"),
        ("beast", "warm-up: it panicked: not even zeros"),
        ("huge", "warm-up: none of the samples that were tried fits: [4, 1099511627776] is too large"),
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
        let loads = loader.loads.load(SeqCst);
        assert_eq!(lifecycle.refresh("model").unwrap().failures, []);
        assert_eq!(loader.loads.load(SeqCst), loads, "the same content is not tried again");
    }
    lifecycle.reload("model").unwrap();
    write(store.path(), "model", 2, "");
    let reason = lifecycle.refresh("model").unwrap().failures.remove(0).reason;
    assert!(reason.contains("model.onnx` is empty"), "{reason}");
    write(store.path(), "model", 2, "times 3");
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
    assert_eq!(ask(&cell, 2.0), (2, 6.0));
}

/// Such weights were read and never looked at again.
#[test]
fn weights_that_lie_only_beside_what_a_link_leads_to_are_looked_at() {
    let Setup { store, lifecycle, cell, .. } = start();
    let shared = store.path().join("shared");
    fs::create_dir_all(&shared).unwrap();
    fs::write(shared.join("weights.bin"), "times 20").unwrap();
    fs::write(shared.join("model.onnx"), "read weights.bin").unwrap();
    let folder = store.path().join("model/2");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("../../shared/model.onnx", folder.join("model.onnx")).unwrap();
    let write = |name: &str, text: &str| {
        fs::write(shared.join(name), text).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        fs::File::options().write(true).open(shared.join(name)).unwrap().set_modified(long_ago).unwrap();
    };
    write("model.onnx", "read weights.bin");
    for factor in [20, 30, 40] {
        // As long, and as old: what tells them apart is when they were written.
        write("weights.bin", &format!("times {factor}"));
        assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
        assert_eq!(ask(&cell, 2.0), (2, 2.0 * factor as f32));
        assert!(lifecycle.refresh("model").unwrap().loaded.is_empty());
    }
}

#[test]
fn content_is_what_counts_not_the_number_or_the_time() {
    let Setup { store, loader, lifecycle, cell } = start();
    write(store.path(), "model", 1, "times 10");
    let reload = lifecycle.refresh("model").unwrap();
    assert_eq!((reload.loaded, reload.dropped), (vec![], vec![]), "rewritten alike");
    assert_eq!(loader.loads.load(SeqCst), 1);
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
    assert_eq!(loader.loads.load(SeqCst), 3, "what runs is not loaded again");
    let cells = lifecycle.cells(&both).unwrap();
    assert!(Arc::ptr_eq(&cells[id(0)], &cell));
    assert_eq!(ask(&cells[id(1)], 1.0), (5, 3.0));
    assert_eq!(cells[id(1)].choose(Some(4), None).unwrap().tag, "other@4");
    let refused = NotReady::Version { model: "other".into(), version: 6, served: vec![4, 5] };
    assert_eq!(cells[id(1)].choose(Some(6), None).unwrap_err(), refused);

    let without = plan(store.path(), &[("other", &[5], false), ("missing", &[1], true)]);
    let failures = lifecycle.apply(&without).unwrap();
    assert_eq!((failures.len(), failures[0].model.as_str(), failures[0].version), (1, "missing", None));
    let now = lifecycle.cells(&without).unwrap();
    assert!(now[id(0)].choose(Some(4), None).is_err());
    assert_eq!(ask(&now[id(0)], 1.0), (5, 3.0));
    assert_eq!(now[id(1)].pin().unwrap_err().to_string(), "the model `missing` is not ready");
    assert_eq!(loader.loads.load(SeqCst), 3, "what is asked for otherwise is not loaded again");
    // Whoever came under the old plan ends under it.
    assert_eq!((ask(&cell, 2.0), ask(&cells[id(1)], 1.0)), ((1, 20.0), (5, 3.0)));
    assert_eq!(cells[id(1)].choose(Some(4), None).unwrap().tag, "other@4");
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
    write(store.path(), "model", 1, "takes 400");
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
    assert_eq!(status[0]["places"][0]["memory_allowed_bytes"], 1000);
    assert_eq!(status[0]["instances"][0]["memory_batch_bytes"], 400);
}

/// A model that holds 600 of the 1000 bytes that its share allows, version 1 serving.
fn half_full(change: impl Fn(&mut Plan)) -> (Setup, Plan) {
    let store = tempfile::tempdir().unwrap();
    write(store.path(), "model", 1, "takes 500");
    let loader = Arc::new(TextLoader::default());
    let lifecycle = Arc::new(Lifecycle::new(loader.clone()));
    let mut plan = plan(store.path(), &[("model", &[1], true)]);
    plan.devices[0].memory = Some(2000);
    change(&mut plan);
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let cell = lifecycle.cells(&plan).unwrap()[id(0)].clone();
    (Setup { store, loader, lifecycle, cell }, plan)
}

#[test]
fn what_fits_alone_and_not_beside_the_old_one_is_refused_until_there_is_room() {
    let (Setup { store, loader, lifecycle, cell }, mut plan) = half_full(|_| ());
    write(store.path(), "model", 2, "takes 301");
    let failure = lifecycle.refresh("model").unwrap().failures.remove(0);
    assert_eq!((failure.version, failure.cause), (Some(2), Cause::Memory));
    assert_eq!(
        failure.reason,
        "it takes 401 B (100 B of weights, 301 B for its largest batch), version 1 beside it 600 B (100 B of weights, \
         500 B for its largest batch), and its share of the device's memory is 1000 B (0.5 of 2.0 KiB); \
         `reload = \"stop-first\"` has what serves go first"
    );
    let status = lifecycle.status().remove(0);
    assert_eq!((status.serving, status.loads.failed[&Cause::Memory]), (vec![1], 1));
    assert_eq!(ask(&cell, 2.0), (1, 2.0));
    let loads = loader.loads.load(SeqCst);
    lifecycle.refresh("model").unwrap();
    assert_eq!(loader.loads.load(SeqCst), loads, "nothing has changed that would make room");
    // Its file alone beside the old one is too much: it is not even loaded.
    write(store.path(), "model", 3, &format!("panic {}", "x".repeat(400)));
    let reason = lifecycle.refresh("model").unwrap().failures.remove(0).reason;
    assert!(reason.starts_with("by estimate, it takes 438 B (406 B of weights"), "{reason}");
    // A larger share makes room.
    plan.models[id(0)].share = 0.6;
    write(store.path(), "model", 3, "takes 302");
    lifecycle.apply(&plan).unwrap();
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [3]);
}

#[test]
fn what_drains_is_waited_for_where_that_makes_room() {
    let (Setup { store, lifecycle, cell, .. }, _) = half_full(|_| ());
    let held = cell.pin().unwrap();
    write(store.path(), "model", 2, "takes 200");
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
    // 600 bytes drain, 300 serve.
    write(store.path(), "model", 3, "takes 201");
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| lifecycle.refresh("model").unwrap());
        while !states(&lifecycle).iter().any(|(version, _)| *version == 3) {
            std::thread::yield_now();
        }
        assert_eq!(ask(&cell, 1.0).0, 2);
        drop(held);
        assert_eq!(looking.join().unwrap().serving, [3]);
    });
}

#[test]
fn without_memory_for_both_stop_first_accepts_the_gap() {
    let (Setup { store, loader, lifecycle, cell }, _) =
        half_full(|p| p.models[id(0)].rollout.stop_first = true);
    write(store.path(), "model", 2, "takes 900");
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
    assert_eq!(ask(&cell, 2.0), (2, 2.0));
    // What is too large for the share alone opens the gap once: it is known only when it has run.
    write(store.path(), "model", 3, "takes 901");
    let reload = lifecycle.refresh("model").unwrap();
    assert_eq!((reload.serving, reload.failures[0].cause), (vec![2], Cause::Memory));
    let loads = loader.loads.load(SeqCst);
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
    assert_eq!(loader.loads.load(SeqCst), loads);
}

#[test]
fn a_model_moves_to_the_device_that_another_plan_gives_it() {
    let store = tempfile::tempdir().unwrap();
    write(store.path(), "model", 1, "times 10");
    let devices = [DeviceId::Cuda(0), DeviceId::Cuda(1)];
    let open = devices.map(|id| Device::new(id, TwoLanes));
    let lifecycle = Lifecycle::with_devices(Arc::new(TextLoader::default()), open);
    let on = |used: &[usize]| {
        let mut plan = plan(store.path(), &[("model", &[1], true)]);
        plan.devices = devices.map(|id| plan::Device { id, memory: Some(1 << 30), held: vec![] }).into();
        plan.models[id(0)].devices = used.iter().map(|index| devices[*index]).collect();
        plan
    };
    let places = |lifecycle: &Lifecycle| {
        let status = lifecycle.status().remove(0);
        let places: Vec<DeviceId> = status.places.iter().map(|place| place.device).collect();
        let instances: Vec<DeviceId> = status.instances.iter().map(|instance| instance.device).collect();
        assert_eq!(places, instances, "it is where the plan has it");
        places
    };
    for used in [&[0][..], &[1], &[0, 1], &[1]] {
        let plan = on(used);
        assert_eq!(lifecycle.apply(&plan).unwrap(), []);
        assert_eq!(places(&lifecycle), used.iter().map(|index| devices[*index]).collect::<Vec<_>>());
        let cell = lifecycle.cells(&plan).unwrap()[id(0)].clone();
        assert_eq!(ask(&cell, 2.0), (1, 20.0));
    }
}

/// Traffic by weight, a shadow, stop-first, a limit to loading.
fn rollout(store: &Path, versions: &[u64], change: impl FnOnce(&mut plan::Rollout)) -> Plan {
    let mut plan = plan(store, &[("model", versions, versions.is_empty())]);
    change(&mut plan.models[id(0)].rollout);
    plan
}

#[test]
fn a_generation_that_is_overtaken_is_dropped_before_it_is_ready() {
    let Setup { store, loader, lifecycle, cell } = start();
    loader.gate.close();
    write(store.path(), "model", 2, "hang 2");
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| lifecycle.refresh("model").unwrap());
        loader.gate.wait_for(1);
        for version in 3..=50 {
            write(store.path(), "model", version, &format!("times {version}"));
        }
        loader.gate.open();
        let reload = looking.join().unwrap();
        assert_eq!((reload.loaded, reload.serving, reload.failures), (vec![50], vec![50], vec![]));
    });
    assert_eq!(ask(&cell, 2.0), (50, 100.0));
    assert_eq!(loader.loads.load(SeqCst), 3, "of fifty versions the first, one on the way and the newest");
    let status = lifecycle.status().remove(0);
    let overtaken = status.generations.iter().find(|g| g.version == 2).unwrap();
    assert_eq!(overtaken.cause, Some(Cause::Overtaken));
    assert_eq!(overtaken.state, State::Failed("version 50 came before it was ready".into()));
    assert_eq!((status.loads.ready, status.loads.swaps), (2, 1));
}

#[test]
fn a_load_that_hangs_is_abandoned_and_the_old_version_serves_on() {
    let Setup { store, loader, lifecycle, cell } = start();
    loader.gate.close();
    write(store.path(), "model", 2, "hang 2");
    let patient = rollout(store.path(), &[], |r| r.load_timeout = Duration::from_millis(500));
    assert_eq!(lifecycle.apply(&patient).unwrap(), []);
    let failure = lifecycle.refresh("model").unwrap().failures.remove(0);
    assert_eq!((failure.version, failure.cause), (Some(2), Cause::Timeout));
    assert_eq!(failure.reason, "it was not ready within 0.5 s, and is still being loaded");
    // Nobody begins it once more while it goes on.
    let loads = loader.loads.load(SeqCst);
    for _ in 0..3 {
        let failure = lifecycle.reload("model").unwrap().failures.remove(0);
        assert_eq!(
            (failure.cause, &*failure.reason),
            (Cause::Timeout, "an earlier load of it has not come back")
        );
    }
    assert_eq!(loader.loads.load(SeqCst), loads);
    assert_eq!(ask(&cell, 2.0), (1, 20.0));
    loader.gate.open();
    assert_eq!(lifecycle.apply(&rollout(store.path(), &[], |_| ())).unwrap(), []);
    write(store.path(), "model", 2, "times 3");
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
}

/// As on a network file system whose server is gone.
#[test]
fn a_file_that_does_not_come_back_holds_up_nothing_but_its_model() {
    let store = tempfile::tempdir().unwrap();
    for model in ["model", "other"] {
        write(store.path(), model, 1, "times 10");
    }
    let loader = Arc::new(TextLoader::default());
    let lifecycle = Lifecycle::with_devices(loader.clone(), [Device::new(DeviceId::Cpu, TwoLanes)]);
    let mut plan = plan(store.path(), &[("model", &[], true), ("other", &[], true)]);
    for model in 0..2 {
        plan.models[id(model)].rollout.load_timeout = Duration::from_secs(1);
    }
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let cell = lifecycle.cells(&plan).unwrap()[id(0)].clone();
    loader.format.0.close();
    write(store.path(), "model", 2, "stuck");
    for _ in 0..3 {
        let reload = lifecycle.reload("model").unwrap();
        let failure = &reload.failures[0];
        assert_eq!((&*failure.model, failure.cause, &*reload.serving), ("model", Cause::Timeout, &[1][..]));
        assert!(failure.reason.contains("did not answer within"), "{}", failure.reason);
    }
    loader.format.0.wait_for(1);
    assert_eq!(ask(&cell, 2.0), (1, 20.0));
    let status = lifecycle.status();
    assert_eq!(status[0].generations.last().unwrap().cause, Some(Cause::Timeout));
    write(store.path(), "other", 2, "times 3");
    assert_eq!(lifecycle.refresh("other").unwrap().serving, [2]);
    // It comes back, and is taken as what it is.
    loader.format.0.open();
    fs::write(store.path().join("model/2/model.onnx"), "times 4").unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while lifecycle.refresh("model").unwrap().serving != [2] {
        assert!(Instant::now() < until, "its updates are over");
    }
    assert_eq!(ask(&cell, 2.0), (2, 8.0));
}

#[test]
fn a_load_that_never_came_back_is_not_tried_again_by_the_next_process() {
    let (store, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(store.path(), "model", 1, "times 10");
    write(store.path(), "model", 2, "hang 2");
    let loader = Arc::new(TextLoader::default());
    let begin = || {
        let notes = LoadNotes::open(state.path()).unwrap();
        let precautions = Precautions { notes: notes.clone(), ..Precautions::within(&Budget::unlimited()) };
        let lifecycle = Lifecycle::with_devices(loader.clone(), [Device::new(DeviceId::Cpu, TwoLanes)]);
        (lifecycle.with_precautions(precautions), notes)
    };
    let plan = rollout(store.path(), &[], |r| r.load_timeout = Duration::from_secs(1));
    loader.gate.close();
    let (lifecycle, notes) = begin();
    let failures = lifecycle.apply(&plan).unwrap();
    assert_eq!((failures[0].version, failures[0].cause), (Some(2), Cause::Timeout));
    notes.close();
    let loads = loader.loads.load(SeqCst);
    // The next process.
    let (lifecycle, _notes) = begin();
    let failures = lifecycle.apply(&plan).unwrap();
    assert_eq!((failures[0].version, failures[0].cause), (Some(2), Cause::Fatal));
    assert!(failures[0].reason.contains("`rserve reload model`"), "{}", failures[0].reason);
    assert_eq!(loader.loads.load(SeqCst), loads + 1, "version 1 alone was loaded");
    let status = lifecycle.status().remove(0);
    assert_eq!((status.serving, status.generations[0].cause), (vec![1], Some(Cause::Fatal)));
    assert_eq!(lifecycle.look_again("model").unwrap().serving, [1], "an order for all is none for this one");
    loader.gate.open();
    assert_eq!(lifecycle.reload("model").unwrap().serving, [2]);
    // Now that it came back, anybody may load it.
    let (lifecycle, _) = begin();
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
}

#[test]
fn stop_first_has_the_old_one_go_before_the_new_one_is_loaded() {
    let Setup { store, loader, lifecycle, cell } = start();
    let plan = rollout(store.path(), &[], |r| r.stop_first = true);
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    loader.gate.close();
    write(store.path(), "model", 2, "hang 2");
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| lifecycle.refresh("model").unwrap());
        loader.gate.wait_for(1);
        assert!(cell.pin().is_err(), "the gap that was asked for");
        loader.gate.open();
        assert_eq!(looking.join().unwrap().serving, [2]);
    });
    assert_eq!(ask(&cell, 2.0), (2, 4.0));
    // What is known to be wrong beforehand opens no gap; what fails after has the old one loaded again.
    write(store.path(), "model", 3, "input photo");
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
    write(store.path(), "model", 3, "panic");
    let reload = lifecycle.refresh("model").unwrap();
    assert_eq!((reload.serving, reload.failures[0].cause), (vec![2], Cause::Load));
    assert_eq!(ask(&cell, 2.0), (2, 4.0));
}

#[test]
fn a_load_that_lacks_memory_fails_for_that_cause() {
    let Setup { store, lifecycle, .. } = start();
    for (version, text, cause) in [(2, "full", Cause::Memory), (3, "nothing", Cause::Load)] {
        write(store.path(), "model", version, text);
        let reload = lifecycle.refresh("model").unwrap();
        let causes: Vec<Cause> = reload.failures.iter().map(|failure| failure.cause).collect();
        assert_eq!((reload.serving, causes.last()), (vec![1], Some(&cause)));
    }
}

#[test]
fn versions_are_asked_for_by_hand_until_the_next_plan() {
    let Setup { store, lifecycle, cell, .. } = start();
    let last = Refused::Last { model: "model".into(), version: 1 };
    assert_eq!(lifecycle.unload("model", 1).unwrap_err(), last);
    assert_eq!(ask(&cell, 2.0), (1, 20.0));
    write(store.path(), "model", 2, "times 100");
    lifecycle.refresh("model").unwrap();
    assert_eq!(lifecycle.load("model", 1).unwrap().serving, [1, 2]);
    assert_eq!(cell.choose(Some(1), None).unwrap().tag, "model@1");
    assert_eq!(lifecycle.status()[0].wanted, "latest, 1 by hand");
    assert_eq!(lifecycle.unload("model", 2).unwrap().serving, [1], "rolled back");
    let gone = Refused::NotServed { model: "model".into(), version: 2 };
    assert_eq!(lifecycle.unload("model", 2).unwrap_err(), gone);
    lifecycle.apply(&rollout(store.path(), &[], |_| ())).unwrap();
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [2]);
}

#[test]
fn traffic_is_split_by_weight_and_a_key_stays_where_it_is() {
    let Setup { store, lifecycle, .. } = start();
    write(store.path(), "model", 2, "times 100");
    let split = |weights: &[(u64, f64)]| rollout(store.path(), &[1, 2], |r| r.traffic = weights.to_vec());
    let plan = split(&[(1, 90.0), (2, 10.0)]);
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let cell = lifecycle.cells(&plan).unwrap()[id(0)].clone();
    let of = |n: u32| cell.choose(None, Some(&n.to_le_bytes())).unwrap().version;
    let second = (0..10_000).filter(|n| of(*n) == 2).count();
    assert!((900..=1100).contains(&second), "{second}");
    assert!((0..100).all(|n| of(n) == of(n)));
    assert_eq!(cell.choose(Some(1), Some(b"x")).unwrap().version, 1);
    assert_eq!(cell.pin().unwrap().version, 2);
    // Other weights are another policy of the same cell.
    lifecycle.apply(&split(&[(1, 0.0), (2, 1.0)])).unwrap();
    assert!((0..100).all(|n| of(n) == 2));
}

#[test]
fn a_shadow_is_compared_and_answers_nobody() {
    let Setup { store, lifecycle, .. } = start();
    write(store.path(), "model", 2, "times 11");
    let plan = rollout(store.path(), &[1], |r| r.shadow = Some(2));
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let cell = lifecycle.cells(&plan).unwrap()[id(0)].clone();
    assert_eq!(cell.served().versions(), [1]);
    assert!(cell.choose(Some(2), None).is_err());
    let picked = cell.pin().unwrap();
    let shadow = picked.shadow.clone().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for n in 0..100 {
            let (input, answered) = (n as f32, n as f32 * 10.0);
            shadow.offer(Copied { inputs: vec![number(input)], outputs: vec![Some(number(answered))] });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let all = |c: &rserve::lifecycle::Comparison| c.compared + c.dropped + c.failed == 100;
        while !all(&shadow.comparison()) {
            assert!(Instant::now() < deadline, "{:?}", shadow.comparison());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let found = lifecycle.status()[0].shadow.clone().unwrap();
    assert_eq!((found.failed, found.equal), (0, 1), "{found:?}");
    assert_eq!(found.largest_difference, (found.compared - 1) as f64, "the first came through, in order");
    assert!(found.dropped > 0, "more than may wait came at once");
}

#[test]
fn a_version_that_changes_is_not_taken_until_it_is_still() {
    let Setup { store, loader, lifecycle, .. } = start();
    let mut plan = rollout(store.path(), &[], |_| ());
    plan.watch.settle = Duration::from_millis(300);
    lifecycle.apply(&plan).unwrap();
    let loads = loader.loads.load(SeqCst);
    for part in ["t", "ti", "times", "times 1", "times 12"] {
        write(store.path(), "model", 2, part);
        let reload = lifecycle.refresh("model").unwrap();
        assert!(reload.again_in.is_some() && reload.serving == [1], "{part}: {reload:?}");
    }
    assert_eq!(loader.loads.load(SeqCst), loads, "nothing half-written was loaded");
    assert_eq!(lifecycle.reload("model").unwrap().serving, [2]);
    assert_eq!(loader.loads.load(SeqCst), loads + 1);
}

/// Refuses what its pipelines could not work with.
struct NoThirteens;

impl Fit for NoThirteens {
    fn fits(&self, model: &str, version: u64, _: &VersionFacts, serving: &Serving) -> Result<(), String> {
        let serves = serving.get(model).map(|versions| versions.iter().map(|(v, _)| *v).collect::<Vec<_>>());
        if version == 13 { Err(format!("13 does not fit `mask` (beside {serves:?})")) } else { Ok(()) }
    }
}

#[test]
fn what_does_not_fit_the_plan_is_refused_with_its_own_words() {
    let Setup { store, lifecycle, loader, .. } = start();
    let plan = rollout(store.path(), &[], |_| ());
    lifecycle.commit(lifecycle.stage(&plan, Some(Arc::new(NoThirteens))).unwrap());
    write(store.path(), "other", 13, "times 1");
    write(store.path(), "model", 13, "times 1");
    let mut two = self::plan(store.path(), &[("model", &[], true), ("other", &[12], false)]);
    two.models[id(1)].versions = vec![13];
    let loads = loader.loads.load(SeqCst);
    let staged = lifecycle.stage(&two, Some(Arc::new(NoThirteens))).unwrap();
    assert_eq!((staged.without(), staged.failures[0].cause), (vec!["other"], Cause::Misfit));
    lifecycle.dismiss(staged);
    let reload = lifecycle.reload("model").unwrap();
    assert_eq!((reload.serving, reload.failures[0].cause), (vec![1], Cause::Misfit));
    assert_eq!(reload.failures[0].reason, "13 does not fit `mask` (beside Some([1]))");
    assert_eq!(loader.loads.load(SeqCst), loads, "nothing was put on a device for it");
}

/// The share by which the device goes for `model`, whatever a plan says.
fn share_in_force(device: &Device) -> f64 {
    let usage = device.usage();
    let shares: Vec<f64> =
        usage.models.iter().filter(|of| &*of.model == "model").map(|of| of.share).collect();
    let [share] = shares[..] else { panic!("{usage:?}") };
    share
}

/// `model` on a device of its own, by `plan`.
fn start_on(store: &Path, plan: &Plan) -> (Arc<TextLoader>, Arc<Lifecycle>, Device) {
    write(store, "model", 1, "times 10");
    let device = Device::new(DeviceId::Cpu, TwoLanes);
    let loader = Arc::new(TextLoader::default());
    let lifecycle = Arc::new(Lifecycle::with_devices(loader.clone(), [device.clone()]));
    assert_eq!(lifecycle.apply(plan).unwrap(), []);
    (loader, lifecycle, device)
}

#[test]
fn a_staged_plan_changes_nothing_of_what_serves_and_a_refused_one_forgets_nothing() {
    let store = tempfile::tempdir().unwrap();
    write(store.path(), "model", 2, "times 100");
    let (_, lifecycle, device) = start_on(store.path(), &plan(store.path(), &[("model", &[], true)]));
    assert_eq!(lifecycle.unload("model", 2).unwrap().serving, [1]);
    // An edit that asks for other versions, one of which cannot be served, and for another share.
    write(store.path(), "model", 3, "beast");
    let mut edited = rollout(store.path(), &[1, 2, 3], |_| ());
    edited.models[id(0)].share = 0.25;
    edited.models[id(0)].queue = 1;
    let staged = lifecycle.stage(&edited, None).unwrap();
    assert_eq!(staged.failures.len(), 1);
    assert_eq!(staged.cells()[id(0)].served().versions(), [1, 2], "the second was loaded beside what serves");
    assert_eq!(share_in_force(&device), 0.5);
    lifecycle.dismiss(staged);
    assert_eq!(share_in_force(&device), 0.5);
    assert_eq!(lifecycle.status()[0].wanted, "latest, not 2 by hand");
    std::fs::remove_dir_all(store.path().join("model/3")).unwrap();
    assert_eq!(lifecycle.refresh("model").unwrap().serving, [1], "it stays rolled back");
    assert_eq!(states(&lifecycle).pop(), Some((2, State::Unloaded)), "{:?}", states(&lifecycle));
    // The same edit, in order this time.
    edited.models[id(0)].versions = vec![1, 2];
    let staged = lifecycle.stage(&edited, None).unwrap();
    assert_eq!((staged.failures.len(), share_in_force(&device)), (0, 0.5));
    lifecycle.commit(staged);
    assert_eq!(share_in_force(&device), 0.25);
    assert_eq!(lifecycle.status()[0].wanted, "1, 2");
    let serving = [(2, State::Unloaded), (1, State::Ready), (2, State::Unloaded), (2, State::Ready)];
    assert_eq!(states(&lifecycle), serving, "version 1 was never loaded again");
}

#[test]
fn a_plan_that_is_committed_beside_a_load_is_the_one_that_holds() {
    let store = tempfile::tempdir().unwrap();
    write(store.path(), "model", 2, "times 100");
    let split = |first: f64, share: f64| {
        let mut plan = rollout(store.path(), &[1, 2], |r| r.traffic = vec![(1, first), (2, 100.0 - first)]);
        plan.models[id(0)].share = share;
        plan
    };
    let (loader, lifecycle, device) = start_on(store.path(), &split(50.0, 0.5));
    let cell = lifecycle.cells(&split(50.0, 0.5)).unwrap()[id(0)].clone();
    loader.gate.close();
    write(store.path(), "model", 2, "hang 7");
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| lifecycle.refresh("model").unwrap());
        loader.gate.wait_for(1);
        lifecycle.commit(lifecycle.stage(&split(90.0, 0.25), None).unwrap());
        assert_eq!(cell.served().traffic, [(1, 90.0), (2, 10.0)]);
        loader.gate.open();
        assert_eq!(looking.join().unwrap().loaded, [2]);
    });
    assert_eq!(cell.served().traffic, [(1, 90.0), (2, 10.0)]);
    assert_eq!((share_in_force(&device), ask(&cell, 2.0)), (0.25, (2, 14.0)));
}

#[test]
fn what_is_loaded_for_a_model_that_the_plan_has_no_more_does_not_serve() {
    let store = tempfile::tempdir().unwrap();
    let (loader, lifecycle, _) = start_on(store.path(), &plan(store.path(), &[("model", &[], true)]));
    let cell = lifecycle.cells(&plan(store.path(), &[("model", &[], true)])).unwrap()[id(0)].clone();
    write(store.path(), "other", 1, "times 3");
    loader.gate.close();
    write(store.path(), "model", 2, "hang 7");
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| lifecycle.refresh("model").unwrap());
        loader.gate.wait_for(1);
        assert_eq!(lifecycle.apply(&plan(store.path(), &[("other", &[], true)])).unwrap(), []);
        loader.gate.open();
        assert!(looking.join().unwrap().loaded.is_empty());
    });
    assert_eq!(cell.served().versions(), [1], "for those who hold it");
}

#[test]
fn a_version_that_failed_is_shown_until_its_folder_is_gone() {
    let Setup { store, lifecycle, .. } = start();
    write(store.path(), "model", 2, "<html>");
    fs::create_dir_all(store.path().join("model/3")).unwrap();
    fs::write(store.path().join("model/3/model.onnx"), "").unwrap();
    lifecycle.refresh("model").unwrap();
    let shown: Vec<u64> = states(&lifecycle).into_iter().map(|(version, _)| version).collect();
    assert_eq!(shown, [1, 3, 2]);
    fs::remove_dir_all(store.path().join("model/3")).unwrap();
    lifecycle.refresh("model").unwrap();
    assert_eq!(states(&lifecycle).len(), 2);
    fs::remove_dir_all(store.path().join("model/2")).unwrap();
    lifecycle.refresh("model").unwrap();
    assert_eq!(states(&lifecycle), [(1, State::Ready)]);
    assert_eq!(lifecycle.status()[0].loads.failed.len(), 2, "they are counted all the same");
}
