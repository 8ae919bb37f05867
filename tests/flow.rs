//! One item's way through a pipeline, with stand-ins for models and codecs.

use crate::fakes::{Fake, Gate, TwoLanes, id, ids, signature};
use crate::lifecycle::{plan, whole, write};
use bytes::Bytes;
use rserve::flow::{Answer, CodecThreads, Error, Pinned, Pipeline, Request, Side, run};
use rserve::lifecycle::{Lifecycle, Loadable, Loader, OpenError, Opened, PlaceError};
use rserve::memory::{Budget, Use};
use rserve::plan::{
    self, Calls, Declaration, Decode, DecodeError, DecodePlan, Decoded, DeviceId, Does, Encode, EncodeError,
    EncodeId, EncodePlan, EncodeSource, Entry, Example, Format, Id, IdVec, Input, InputPlan, Origin,
    OutputPlan, Payload, Reads, Region, RowContext, Rows, Step, TensorType, VersionFacts,
};
use rserve::scheduler::{Device, Runner};
use rserve::store::VersionFiles;
use rserve::tensor::Tensor;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Reads a number as text. "panic" does, and what begins with spaces is heavy: with one a large picture that takes a
/// gigabyte while it is read, with two a small one.
#[derive(Debug, Default)]
struct NumberDecode {
    /// Holds back what is heavy.
    gate: Arc<Gate>,
}

impl Decode for NumberDecode {
    fn format(&self) -> &'static str {
        "number"
    }
    fn produces(&self) -> TensorType {
        TensorType::default()
    }
    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn example(&self) -> Example {
        Example::File(String::new())
    }
    fn weight(&self, payload: &Payload) -> usize {
        match payload {
            Payload::Bytes(bytes) if bytes.starts_with(b"  ") => 1 << 20,
            Payload::Bytes(bytes) if bytes.starts_with(b" ") => 1 << 30,
            _ => 0,
        }
    }
    fn working_memory(&self, payload: &Payload) -> u64 {
        self.weight(payload) as u64
    }
    fn decode(&self, payload: &Payload, keep_origin: bool) -> Result<Decoded, DecodeError> {
        let Payload::Bytes(bytes) = payload else { return Err(DecodeError::WrongType("json".into())) };
        let text = String::from_utf8_lossy(bytes);
        assert!(text != "panic", "asked to");
        if text.starts_with(' ') {
            self.gate.pass();
        }
        let value: f32 = text.trim().parse().map_err(|_| DecodeError::Invalid("not a number".into()))?;
        let origin = keep_origin.then(|| Origin {
            width: 1,
            height: 1,
            rgb: Bytes::from_static(b"rgb"),
            region: Region { left: 0.0, top: 0.0, width: 1.0, height: 1.0 },
            input: (1, 1),
            orientation: image::metadata::Orientation::NoTransforms,
        });
        Ok(Decoded { tensor: Tensor::from_vec(vec![1], vec![value]).unwrap(), origin })
    }
}

/// Writes its inputs' first numbers, and whether it was given a picture. A NaN cannot be encoded.
#[derive(Debug)]
struct TextEncode;

