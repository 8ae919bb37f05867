//! Steps that run for each element of a list, under a condition, or not in time: through a compiled plan, with models
//! that only pretend.

use crate::fakes::{Fake, TwoLanes, first, number, signature};
use crate::lifecycle::{whole, write};
use rserve::diagnostic::{At, Report, SourceText, render};
use rserve::flow::{Answer, CodecThreads, Error, Pipeline, Request, run};
use rserve::lifecycle::{Lifecycle, Loadable, Loader, OpenError, Opened, PlaceError};
use rserve::plan::{
    self, Bound, BoundOperation, Capacity, Codecs, Declaration, Decode, DeviceFacts, DeviceId, Draft, Encode,
    EncodeError, EncodeId, Facts, Format, Given, Id, Input, Made, ModelFacts, Operand, Operation,
    OperationDraft, OperationError, Operations, Origin, Payload, Plan, Reads, Registries, Side, SourceRef,
    TensorType, VersionFacts,
};
use rserve::scheduler::{Device, RunError, Runner};
use rserve::spec;
use rserve::spec::document::Reader;
use rserve::store::VersionFiles;
use rserve::tensor::{DType, Tensor};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The formats of rserve, and `text`, which writes whatever its sources are.
struct Formats;

#[derive(Debug)]
struct TextDraft(Vec<At<String>>);

#[derive(Debug)]
struct Text;

impl Codecs for Formats {
    fn decode(&self, codec: &spec::Codec, report: &mut Report) -> Option<Arc<dyn Decode>> {
        rserve::codec::registry().decode(codec, report)
    }

    fn encode(&self, codec: &spec::Codec, _: &mut Report) -> Option<Box<dyn Draft>> {
        assert_eq!(codec.format.value, "text");
        let Some(At { value: spec::document::Value::Array(from), .. }) = codec.options.get("from") else {
            panic!("`from` is an array");
        };
        let source = |source: &At<spec::document::Value>| match &source.value {
            spec::document::Value::String(name) => source.with(name.clone()),
            other => panic!("{other:?}"),
        };
        Some(Box::new(TextDraft(from.iter().map(source).collect())))
    }
}

impl Draft for TextDraft {
    fn sources(&self) -> Vec<SourceRef> {
        self.0.iter().map(|from| SourceRef { from: from.clone(), is_list: false, labels: None }).collect()
    }

    fn takes_lists(&self) -> bool {
        true
    }

    fn bind(self: Box<Self>, _: &[Option<Bound>], _: &mut Report) -> Option<Arc<dyn Encode>> {
        Some(Arc::new(Text))
    }
}

fn written(given: &Given) -> String {
    match given {
        Given::Absent => "-".to_owned(),
        Given::Length(length) => format!("#{length}"),
        Given::One(tensor) => match tensor.strings() {
            Some(strings) => strings.join(" "),
            None => tensor.to_f64().iter().map(f64::to_string).collect::<Vec<_>>().join(" "),
        },
        Given::Each(elements) => {
            format!("[{}]", elements.iter().map(written).collect::<Vec<_>>().join(","))
        }
    }
}

impl Encode for Text {
    fn about(&self) -> Format {
        Format { name: "text", media_type: "text/plain", extension: "txt" }
    }

    fn options(&self) -> serde_json::Value {
        json!({})
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let all: Vec<String> = inputs.iter().map(|input| written(&input.given)).collect();
        Ok(all.join(" | ").into_bytes())
    }
}

/// The operations of rserve, and `below`: the numbers from 0 up to one that is given.
struct WithBelow;

#[derive(Debug)]
struct Below {
    from: At<String>,
    top: usize,
}

impl Operations for WithBelow {
    fn read(&self, step: &spec::Step, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
        if step.op.as_ref()?.value != "below" {
            return rserve::steps::registry().read(step, report);
        }
        let mut options = Reader::new("a step", &step.options, &step.name.place);
        let from = options.string("from", report)?;
        let top = options.integer("top", 1..=100_000, report).map_or(100, |top| top.value as usize);
        Some(Box::new(Below { from, top }))
    }
}

impl OperationDraft for Below {
    fn operands(&self) -> Vec<Operand> {
        vec![Operand { name: "from".into(), from: self.from.clone(), reads: Reads::One, file: None }]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["value"]
    }

