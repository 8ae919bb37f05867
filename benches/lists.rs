//! What a list costs beside the models that are called for its elements: a model that does nothing, called for none, 1,
//! 10 and 100 elements of an item by the flow, beside the same number of items submitted to the scheduler alone.
//!
//! `cargo bench --bench lists` prints medians of one run and what the flow adds for an element. Sought: under 5 us.

use rserve::diagnostic::{Report, SourceText, render};
use rserve::flow::{CodecThreads, Pinned, Pipeline, Request, run};
use rserve::lifecycle::{Lifecycle, Loadable, Loader, OpenError, Opened, PlaceError};
use rserve::plan::{
    self, Capacity, Declaration, DeviceFacts, DeviceId, Dim, EncodeId, Facts, Id, ModelFacts, Payload, Plan,
    Port, Registries, Side, Signature, VersionFacts,
};
use rserve::scheduler::{Batch, Device, RunError, Runner, SharedPool, Terms, Value, Want};
use rserve::spec;
use rserve::store::VersionFiles;
use rserve::tensor::{DType, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 2000;
const ALLOWED: Duration = Duration::from_secs(60);

struct Nothing;

impl Runner for Nothing {
    fn joins(&self) -> bool {
        true
    }

    fn run(&self, batch: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        Ok(batch.rows.into_iter().map(|row| row.into_iter().map(Some).collect()).collect())
    }
}

struct Models;

impl Loader for Models {
    fn open(&self, _: VersionFiles, _: &Declaration) -> Result<Opened, OpenError> {
        Ok(Opened { facts: version(), model: Box::new(Ready) })
    }
}

struct Ready;

impl Loadable for Ready {
    fn another(&self) -> Box<dyn Loadable> {
        Box::new(Self)
    }

    fn load(self: Box<Self>, _: DeviceId) -> Result<Arc<dyn Runner>, PlaceError> {
        Ok(Arc::new(Nothing))
    }
}

fn version() -> VersionFacts {
    let port = |name: &str| Port::tensor(name, DType::F32, Some(vec![Dim::Named("N".into()), Dim::Fixed(4)]));
    let signature = Arc::new(Signature::new(vec![port("x")], vec![port("y")]));
    VersionFacts {
        signature,
        labels: BTreeMap::new(),
        texts: BTreeSet::new(),
        arrays: BTreeMap::new(),
        weights: 4,
    }
}

fn compiled(store: &Path) -> Plan {
    let text = format!(
        "[store]\npath = {store:?}\nwatch = false\n[models.nothing]\nqueue = 10000\nbatch = {{ max = 128 }}\n\
         [pipelines.p]\ndecode.x = {{ format = \"raw\", dtype = \"float32\", shape = [-1, 4] }}\n\
         steps.row = {{ op = \"split\", from = \"x\" }}\n\
         steps.said = {{ model = \"nothing\", each = \"row\", inputs = {{ x = \"row\" }} }}\n\
         steps.all = {{ op = \"stack\", from = \"said\" }}\n\
         encode.o = {{ format = \"json\", fields.mean = {{ from = \"all\", as = \"mean\" }} }}\n"
    );
    let mut report = Report::default();
    let specs = [spec::read(&SourceText::new("lists.toml", text), &mut report)];
    let mut facts = Facts::default();
    for (root, models) in plan::needs(&specs) {
        let model = |name| {
            (name, ModelFacts { versions: BTreeMap::from([(1, Ok(version()))]), ..ModelFacts::default() })
        };
        facts.stores.insert(root.path, Ok(models.into_keys().map(model).collect()));
    }
    let cpu = DeviceFacts { id: DeviceId::Cpu, name: "cpu".into(), memory: None };
    let capacity = Capacity { devices: vec![cpu], no_cuda: None };
    let registries = Registries { codecs: rserve::codec::registry(), operations: rserve::steps::registry() };
    let plan = plan::compile(&specs, &facts, &capacity, registries, &mut report);
    plan.unwrap_or_else(|| panic!("{}", render(&report, false)))
}

/// Takes an item with so many elements through the pipeline.
async fn item(pinned: &Pinned, elements: usize) {
    let request = Request {
        side: Side::Online,
        payloads: vec![Payload::Bytes(vec![0; elements * 16].into())],
        encodes: &[EncodeId::new(0)],
        row: None,
        priority: None,
        deadline: Instant::now() + ALLOWED,
        sender: None,
    };
    run(pinned, request).await.unwrap_or_else(|error| panic!("{error}"));
}

/// Submits so many items at once and waits for all.
async fn submitted(pinned: &Pinned, elements: usize) {
    let generation = pinned.generations().iter().next().unwrap_or_else(|| panic!("there is a model"));
    let wants: Arc<[Want]> = Arc::new([Want::Host]);
    let tickets: Vec<_> = (0..elements)
        .map(|_| {
            let row = Tensor::from_vec(vec![4], vec![0f32; 4]).unwrap_or_else(|error| panic!("{error}"));
            let terms = Terms::until(Instant::now() + ALLOWED);
            let ticket = generation.replicas.submit(vec![Value::Host(row)], wants.clone(), terms);
            ticket.unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    for ticket in tickets {
        ticket.await.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    let store = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let folder = store.path().join("nothing/1");
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(folder.join("model.onnx"), "nothing").unwrap_or_else(|error| panic!("{error}"));
    let plan = compiled(store.path());
    let device = Device::new(DeviceId::Cpu, SharedPool::default());
    let lifecycle = Lifecycle::with_devices(Arc::new(Models), [device]);
    let failures = lifecycle.apply(&plan).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(failures.is_empty(), "{failures:?}");
    let cells = lifecycle.cells(&plan).unwrap_or_else(|error| panic!("{error:?}"));
    let pipeline = Pipeline::new(plan.pipelines[0].clone(), &cells, CodecThreads::default());
    let pinned = pipeline.pin().unwrap_or_else(|error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    println!("elements      flow  scheduler alone   the flow adds for an element");
    let mut none = 0.0;
    for elements in [0, 1, 10, 100] {
        let (mut flow, mut alone) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            runtime.block_on(item(&pinned, elements));
            flow.push(started.elapsed().as_secs_f64() * 1e6);
            let started = Instant::now();
            runtime.block_on(submitted(&pinned, elements));
            alone.push(started.elapsed().as_secs_f64() * 1e6);
        }
        let (flow, alone) = (median(flow), median(alone));
        if elements == 0 {
            none = flow;
        }
        let adds = (flow - none - alone) / elements.max(1) as f64;
        println!("{elements:>8} {flow:>6.1} us {alone:>13.1} us {adds:>13.2} us");
    }
}
