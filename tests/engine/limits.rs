//! What one run may take: memory of its model's share and of the process's budget, and time until it is told to end.

use super::protobuf::{Model, attribute_graph, attribute_int, node, tensor_raw, value};
use bytes::Bytes;
use rserve::engine;
use rserve::memory::Budget;
use rserve::plan::DeviceId;
use rserve::scheduler::{Batch, RunError, Runner, StopFlag, Stopped, Value, Want};
use rserve::tensor::Tensor;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn ints(name: &str, dims: &[i64], values: &[i64]) -> Vec<u8> {
    tensor_raw(name, 7, dims, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
}

/// A loop of so many trips over `[1, 2]`. Each trip makes a tensor of `rows` rows of it, and the greatest of those.
fn looped(trips: i64, rows: i64) -> Model {
    let body = [
        [value(11, "trip"), value(11, "go"), value(11, "v")].concat(),
        Model::new()
            .node(node("Expand", "widen", &["v", "rows"], &["wide"], &[]))
            .node(node("Exp", "exp", &["wide"], &["large"], &[]))
            .node(node("ReduceMin", "least", &["large"], &["low"], &[]))
            .node(node("Min", "min", &["v", "low"], &["w"], &[]))
            .node(node("Identity", "on", &["go"], &["more"], &[]))
            .graph(),
        [value(12, "more"), value(12, "w")].concat(),
    ]
    .concat();
    Model::new()
        .initializer(ints("trips", &[], &[trips]))
        .initializer(ints("rows", &[2], &[rows, 2]))
        .node(node("Loop", "loop", &["trips", "", "x"], &["y"], &[attribute_graph("body", &body)]))
}

fn load(model: &Model, budget: &Budget) -> Arc<dyn Runner> {
    engine::open(Bytes::from(model.bytes())).unwrap().load(DeviceId::Cpu, budget).unwrap()
}

fn failure(runner: &dyn Runner, batch: Batch) -> RunError {
    runner.run(batch).map(drop).unwrap_err()
}

fn batch() -> Batch {
    let x = Tensor::from_vec(vec![2], vec![1f32, 2.0]).unwrap();
    Batch::new(vec![vec![Value::Host(x)]], vec![Want::Host])
}

#[test]
fn a_body_takes_of_its_models_share() {
    let runner = load(&looped(3, 1 << 20), &Budget::unlimited());
    runner.limit_batch_memory(1 << 20);
    let error = failure(&*runner, batch());
    let RunError::Memory { reason: why, for_good: true } = &error else { panic!("{error:?}") };
    assert!(why.contains("\"loop\"") && why.contains("out of memory") && why.contains("1048576"), "{why}");
    runner.limit_batch_memory(1 << 30);
    runner.run(batch()).unwrap();
    assert!(runner.memory().batch > 8 << 20, "{:?}", runner.memory());
}

#[test]
fn what_a_run_takes_is_reserved_until_it_ends() {
    let budget = Budget::new(4 << 20);
    let (small, large) = (load(&looped(3, 1 << 10), &budget), load(&looped(3, 1 << 20), &budget));
    let idle = budget.usage().reserved();
    for _ in 0..3 {
        let error = failure(&*large, batch());
        assert!(
            matches!(&error, RunError::Memory { reason: why, for_good: true } if why.contains("running may take")),
            "{error:?}"
        );
        small.run(batch()).unwrap();
        assert_eq!(budget.usage().reserved(), idle);
    }
}

#[test]
fn a_loop_ends_once_the_flag_is_set_and_tells_where_it_is() {
    let runner = load(&looped(1 << 19, 1 << 12), &Budget::unlimited());
    assert_eq!(runner.running(), None);
    for why in [Stopped::Abandoned, Stopped::TooLong] {
        let flag = StopFlag::default();
        let (runner, stop) = (&runner, flag.clone());
        std::thread::scope(|scope| {
            let run = scope.spawn(move || failure(&**runner, Batch { stop, ..batch() }));
            let began = Instant::now();
            let running = loop {
                match runner.running() {
                    Some(text) if text.contains("round") => break text,
                    _ => std::thread::yield_now(),
                }
                assert!(began.elapsed() < Duration::from_secs(20));
            };
            assert!(running.starts_with("Loop \"loop\" (round "), "{running}");
            flag.stop(why);
            let error = run.join().unwrap();
            assert!(matches!(error, RunError::Stopped(other) if other == why), "{error:?}");
            assert!(began.elapsed() < Duration::from_secs(30));
        });
        assert_eq!(runner.running(), None);
    }
}

/// Operators that take long are looked at while they run. Each of these would go on for a while.
#[test]
fn long_operators_end_soon_after_the_flag_is_set() {
    let zeros = |name: &str, dims: &[i64]| {
        let list = format!("dims of {name}");
        (ints(&list, &[dims.len() as i64], dims), node("ConstantOfShape", name, &[&list], &[name], &[]))
    };
    let made = |tensors: &[(&str, &[i64])]| {
        tensors.iter().fold(Model::new(), |model, (name, dims)| {
            let (list, node) = zeros(name, dims);
            model.initializer(list).node(node)
        })
    };
    let wide = |model: Model, from: &str, to: &str| {
        model.node(node("Cast", to, &[from], &[to], &[attribute_int("to", 11)]))
    };
    let models = [
        made(&[("a", &[2048, 2048]), ("b", &[2048, 2048])]).node(node(
            "MatMul",
            "long",
            &["a", "b"],
            &["c"],
            &[],
        )),
        wide(wide(made(&[("a", &[4096, 4096]), ("b", &[4096, 4096])]), "a", "u"), "b", "v").node(node(
            "MatMul",
            "long",
            &["u", "v"],
            &["c"],
            &[],
        )),
        made(&[("a", &[1, 512, 1 << 16]), ("b", &[512, 512, 3])]).node(node(
            "Conv",
            "long",
            &["a", "b"],
            &["c"],
            &[],
        )),
        made(&[("a", &[1 << 24])]).initializer(ints("k", &[1], &[1 << 23])).node(node(
            "TopK",
            "long",
            &["a", "k"],
            &["c", "at"],
            &[],
        )),
    ];
    for model in models {
        let model = model
            .node(node("ReduceMax", "one", &["c"], &["most"], &[]))
            .node(node("Cast", "told", &["most"], &["single"], &[attribute_int("to", 1)]))
            .node(node("Add", "sum", &["x", "single"], &["y"], &[]));
        let runner = load(&model, &Budget::unlimited());
        let flag = StopFlag::default();
        let (runner, stop) = (&runner, flag.clone());
        // Some have no batch axis.
        let signature = engine::inspect(Bytes::from(model.bytes())).unwrap().signature;
        let shape = if signature.inputs[0].batch.is_some() { vec![2] } else { vec![1, 2] };
        let x = Value::Host(Tensor::from_vec(shape, vec![1f32, 2.0]).unwrap());
        std::thread::scope(|scope| {
            let batch = Batch { stop, ..Batch::new(vec![vec![x]], vec![Want::Host]) };
            let run = scope.spawn(move || failure(&**runner, batch));
            let began = Instant::now();
            let is_long = |text: &String| text.contains("\"long\"");
            while !run.is_finished() && !runner.running().as_ref().is_some_and(is_long) {
                std::thread::yield_now();
                assert!(began.elapsed() < Duration::from_secs(60));
            }
            flag.stop(Stopped::TooLong);
            let set = Instant::now();
            let error = run.join().unwrap();
            assert!(matches!(error, RunError::Stopped(Stopped::TooLong)), "{error:?}");
            assert!(set.elapsed() < Duration::from_secs(20), "{:?}", set.elapsed());
        });
    }
}