    fn makes_list(&self) -> Option<usize> {
        Some(self.top)
    }

    fn bind(&self, _: &[Option<Bound>], _: &mut Report) -> Option<BoundOperation> {
        let ty = TensorType { dtype: Some(DType::F32), dims: Some(vec![Some(1)]) };
        Some(BoundOperation { operation: Arc::new(CountsUp), outputs: vec![ty.into()] })
    }
}

#[derive(Debug)]
struct CountsUp;

impl Operation for CountsUp {
    fn name(&self) -> &'static str {
        "below"
    }

    fn options(&self) -> serde_json::Value {
        json!({})
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        let length = inputs[0].tensor().unwrap().to_f64()[0];
        if length < 0.0 {
            return Err(OperationError::Input(format!("there are no {length} elements")));
        }
        let numbers = (0..length as usize).map(|n| Tensor::from_vec(vec![1], vec![n as f32]).unwrap());
        Ok(Made::List { length: length as usize, outputs: vec![numbers.collect()] })
    }
}

type Fakes = HashMap<&'static str, Arc<Fake>>;

struct Models(Fakes);

struct Ready(Arc<Fake>);

impl Loader for Models {
    fn open(&self, files: VersionFiles, _: &Declaration) -> Result<Opened, OpenError> {
        let name = String::from_utf8(whole(&files)).unwrap();
        let facts = VersionFacts {
            signature: signature(&["x"], &["y"]),
            labels: files.labels,
            texts: files.texts,
            arrays: BTreeMap::new(),
            weights: 4,
        };
        Ok(Opened { facts, model: Box::new(Ready(self.0[name.as_str()].clone())) })
    }
}

impl Loadable for Ready {
    fn another(&self) -> Box<dyn Loadable> {
        Box::new(Self(self.0.clone()))
    }

    fn load(self: Box<Self>, _: DeviceId) -> Result<Arc<dyn Runner>, PlaceError> {
        Ok(self.0)
    }
}

struct Setup {
    store: tempfile::TempDir,
    lifecycle: Lifecycle,
    pipelines: Vec<Arc<Pipeline>>,
    models: Fakes,
}

/// The models of all tests: `double`, `triple`, and `sure`, which gives what it is given.
fn models() -> Fakes {
    [("double", Fake::times(2.0)), ("triple", Fake::times(3.0)), ("sure", Fake::times(1.0))].into()
}

fn compiled(store: &std::path::Path, text: &str) -> Result<Plan, String> {
    let text = format!("[store]\npath = {store:?}\nsettle = \"0s\"\n{text}");
    let mut report = Report::default();
    let specs = [spec::read(&SourceText::new("p.toml", text), &mut report)];
    let mut facts = Facts::default();
    for (root, models) in plan::needs(&specs) {
        let models = models.into_keys().map(|name| {
            let version = VersionFacts {
                signature: signature(&["x"], &["y"]),
                labels: BTreeMap::new(),
                texts: BTreeSet::new(),
                arrays: BTreeMap::new(),
                weights: 4,
            };
            (name, ModelFacts { versions: BTreeMap::from([(1, Ok(version))]), ..ModelFacts::default() })
        });
        facts.stores.insert(root.path, Ok(models.collect()));
    }
    let cpu = DeviceFacts { id: DeviceId::Cpu, name: "two cores".into(), memory: None };
    let capacity = Capacity { devices: vec![cpu], no_cuda: None };
    let registries = Registries { codecs: &Formats, operations: &WithBelow };
    plan::compile(&specs, &facts, &capacity, registries, &mut report).ok_or_else(|| render(&report, false))
}

fn setup(text: &str) -> Setup {
    setup_with(models(), text)
}

fn setup_with(models: Fakes, text: &str) -> Setup {
    let store = tempfile::tempdir().unwrap();
    for name in models.keys() {
        write(store.path(), name, 1, name);
    }
    let plan = compiled(store.path(), text).unwrap_or_else(|errors| panic!("{errors}"));
    let device = Device::new(DeviceId::Cpu, TwoLanes);
    let lifecycle = Lifecycle::with_devices(Arc::new(Models(models.clone())), [device]);
    assert_eq!(lifecycle.apply(&plan).unwrap(), []);
    let cells = lifecycle.cells(&plan).unwrap();
    let pipeline = |plan: &Arc<plan::Pipeline>| Pipeline::new(plan.clone(), &cells, CodecThreads::default());
    let pipelines = plan.pipelines.iter().map(pipeline).collect();
    models.values().for_each(|fake| fake.batches.lock().unwrap().clear());
    Setup { store, lifecycle, pipelines, models }
}