impl Encode for TextEncode {
    fn about(&self) -> Format {
        Format { name: "text", media_type: "text/plain", extension: "txt" }
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn encode(&self, inputs: &[Input], origin: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let one = |input: &Input| {
            let value = input.tensor().unwrap().to_f64()[0];
            let label = input.labels.as_ref().map(|labels| labels[value as usize].as_str());
            label.map_or_else(|| value.to_string(), str::to_owned)
        };
        let mut text: Vec<String> = inputs.iter().map(one).collect();
        if text.iter().any(|value| value == "NaN") {
            return Err(EncodeError::Unforeseen("it is not a number".into()));
        }
        text.extend(origin.map(|_| "drawn".to_owned()));
        Ok(text.join(" ").into_bytes())
    }
    fn rows(&self) -> Option<&dyn Rows> {
        Some(self)
    }
}

impl Rows for TextEncode {
    fn header(&self) -> Result<Vec<u8>, EncodeError> {
        Ok(vec![])
    }
    fn of_item(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError> {
        let values = String::from_utf8(self.encode(inputs, None)?).unwrap();
        Ok(format!("{} {values} by {}\n", context.item, context.models).into_bytes())
    }
}

/// Hands out models made beforehand, by what their file says.
struct Models(HashMap<&'static str, Arc<Fake>>);

impl Loader for Models {
    fn open(&self, files: VersionFiles, _: &Declaration) -> Result<Opened, OpenError> {
        let name = String::from_utf8(whole(&files)).unwrap();
        let inputs: &[&str] = if name == "join" { &["a", "b"] } else { &["x"] };
        let facts = VersionFacts {
            signature: signature(inputs, &["y"]),
            labels: files.labels,
            texts: files.texts,
            arrays: BTreeMap::new(),
            weights: 4,
        };
        Ok(Opened { facts, model: Box::new(Ready(self.0[name.as_str()].clone())) })
    }
}

struct Ready(Arc<Fake>);

impl Loadable for Ready {
    fn another(&self) -> Box<dyn Loadable> {
        Box::new(Self(self.0.clone()))
    }

    fn load(self: Box<Self>, _: DeviceId) -> Result<Arc<dyn Runner>, PlaceError> {
        Ok(self.0)
    }
}

fn step(name: &str, model: usize, inputs: &[usize], output: Option<usize>, to_host: bool) -> Step {
    Step {
        name: name.into(),
        does: Does::Call(Calls { model: id(model), name: String::new(), batch: 16 }),
        each: None,
        makes: None,
        when: None,
        within: None,
        inputs: inputs
            .iter()
            .map(|slot| InputPlan { name: "x".into(), slot: id(*slot), reads: Reads::One, labels: None })
            .collect(),
        outputs: vec![OutputPlan {
            name: "y".into(),
            ty: TensorType::default(),
            slot: output.map(id),
            to_host,
        }],
    }
}

fn encode(name: &str, slots: &[usize], origin: Option<usize>, needs: &[usize]) -> EncodePlan {
    let sources = slots.iter().map(|slot| EncodeSource { slot: id(*slot), labels: None }).collect();
    let (origin, needs) = (origin.map(id), ids(needs));
    EncodePlan { name: name.into(), encode: Arc::new(TextEncode), sources, sizes: vec![], origin, needs }
}

struct Setup {
    _store: tempfile::TempDir,
    lifecycle: Lifecycle,
    pipeline: Arc<Pipeline>,
    models: HashMap<&'static str, Arc<Fake>>,
    /// The batches that each ran before it served.
    warmed: HashMap<&'static str, usize>,
}

impl Setup {
    fn pin(&self) -> Pinned {
        self.pipeline.pin().unwrap()
    }

    /// Batches that a model ran, without its warm-up.
    fn ran(&self, model: &str) -> usize {
        self.models[model].sizes().len() - self.warmed[model]
    }
}

/// x -> left (times 2), right (times 3) -> join (their sum, times 1); encodes: `sum`, `left`, `name`.
fn diamond() -> Setup {
    diamond_on(CodecThreads::default(), NumberDecode::default())
}

fn diamond_on(threads: CodecThreads, decode: NumberDecode) -> Setup {
    let store = tempfile::tempdir().unwrap();
    let models: HashMap<&'static str, Arc<Fake>> =
        [("left", Fake::times(2.0)), ("right", Fake::times(3.0)), ("join", Fake::times(1.0))].into();
    let names = ["join", "left", "right"];
    for name in names {
        write(store.path(), name, 2, name);
    }
    let mut plan = plan(store.path(), &names.map(|name| (name, [2u64].as_slice(), false)));
    plan.models[id(0)].signature = signature(&["a", "b"], &["y"]);
    fs::write(store.path().join("left/2/names.txt"), "zero\none\ntwo\n").unwrap();
    let mut name = encode("name", &[1], None, &[0]);
    name.sources[0].labels = Some((id(0), "names.txt".into()));
    let entry = Arc::new(Entry {
        decodes: vec![DecodePlan { name: "x".into(), decode: Arc::new(decode), keep_origin: true }].into(),
        steps: vec![
            step("left", 0, &[0], Some(1), true),
            step("right", 1, &[0], Some(2), false),
            step("join", 2, &[1, 2], Some(3), true),
        ]
        .into(),
        encodes: vec![encode("sum", &[3, 1], None, &[0, 1, 2]), encode("left", &[1], Some(0), &[0]), name]
            .into(),
        slots: vec![None; 4].into(),
        ..Entry::default()
    });
    let pipeline = plan::Pipeline {
        name: "diamond".into(),
        timeout: Duration::from_secs(60),
        priority: Default::default(),
        models: ids(&[1, 2, 0]).into(),
        route: "/diamond/predict".into(),
        online: entry.clone(),
        offline: entry,
    };
    let device = Device::new(DeviceId::Cpu, TwoLanes);
    let lifecycle = Lifecycle::with_devices(Arc::new(Models(models.clone())), [device]);
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let cells = lifecycle.cells(&plan).unwrap();
    let pipeline = Pipeline::new(Arc::new(pipeline), &cells, threads);
    let warmed = models.iter().map(|(name, fake)| (*name, fake.sizes().len())).collect();
    Setup { _store: store, lifecycle, pipeline, models, warmed }
}

fn request<'a>(payload: &str, encodes: &'a [EncodeId]) -> Request<'a> {
    Request {
        side: Side::Online,
        payloads: vec![Payload::Bytes(Bytes::copy_from_slice(payload.as_bytes()))],
        encodes,
        row: None,
        priority: None,
        deadline: Instant::now() + Duration::from_secs(60),
        sender: None,
    }
}

fn texts(answer: &Answer) -> Vec<(usize, &str)> {
    answer
        .encoded
        .iter()
        .map(|(encode, bytes)| (encode.index(), std::str::from_utf8(bytes).unwrap()))
        .collect()
}

#[tokio::test]
async fn fan_out_and_join() {
    let setup = diamond();
    let pinned = setup.pin();
    assert_eq!(&**pinned.models(), "left@2, right@2, join@2");
    let answer = run(&pinned, request("5", &[id(0), id(1)])).await.unwrap();
    assert_eq!(texts(&answer), [(0, "25 10"), (1, "10 drawn")]);
    assert!(answer.timings.steps.iter().all(|timing| timing.is_some_and(|timing| timing.timing.batch == 1)));
    assert_eq!((answer.timings.decodes.len(), answer.timings.encodes.len()), (1, 2));
}

#[tokio::test]
async fn steps_that_no_chosen_encode_needs_are_not_run() {
    let setup = diamond();
    let answer = run(&setup.pin(), request("5", &[id(1)])).await.unwrap();
    assert_eq!(texts(&answer), [(1, "10 drawn")]);
    assert_eq!((setup.ran("left"), setup.ran("right"), setup.ran("join")), (1, 0, 0));
    assert_eq!(answer.timings.steps.iter().filter(|timing| timing.is_some()).count(), 1);
}

#[tokio::test]
async fn labels_are_those_beside_the_version_that_served() {
    let setup = diamond();
    assert_eq!(texts(&run(&setup.pin(), request("1", &[id(2)])).await.unwrap()), [(2, "two")]);
}

#[tokio::test]
async fn rows_carry_the_item_and_what_served_it() {
    let setup = diamond();
    let first = [id(0)];
    let mut request = request("5", &first);
    (request.side, request.row) = (Side::Offline, Some("photos/a.jpg"));
    let answer = run(&setup.pin(), request).await.unwrap();
    assert_eq!(texts(&answer), [(0, "photos/a.jpg 25 10 by left@2, right@2, join@2\n")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn independent_steps_are_under_way_at_once_and_items_share_batches() {
    let setup = diamond();
    let gates: Vec<&Gate> = ["left", "right"].map(|name| &setup.models[name].gate).into();
    gates.iter().for_each(|gate| gate.close());
    let pinned = setup.pin();
    let submit = |n: i32| {
        let pinned = pinned.clone();
        tokio::spawn(async move { run(&pinned, request(&n.to_string(), &[id(0)])).await })
    };
    // Neither step of the first item is let go before both have begun, a lane each. The others come after it:
    // their steps could take the second lane before it does.
    let mut items = vec![submit(0)];
    tokio::task::block_in_place(|| gates.iter().for_each(|gate| gate.wait_for(setup.warmed["left"] + 1)));
    items.extend((1..8).map(submit));
    while pinned.generations()[id(0)].replicas.iter().next().unwrap().counters().queue < 7 {
        tokio::task::yield_now().await;
    }
    gates.iter().for_each(|gate| gate.open());
    for (n, item) in items.into_iter().enumerate() {
        let answer = item.await.unwrap().unwrap();
        assert_eq!(texts(&answer), [(0, format!("{} {}", n * 5, n * 2).as_str())]);
    }
    assert_eq!(setup.ran("left"), 3, "one item, then at most four at a time");
}

#[tokio::test]
async fn every_cause_has_its_error() {
    let setup = diamond();
    let pinned = setup.pin();
    let error = async |payload: &str, encodes: &[EncodeId]| {
        run(&pinned, request(payload, encodes)).await.unwrap_err()
    };
    assert_eq!(error("five", &[id(0)]).await.to_string(), "decode `x`: not a number");
    assert_eq!(error(" five", &[id(0)]).await.to_string(), "decode `x`: not a number");
    assert_eq!(error("panic", &[id(0)]).await.to_string(), "decode `x` panicked: asked to");
    assert_eq!(error("NaN", &[id(1)]).await.to_string(), "encode `left`: it is not a number");
    assert!(matches!(error("5", &[id(7)]).await, Error::Request(_)));
    match error("-1", &[id(1)]).await {
        Error::Input { step, model, reason } => {
            assert_eq!(
                (step.name.as_str(), model.as_str(), reason.as_str()),
                ("left", "left@2", "-1 is negative")
            );
        }
        other => panic!("{other}"),
    }
    match error("666", &[id(1)]).await {
        Error::Step { step, reason, .. } => {
            assert_eq!(step.name, "left");
            assert!(reason.contains("the number of the beast"), "{reason}");
        }
        other => panic!("{other}"),
    }
    let first = [id(0)];
    let mut late = request("5", &first);
    late.deadline = Instant::now();
    assert!(matches!(run(&pinned, late).await, Err(Error::Deadline { at }) if at == "decode `x`"));
    assert_eq!(setup.ran("join"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_passes_at_a_step_while_the_model_is_busy() {
    let setup = diamond();
    let pinned = setup.pin();
    setup.models["join"].gate.close();
    let first = [id(0)];
    let mut slow = request("5", &first);
    slow.deadline = Instant::now() + Duration::from_millis(50);
    let error = run(&pinned, slow).await.unwrap_err();
    assert_eq!(error.to_string(), "the deadline passed at step `join`");
    setup.models["join"].gate.open();
    assert_eq!(texts(&run(&pinned, request("5", &[id(0)])).await.unwrap()), [(0, "25 10")]);
}

/// The decoded pictures of a flood of requests waited in a model's queue, each as large as it liked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_decoded_that_there_is_no_memory_for() {
    // Of which half is for what is decoded, and of that an eighth is left to what is small.
    let budget = Budget::new(3 << 30);
    let gate = Arc::new(Gate::default());
    let decode = NumberDecode { gate: gate.clone() };
    let setup = diamond_on(CodecThreads::new(4, &budget), decode);
    let pinned = setup.pin();
    gate.close();
    let first = {
        let pinned = pinned.clone();
        tokio::spawn(async move { run(&pinned, request(" 1", &[id(1)])).await })
    };
    tokio::task::block_in_place(|| gate.wait_for(1));
    let decoded = || budget.usage().by_use().find(|(of, _)| *of == Use::Decoded).unwrap().1;
    assert_eq!(decoded(), 1 << 30);
    // Another large one finds no memory; a light one does.
    let second = {
        let pinned = pinned.clone();
        tokio::spawn(async move { run(&pinned, request(" 2", &[id(1)])).await })
    };
    assert_eq!(texts(&run(&pinned, request("3", &[id(1)])).await.unwrap()), [(1, "6 drawn")]);
    let error = second.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::NoMemory { full, .. } if !full.is_for_good()), "{error}");
    gate.open();
    assert_eq!(texts(&first.await.unwrap().unwrap()), [(1, "2 drawn")]);
    assert_eq!(decoded(), 0, "what is over holds nothing");
    budget.set_limit(1 << 30);
    let error = run(&pinned, request(" 2", &[id(1)])).await.unwrap_err();
    assert!(matches!(&error, Error::NoMemory { full, .. } if full.is_for_good()), "{error}");
}

/// What a step gave waited for the next model without being counted.
#[tokio::test]
async fn what_steps_give_is_counted_until_the_item_ends() {
    let budget = Budget::new(1 << 20);
    let setup = diamond_on(CodecThreads::new(1, &budget), NumberDecode::default());
    assert_eq!(texts(&run(&setup.pin(), request("5", &[id(0)])).await.unwrap()), [(0, "25 10")]);
    assert_eq!(budget.usage().reserved(), 0);
    // Enough for the number that is decoded, and for one of those that it becomes.
    budget.set_limit(16);
    let error = run(&setup.pin(), request("5", &[id(0)])).await.unwrap_err();
    assert!(matches!(&error, Error::NoMemory { at, .. } if at.starts_with("step `")), "{error}");
    assert_eq!(budget.usage().reserved(), 0);
}

/// One line for all pipelines, without an end: three hundred pictures of one client were decoded, half of them for
/// nobody any more, while a decent photo waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_pictures_wait_apart_and_are_turned_away_when_too_many_do() {
    let gate = Arc::new(Gate::default());
    let threads = CodecThreads::new(1, &Budget::unlimited());
    let setup = diamond_on(threads, NumberDecode { gate: gate.clone() });
    let pinned = setup.pin();
    gate.close();
    let submit = |payload: &'static str| {
        let pinned = pinned.clone();
        tokio::spawn(async move { run(&pinned, request(payload, &[id(1)])).await })
    };
    let mut large: Vec<_> = vec![submit(" 1")];
    tokio::task::block_in_place(|| gate.wait_for(1));
    // One runs, the others wait for it: the other thread is not for them.
    let crowded = loop {
        let encodes = [id(1)];
        let mut soon = request(" 2", &encodes);
        soon.deadline = Instant::now() + Duration::from_millis(1);
        large.push(submit(" 2"));
        match run(&pinned, soon).await.unwrap_err() {
            Error::Crowded { retry_after, .. } => break retry_after,
            Error::Deadline { .. } => {}
            error => panic!("{error}"),
        }
    };
    let waited = large.len();
    let small = submit("  4");
    tokio::task::block_in_place(|| gate.wait_for(2));
    // Those who leave are not decoded.
    for one in large.drain(1..) {
        one.abort();
        // The last of them were turned away before.
        let _ = one.await;
    }
    gate.open();
    assert_eq!(texts(&small.await.unwrap().unwrap()), [(1, "8 drawn")]);
    assert_eq!(texts(&large.pop().unwrap().await.unwrap().unwrap()), [(1, "2 drawn")]);
    assert_eq!(texts(&run(&pinned, request(" 3", &[id(1)])).await.unwrap()), [(1, "6 drawn")]);
    assert_eq!(gate.arrivals(), 3, "the first, the small one and the last");
    assert!(crowded > Duration::ZERO && waited > 30, "{waited} waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_given_up_runs_no_further_and_a_full_queue_is_said_at_once() {
    let setup = diamond();
    let pinned = setup.pin();
    let lanes = 2;
    let left = &setup.models["left"];
    left.gate.close();
    // A batch of one for each lane, then as many as the queue holds.
    let mut items = vec![];
    let submit = || {
        let pinned = pinned.clone();
        tokio::spawn(async move { run(&pinned, request("1", &[id(1)])).await })
    };
    for lane in 0..lanes {
        items.push(submit());
        tokio::task::block_in_place(|| left.gate.wait_for(setup.warmed["left"] + 1 + lane));
    }
    items.extend((0..64).map(|_| submit()));
    let queue = || pinned.generations()[id(0)].replicas.iter().next().unwrap().counters().queue;
    while queue() < 64 {
        tokio::task::yield_now().await;
    }
    match run(&pinned, request("1", &[id(1)])).await.unwrap_err() {
        Error::Full { model, retry_after } => {
            assert_eq!(model, "left@2");
            assert!(retry_after > Duration::ZERO);
        }
        other => panic!("{other}"),
    }
    // An item that would come to it later is turned away at once, before it is even decoded.
    let taken = pinned.generations()[id(1)].replicas.iter().next().unwrap().counters().submitted;
    let error = run(&pinned, request("no number", &[id(0)])).await.unwrap_err();
    assert!(matches!(&error, Error::Full { model, .. } if model == "left@2"), "{error}");
    assert_eq!(pinned.generations()[id(1)].replicas.iter().next().unwrap().counters().submitted, taken);
    let before = setup.ran("left");
    for item in &items[lanes..] {
        item.abort();
    }
    for item in items.drain(lanes..) {
        assert!(item.await.unwrap_err().is_cancelled());
    }
    left.gate.open();
    for item in items {
        item.await.unwrap().unwrap();
    }
    assert_eq!(run(&pinned, request("4", &[id(1)])).await.unwrap().encoded[0].1, b"8 drawn");
    assert_eq!(setup.ran("left"), before + 1, "those who left were not run");
    assert_eq!(pinned.generations()[id(0)].replicas.iter().next().unwrap().counters().gone, 64);
}

#[tokio::test]
async fn what_was_pinned_serves_on_after_the_model_is_gone() {
    let setup = diamond();
    let pinned = setup.pin();
    setup.lifecycle.apply(&plan(setup._store.path(), &[])).unwrap();
    assert!(setup.lifecycle.status().is_empty());
    // Whoever came by an old route may pin, too.
    assert_eq!(texts(&run(&setup.pin(), request("4", &[id(1)])).await.unwrap()), [(1, "8 drawn")]);
    assert_eq!(texts(&run(&pinned, request("5", &[id(1)])).await.unwrap()), [(1, "10 drawn")]);
}

/// Decodes and encodes only once another one has come to do the same; all of it is heavy.
#[derive(Clone, Debug, Default)]
struct Meeting(Arc<(Mutex<usize>, Condvar)>);

impl Meeting {
    fn meet(&self) -> bool {
        let (come, changed) = &*self.0;
        let mut come = come.lock().unwrap();
        *come += 1;
        changed.notify_all();
        let pair = come.div_ceil(2) * 2;
        !changed.wait_timeout_while(come, Duration::from_secs(20), |come| *come < pair).unwrap().1.timed_out()
    }
}

impl Decode for Meeting {
    fn format(&self) -> &'static str {
        "meeting"
    }
    fn produces(&self) -> TensorType {
        TensorType::default()
    }
    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn example(&self) -> Example {
        Example::File(String::new())
    }
    fn weight(&self, _: &Payload) -> usize {
        1 << 20
    }
    fn decode(&self, payload: &Payload, _: bool) -> Result<Decoded, DecodeError> {
        if !self.meet() {
            return Err(DecodeError::Invalid("nobody else came".into()));
        }
        match payload {
            Payload::Bytes(bytes) if bytes.starts_with(b"bad") => {
                Err(DecodeError::Invalid(String::from_utf8_lossy(bytes).into_owned()))
            }
            _ => Ok(Decoded {
                tensor: Tensor::from_vec(vec![1 << 18], vec![payload.len() as f32; 1 << 18]).unwrap(),
                origin: None,
            }),
        }
    }
}

impl Encode for Meeting {
    fn about(&self) -> Format {
        Format { name: "meeting", media_type: "text/plain", extension: "txt" }
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        if !self.meet() {
            return Err(EncodeError::Unforeseen("nobody else came".into()));
        }
        Ok(inputs[0].tensor()?.to_f64()[0].to_string().into_bytes())
    }
}

#[tokio::test]
async fn decodes_and_encodes_of_one_item_are_under_way_at_once() {
    let meeting = Meeting::default();
    let decode =
        |name: &str| DecodePlan { name: name.into(), decode: Arc::new(meeting.clone()), keep_origin: false };
    let encode = |name: &str, slot: usize| EncodePlan {
        encode: Arc::new(meeting.clone()),
        ..encode(name, &[slot], None, &[])
    };
    let entry = Arc::new(Entry {
        decodes: vec![decode("left"), decode("right")].into(),
        steps: IdVec::default(),
        encodes: vec![encode("one", 0), encode("two", 1)].into(),
        slots: vec![None; 2].into(),
        ..Entry::default()
    });
    let pipeline = plan::Pipeline {
        name: "pair".into(),
        timeout: Duration::from_secs(60),
        priority: Default::default(),
        models: IdVec::default(),
        route: "/pair/predict".into(),
        online: entry.clone(),
        offline: entry,
    };
    let pinned =
        Pipeline::new(Arc::new(pipeline), &IdVec::default(), CodecThreads::new(2, &Budget::unlimited()))
            .pin()
            .unwrap();
    let both = [id(0), id(1)];
    let of = |left: &str, right: &str| {
        let payloads = [left, right].map(|text| Payload::Bytes(Bytes::copy_from_slice(text.as_bytes())));
        Request { payloads: payloads.to_vec(), ..request("", &both) }
    };
    let answer = run(&pinned, of("x", "yy")).await.unwrap();
    assert_eq!(texts(&answer), [(0, "1"), (1, "2")]);
    assert_eq!((answer.timings.decodes.len(), answer.timings.encodes.len()), (2, 2));
    // Whichever is the faster, the first of them is what is said to be wrong.
    for _ in 0..20 {
        let error = run(&pinned, of("bad left", "bad right")).await.unwrap_err();
        assert_eq!(error.to_string(), "decode `left`: bad left");
    }
}