fn errors(text: &str) -> String {
    let store = tempfile::tempdir().unwrap();
    let errors = compiled(store.path(), text).map(|_| ()).unwrap_err();
    errors.replace(&store.path().display().to_string(), "STORE")
}

impl Setup {
    async fn answer_in(&self, pipeline: usize, x: f32, allowed: Duration) -> Result<Answer, Error> {
        let pinned = self.pipelines[pipeline].pin().unwrap();
        let text = serde_json::value::RawValue::from_string(x.to_string()).unwrap();
        let request = Request {
            side: Side::Online,
            payloads: vec![Payload::Json(text)],
            encodes: &[EncodeId::new(0)],
            row: None,
            priority: None,
            deadline: Instant::now() + allowed,
            sender: None,
        };
        run(&pinned, request).await
    }

    async fn answer(&self, x: f32) -> Result<Answer, Error> {
        self.answer_in(0, x, Duration::from_secs(60)).await
    }

    async fn text(&self, x: f32) -> String {
        text(&self.answer(x).await.unwrap_or_else(|error| panic!("{error}")))
    }

    fn rows(&self, model: &str) -> usize {
        self.models[model].sizes().iter().sum()
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.encoded[0].1.clone()).unwrap()
}

const DOUBLED: &str = r#"
[models.double]
queue = 120
batch = { max = 8 }
[pipelines.p]
decode.x = { format = "json", shape = [1] }
steps.list = { op = "below", from = "x", top = 120 }
steps.twice = { model = "double", each = "list", inputs = { x = "list" } }
steps.all = { op = "stack", from = "twice" }
steps.n = { op = "count", from = "list" }
encode.o = { format = "text", from = ["all", "twice", "n"] }
"#;

fn doubled(n: usize) -> String {
    let all: Vec<String> = (0..n).map(|n| (2 * n).to_string()).collect();
    format!("{} | [{}] | {n}", all.join(" "), all.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_called_for_each_element_whatever_their_number() {
    let setup = setup(DOUBLED);
    for n in [0, 1, 2, 101, 120] {
        assert_eq!(setup.text(n as f32).await, doubled(n));
    }
    let answer = setup.answer(3.0).await.unwrap();
    let elements: Vec<usize> = answer.timings.steps.iter().map(|timing| timing.unwrap().ran).collect();
    assert_eq!(elements, [1, 3, 1, 1]);
    assert_eq!(&*answer.models, "double@1");
    assert_eq!(&*setup.answer(0.0).await.unwrap().models, "", "nothing ran");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_of_many_items_share_batches_and_lists_wait_for_room() {
    let setup = Arc::new(setup(DOUBLED));
    // More elements at once than the queue takes, eight times over.
    let requests: Vec<_> = (0..40)
        .map(|client| {
            let setup = setup.clone();
            tokio::spawn(async move {
                for round in 0..5 {
                    let n = (client * 7 + round * 31) % 121;
                    assert_eq!(setup.text(n as f32).await, doubled(n));
                }
            })
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    let sizes = setup.models["double"].sizes();
    assert!(sizes.iter().filter(|size| **size == 8).count() * 2 > sizes.len(), "{sizes:?}");
}

/// Two pipelines, each of which gives the other's models lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_that_feed_each_others_models_do_not_wait_for_each_other_for_ever() {
    let pipeline = |name: &str, first: &str, second: &str| {
        format!(
            "[pipelines.{name}]\ndecode.x = {{ format = \"json\", shape = [1] }}\n\
             steps.list = {{ op = \"below\", from = \"x\", top = 20 }}\n\
             steps.a = {{ model = \"{first}\", each = \"list\", inputs = {{ x = \"list\" }} }}\n\
             steps.b = {{ model = \"{second}\", each = \"list\", inputs = {{ x = \"a\" }} }}\n\
             encode.o = {{ format = \"text\", from = [\"b\"] }}\n"
        )
    };
    let setup = Arc::new(setup(&format!(
        "[models.double]\nqueue = 20\n[models.triple]\nqueue = 20\n{}{}",
        pipeline("one", "double", "triple"),
        pipeline("two", "triple", "double")
    )));
    let requests: Vec<_> = (0..60)
        .map(|client| {
            let setup = setup.clone();
            tokio::spawn(async move {
                let answer = setup.answer_in(client % 2, 20.0, Duration::from_secs(60)).await;
                let wanted: Vec<String> = (0..20).map(|n| (6 * n).to_string()).collect();
                assert_eq!(text(&answer.unwrap()), format!("[{}]", wanted.join(",")));
            })
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
}

#[tokio::test]
async fn lists_in_lists() {
    let setup = setup(
        r#"
        [models.double]
        [pipelines.p]
        decode.x = { format = "json", shape = [1] }
        steps.outer = { op = "below", from = "x", top = 9 }
        steps.inner = { op = "below", each = "outer", from = "outer", top = 9 }
        steps.twice = { model = "double", each = "inner", inputs = { x = "inner" } }
        steps.again = { model = "double", each = "inner", inputs = { x = "outer" } }
        steps.row = { op = "stack", each = "outer", from = "twice" }
        steps.n = { op = "count", each = "outer", from = "inner" }
        encode.o = { format = "text", from = ["twice", "row", "n", "again"] }
        "#,
    );
    let answer = setup.text(4.0).await;
    assert_eq!(answer, "[[],[0],[0,2],[0,2,4]] | [,0,0 2,0 2 4] | [0,1,2,3] | [[],[2],[4,4],[6,6,6]]");
    assert_eq!(setup.text(0.0).await, "[] | [] | [] | []");
}

const CASCADE: &str = r#"
[models.sure]
[models.double]
[models.triple]
[pipelines.p]
decode.x = { format = "json", shape = [1] }
steps.sure = { model = "sure", inputs = { x = "x" } }
steps.large = { model = "double", inputs = { x = "x" }, when = "sure < 5" }
steps.after = { model = "triple", inputs = { x = "large" } }
steps.best = { op = "first", from = ["after", "large", "sure"] }
encode.o = { format = "text", from = ["best", "best.source", "large", "after"] }
"#;

#[tokio::test]
async fn what_is_unsure_goes_to_the_large_model() {
    let setup = setup(CASCADE);
    let unsure = setup.answer(3.0).await.unwrap();
    assert_eq!(
        (text(&unsure).as_str(), &*unsure.models),
        ("18 | after | 6 | 18", "sure@1, double@1, triple@1")
    );
    let sure = setup.answer(7.0).await.unwrap();
    assert_eq!((text(&sure).as_str(), &*sure.models), ("7 | sure | - | -", "sure@1"));
    assert_eq!((setup.rows("double"), setup.rows("triple")), (1, 1), "nothing runs for what is sure");
    let skipped: Vec<usize> = sure.timings.steps.iter().map(|timing| timing.unwrap().skipped).collect();
    assert_eq!(skipped, [0, 1, 1, 0]);
}

#[tokio::test]
async fn conditions_hold_for_each_element_by_itself() {
    let setup = setup(
        r#"
        [models.double]
        [models.triple]
        [pipelines.p]
        decode.x = { format = "json", shape = [1] }
        steps.list = { op = "below", from = "x", top = 9 }
        steps.twice = { model = "double", each = "list", inputs = { x = "list" }, when = "list >= 2 and list.value != 3" }
        steps.thrice = { model = "triple", each = "list", inputs = { x = "twice" } }
        steps.best = { op = "first", each = "list", from = ["thrice", "list"] }
        steps.there = { op = "stack", from = "thrice" }
        steps.many = { model = "double", inputs = { x = "x" }, when = "list > 4" }
        encode.o = { format = "text", from = ["twice", "thrice", "best", "there", "many"] }
        "#,
    );
    assert_eq!(setup.text(5.0).await, "[-,-,4,-,8] | [-,-,12,-,24] | [0,1,12,3,24] | 12 24 | 10");
    assert_eq!(setup.text(1.0).await, "[-] | [-] | [0] |  | -");
}

#[tokio::test]
async fn an_element_that_fails_fails_its_item_and_says_which_it_is() {
    let mut models = models();
    models.insert(
        "double",
        Fake::new(|inputs| match first(&inputs[0]) {
            3.0 => Err(RunError::Input("3 cannot be worked with".into())),
            value => Ok(vec![Some(number(value * 2.0))]),
        }),
    );
    let setup = setup_with(models, DOUBLED);
    assert_eq!(setup.text(3.0).await, doubled(3));
    let error = setup.answer(7.0).await.unwrap_err();
    assert_eq!(error.to_string(), "step `twice`, 4 of 7: 3 cannot be worked with");
    let error = setup.answer(-1.0).await.unwrap_err();
    assert_eq!(error.to_string(), "step `list`: there are no -1 elements");
    assert_eq!(setup.text(3.0).await, doubled(3));
}

/// The gate of a model is opened whatever becomes of the test.
struct Opens(Arc<Fake>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.gate.open();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_and_who_is_late_give_up_all_elements() {
    let setup = setup(DOUBLED);
    let double = setup.models["double"].clone();
    double.gate.close();
    let _opens = Opens(double.clone());
    let error = setup.answer_in(0, 100.0, Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.to_string(), "the deadline passed at step `twice`");
    let left = tokio::time::timeout(Duration::from_millis(200), setup.answer(100.0)).await;
    assert!(left.is_err(), "the client leaves while its elements wait");
    double.gate.open();
    assert_eq!(setup.text(2.0).await, doubled(2));
    // Of either list no more ran than was on its way: two lanes of eight.
    assert!(setup.rows("double") <= 2 * 16 + 2, "{}", setup.rows("double"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_counts_as_not_run() {
    let setup = setup(
        r#"
        [models.sure]
        [models.double]
        [pipelines.p]
        decode.x = { format = "json", shape = [1] }
        steps.fast = { model = "sure", inputs = { x = "x" } }
        steps.slow = { model = "double", inputs = { x = "x" }, within = "100ms" }
        steps.best = { op = "first", from = ["slow", "fast"] }
        encode.o = { format = "text", from = ["best", "best.source"] }
        "#,
    );
    assert_eq!(setup.text(5.0).await, "10 | slow");
    let double = setup.models["double"].clone();
    double.gate.close();
    let _opens = Opens(double.clone());
    let answer = setup.answer(5.0).await.unwrap();
    assert_eq!((text(&answer).as_str(), &*answer.models), ("5 | fast", "sure@1"));
    assert_eq!(answer.timings.steps.iter().map(|timing| timing.unwrap().late).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_request_is_refused_for_what_was_found() {
    let setup = setup(&format!(
        "{DOUBLED}\n[pipelines.p.online]\nrefuse = [{{ when = \"n == 0\", say = \"nothing was found\" }}, \
         {{ when = \"list > 100\", status = 413, say = \"too many\" }}]\n"
    ));
    assert_eq!(setup.text(2.0).await, doubled(2));
    for (x, refused) in [(0.0, (422, "nothing was found")), (101.0, (413, "too many"))] {
        match setup.answer(x).await {
            Err(Error::Refused { status, say }) => assert_eq!((status, say.as_str()), refused),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_elements_run_on_the_generation_that_was_pinned() {
    let setup = setup(DOUBLED);
    let pinned = setup.pipelines[0].pin().unwrap();
    write(setup.store.path(), "double", 2, "triple");
    assert_eq!(setup.lifecycle.refresh("double").unwrap().loaded, [2]);
    let number = serde_json::value::RawValue::from_string("101".into()).unwrap();
    let request = Request {
        side: Side::Online,
        payloads: vec![Payload::Json(number)],
        encodes: &[EncodeId::new(0)],
        row: None,
        priority: None,
        deadline: Instant::now() + Duration::from_secs(60),
        sender: None,
    };
    let old = run(&pinned, request).await.unwrap();
    assert_eq!((text(&old), &*old.models), (doubled(101), "double@1"));
    let new = setup.answer(2.0).await.unwrap();
    assert_eq!((text(&new).as_str(), &*new.models), ("0 3 | [0,3] | 2", "double@2"));
}

/// The parts of a pipeline that may be wrong, after a list and what runs for each of its elements.
fn broken(steps: &str, encode: &str) -> String {
    errors(&format!(
        "[models.double]\nqueue = 100\n[pipelines.p]\ndecode.x = {{ format = \"json\", shape = [1] }}\n\
         steps.list = {{ op = \"below\", from = \"x\" }}\n\
         steps.twice = {{ model = \"double\", each = \"list\", inputs = {{ x = \"list\" }} }}\n\
         {steps}\nencode.o = {{ format = \"text\", from = [{encode}] }}\n"
    ))
}

#[test]
fn what_is_wrong_with_lists_is_said_at_its_place() {
    let cases = [
        ("each_forgotten", r#"steps.s = { model = "double", inputs = { x = "twice" } }"#, r#""s", "twice""#),
        (
            "lists_crossed",
            r#"steps.other = { op = "below", from = "x" }
steps.s = { model = "double", each = "other", inputs = { x = "twice" } }"#,
            r#""s", "twice""#,
        ),
        (
            "each_of_no_list",
            r#"steps.s = { model = "double", each = "twice", inputs = { x = "list" } }"#,
            r#""s", "twice""#,
        ),
        (
            "each_of_a_decode",
            r#"steps.s = { model = "double", each = "x", inputs = { x = "x" } }"#,
            r#""s", "twice""#,
        ),
        (
            "each_misspelt",
            r#"steps.s = { model = "double", each = "lst", inputs = { x = "list" } }"#,
            r#""s", "twice""#,
        ),
        (
            "each_of_an_output",
            r#"steps.s = { model = "double", each = "list.value", inputs = { x = "list" } }"#,
            r#""s", "twice""#,
        ),
        ("nothing_to_gather", r#"steps.s = { op = "stack", from = "x" }"#, r#""s", "twice""#),
        (
            "gathered_where_it_is",
            r#"steps.s = { op = "stack", each = "list", from = "twice" }"#,
            r#""s", "twice""#,
        ),
        (
            "longer_than_the_queue",
            r#"steps.long = { op = "below", from = "x", top = 101 }
steps.s = { model = "double", each = "long", inputs = { x = "long" } }"#,
            r#""s", "twice""#,
        ),
        (
            "too_many_in_lists",
            r#"steps.long = { op = "below", from = "x", top = 2000 }
steps.s = { op = "below", each = "long", from = "long" }"#,
            r#""s", "twice""#,
        ),
        ("unknown_operation", r#"steps.s = { op = "stak", from = "twice" }"#, r#""s", "twice""#),
        (
            "model_and_operation",
            r#"steps.s = { op = "stack", model = "double", from = "twice" }"#,
            r#""s", "twice""#,
        ),
        ("unknown_option", r#"steps.s = { op = "stack", form = "twice" }"#, r#""s", "twice""#),
        ("one_alternative", r#"steps.s = { op = "first", from = ["x"] }"#, r#""s", "twice""#),
        ("never_taken", r#"steps.s = { op = "first", from = ["x", "x"] }"#, r#""s", "twice""#),
        (
            "circle_through_when",
            r#"steps.a = { model = "double", inputs = { x = "x" }, when = "b > 1" }
steps.b = { model = "double", inputs = { x = "a" } }"#,
            r#""b", "twice""#,
        ),
        (
            "condition_of_a_list_of_values",
            r#"steps.s = { model = "double", inputs = { x = "x" }, when = "twice > 1" }"#,
            r#""s", "twice""#,
        ),
        (
            "condition_of_text",
            r#"steps.s = { model = "double", inputs = { x = "x" }, when = "x == 'many'" }"#,
            r#""s", "twice""#,
        ),
        (
            "condition_that_cannot_be_read",
            r#"steps.s = { model = "double", inputs = { x = "x" }, when = "x > 1 &&" }"#,
            r#""s", "twice""#,
        ),
        (
            "condition_misspelt",
            r#"steps.s = { model = "double", inputs = { x = "x" }, when = "twcie > 1" }"#,
            r#""s", "twice""#,
        ),
    ];
    for (name, steps, encode) in cases {
        insta::assert_snapshot!(name, broken(steps, encode));
    }
}
