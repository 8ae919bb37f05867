//! Operators that are asked for much: each is refused, or runs within the memory that the process may take. A process of
//! its own runs them under a limit of the system's, so that what is taken without being asked for ends it.

use super::protobuf::{
    Model, attribute_float, attribute_graph, attribute_int, attribute_ints, attribute_text, domain, node,
    tensor_raw, value,
};
use bytes::Bytes;
use rserve::engine;
use rserve::memory::Budget;
use rserve::plan::DeviceId;
use rserve::scheduler::{Batch, RunError, Value, Want};
use rserve::tensor::Tensor;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a model may take while it runs.
const ALLOWED: u64 = 256 << 20;
/// What the system gives the process, in kilobytes: as much again, and what the test is.
const LIMIT: u64 = 3 << 20;

fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor_raw(name, 7, &[values.len() as i64], &bytes)
}

fn scalar(name: &str, value: i64) -> Vec<u8> {
    tensor_raw(name, 7, &[], &value.to_le_bytes())
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> Vec<u8> {
    tensor_raw(name, 1, dims, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
}

/// A model whose constants are not known before it runs: those of a name are there under `<name>!` as well, which follows
/// from the input. The value `b` is what is asked for; its size is the output.
struct Case {
    name: &'static str,
    opset: i64,
    model: Model,
}

fn case(name: &'static str) -> Case {
    let zero = Model::new()
        .node(node("ReduceMax", "largest", &["x"], &["m"], &[attribute_int("keepdims", 0)]))
        .node(node("Sub", "nothing", &["m", "m"], &["f0"], &[]))
        .node(node("Cast", "whole", &["f0"], &["i0"], &[attribute_int("to", 7)]));
    Case { name, opset: 17, model: zero }
}

impl Case {
    fn node(mut self, op: &str, inputs: &[&str], attributes: &[Vec<u8>]) -> Self {
        self.model = self.model.node(node(op, self.name, inputs, &["b"], attributes));
        self
    }

    fn other(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Self {
        self.model = self.model.node(node(op, output, inputs, &[output], attributes));
        self
    }

    fn list(mut self, name: &str, values: &[i64]) -> Self {
        self.model = self.model.initializer(ints(name, values));
        self.now(name)
    }

    fn number(mut self, name: &str, value: i64) -> Self {
        self.model = self.model.initializer(scalar(name, value));
        self.now(name)
    }

    fn floats(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.model = self.model.initializer(floats(name, dims, values));
        self
    }

    fn now(mut self, name: &str) -> Self {
        self.model = self.model.node(node("Add", "", &[name, "i0"], &[&format!("{name}!")], &[]));
        self
    }

    fn opset(self, opset: i64) -> Self {
        Self { opset, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let model = (self.model.clone()).node(node("Size", "size", &["b"], &["size of it"], &[])).node(node(
            "Cast",
            "told",
            &["size of it"],
            &["y"],
            &[attribute_int("to", 1)],
        ));
        model.bytes_at(self.opset)
    }
}

/// Float zeros of that shape, on the host, under the name `z`.
fn zeros(case: Case, dims: &[i64]) -> Case {
    case.list("dims", dims).other("ConstantOfShape", &["dims!"], "z", &[])
}

/// What is to be refused, and not merely to be survived.
fn refused() -> Vec<Case> {
    let windows =
        |pad: i64, stride: i64| [attribute_ints("pads", &[pad; 4]), attribute_ints("strides", &[stride; 2])];
    let picture = |name| zeros(case(name), &[1, 16, 4, 4]);
    vec![
        case("range").number("n", 1 << 33).node("Range", &["i0", "n!", "one"], &[]).number("one", 1),
        mask(case("mask"), 60_000).node("Less", &["row", "column"], &[]),
        case("expand").list("s", &[1 << 20, 1 << 12]).node("Expand", &["i0", "s!"], &[]),
        zeros(case("tile"), &[1 << 16]).list("s", &[1 << 16]).node("Tile", &["z", "s!"], &[]),
        zeros(case("pad"), &[16]).list("s", &[1 << 31, 1 << 31]).node("Pad", &["z", "s!"], &[]),
        zeros(case("edges"), &[16]).list("s", &[1 << 31, 1 << 31]).node(
            "Pad",
            &["z", "s!"],
            &[attribute_text("mode", "edge")],
        ),
        case("constant").list("s", &[1 << 16, 1 << 16]).node("ConstantOfShape", &["s!"], &[]),
        case("one hot").number("n", 1 << 40).floats("two", &[2], &[0.0, 1.0]).node(
            "OneHot",
            &["i0", "n!", "two"],
            &[],
        ),
        case("normal").node("RandomNormal", &[], &[attribute_ints("shape", &[1 << 16, 1 << 16])]),
        case("drawn").floats("p", &[1, 2], &[0.5, 0.5]).node(
            "Multinomial",
            &["p"],
            &[attribute_int("sample_size", 1 << 40)],
        ),
        case("outer")
            .list("a", &[1 << 16, 1])
            .list("c", &[1, 1 << 16])
            .other("ConstantOfShape", &["a!"], "tall", &[])
            .other("ConstantOfShape", &["c!"], "wide", &[])
            .node("MatMul", &["tall", "wide"], &[]),
        zeros(case("einsum"), &[1 << 11]).node(
            "Einsum",
            &["z", "z", "z"],
            &[attribute_text("equation", "i,j,k->ijk")],
        ),
        zeros(case("resize"), &[1, 4, 2, 2]).list("s", &[1, 4, 1 << 40, 1]).node(
            "Resize",
            &["z", "", "", "s!"],
            &[],
        ),
        picture("resize in blocks")
            .floats("w", &[16, 16, 1, 1], &[0.5; 256])
            .other("Conv", &["z", "w"], "c", &[])
            .list("s", &[1, 16, 1 << 40, 1])
            .node("Resize", &["c", "", "", "s!"], &[attribute_text("mode", "linear")]),
        picture("depthwise").floats("w", &[16, 1, 1, 1], &[0.5; 16]).node(
            "Conv",
            &["z", "w"],
            &[&windows(1 << 24, 1 << 24)[..], &[attribute_int("group", 16)]].concat(),
        ),
        picture("dense").floats("w", &[16, 16, 2, 2], &[0.5; 1024]).node(
            "Conv",
            &["z", "w"],
            &[&windows(1 << 23, 1 << 19)[..], &[attribute_ints("dilations", &[1 << 23, 1 << 23])]].concat(),
        ),
        zeros(case("rows"), &[1, 1, 4, 4]).floats("w", &[16, 1, 2, 2], &[0.5; 64]).node(
            "Conv",
            &["z", "w"],
            &[&windows(1 << 23, 1 << 19)[..], &[attribute_ints("dilations", &[1 << 23, 1 << 23])]].concat(),
        ),
        picture("transposed far").floats("w", &[16, 16, 2, 2], &[0.5; 1024]).node(
            "ConvTranspose",
            &["z", "w"],
            &[attribute_ints("strides", &[1 << 24, 1 << 24])],
        ),
        picture("transposed in blocks")
            .floats("v", &[16, 16, 1, 1], &[0.5; 256])
            .other("Conv", &["z", "v"], "c", &[])
            .floats("w", &[16, 16, 2, 2], &[0.5; 1024])
            .node("ConvTranspose", &["c", "w"], &[attribute_ints("strides", &[1 << 24, 1 << 24])]),
        picture("unpool")
            .list("s", &[1, 16, 4, 4])
            .other("ConstantOfShape", &["s!"], "f", &[])
            .other("Cast", &["f"], "places", &[attribute_int("to", 7)])
            .list("t", &[1, 16, 1 << 20, 1 << 20])
            .node("MaxUnpool", &["z", "places", "t!"], &[attribute_ints("kernel_shape", &[2, 2])]),
        case("affine grid of nothing")
            .opset(20)
            .list("d", &[0, 2, 3])
            .other("ConstantOfShape", &["d!"], "theta", &[])
            .list("s", &[0, 3, 1 << 40, 1 << 40])
            .node("AffineGrid", &["theta", "s!"], &[]),
        zeros(case("sampled"), &[1, 1 << 16, 2, 2])
            .list("g", &[1, 1 << 8, 1 << 8, 2])
            .other("ConstantOfShape", &["g!"], "grid", &[])
            .node("GridSample", &["z", "grid"], &[]),
        zeros(case("columns"), &[1, 1, 1]).opset(18).list("i", &[1 << 40, 1]).list("k", &[1, 1]).node(
            "Col2Im",
            &["z", "i!", "k!"],
            &[],
        ),
        zeros(case("dft"), &[1, 4, 1]).number("n", 1 << 40).node("DFT", &["z", "n!"], &[]),
        zeros(case("long dft"), &[8, 4, 1]).number("n", 1 << 26).node("DFT", &["z", "n!"], &[]),
        case("mel")
            .number("n", 1 << 20)
            .number("rate", 16_000)
            .floats("low", &[], &[0.0])
            .floats("high", &[], &[8000.0])
            .node("MelWeightMatrix", &["n!", "n!", "rate", "low", "high"], &[]),
        case("hann").number("n", 1 << 40).node("HannWindow", &["n!"], &[]),
        case("blackman").number("n", 1 << 29).node("BlackmanWindow", &["n!"], &[]),
        zeros(case("eye"), &[1 << 13, 1 << 13]).node("EyeLike", &["z"], &[attribute_int("dtype", 7)]),
        zeros(case("no rows"), &[1 << 40, 0]).node("Concat", &["z", "z"], &[attribute_int("axis", 1)]),
        zeros(case("no columns"), &[0, 1 << 40]).node("Transpose", &["z"], &[]),
        case("gathered")
            .list("d", &[1 << 12, 1 << 12])
            .other("ConstantOfShape", &["d!"], "z", &[])
            .list("s", &[1 << 16])
            .other("ConstantOfShape", &["s!"], "f", &[])
            .other("Cast", &["f"], "at", &[attribute_int("to", 7)])
            .node("Gather", &["z", "at"], &[]),
        doubled("doubled in a loop", "Concat", &["v", "v"], &[attribute_int("axis", 0)]),
        strings(),
        gathered(),
        sequence(),
    ]
}

/// A loop of 60 rounds, each of which makes what it carries twice as long.
fn doubled(name: &'static str, op: &str, inputs: &[&str], attributes: &[Vec<u8>]) -> Case {
    let body = Model::new()
        .node(node(op, "twice", inputs, &["w"], attributes))
        .node(node("Identity", "on", &["go"], &["more"], &[]))
        .graph();
    let body = [value(11, "trip"), value(11, "go"), value(11, "v"), body, value(12, "more"), value(12, "w")];
    let body = attribute_graph("body", &body.concat());
    zeros(case(name), &[1 << 10]).number("trips", 60).node("Loop", &["trips!", "", "z"], &[body])
}

fn strings() -> Case {
    let body = Model::new()
        .node(node("StringConcat", "twice", &["v", "v"], &["w"], &[]))
        .node(node("Identity", "on", &["go"], &["more"], &[]))
        .graph();
    let body = [value(11, "trip"), value(11, "go"), value(11, "v"), body, value(12, "more"), value(12, "w")];
    let body = attribute_graph("body", &body.concat());
    case("strings")
        .opset(20)
        .other("Cast", &["x"], "texts", &[attribute_int("to", 8)])
        .number("trips", 60)
        .node("Loop", &["trips!", "", "texts"], &[body])
}

/// What each round gives is kept until the last.
fn gathered() -> Case {
    let body = Model::new()
        .node(node("Identity", "same", &["v"], &["w"], &[]))
        .node(node("Concat", "new", &["v", "v"], &["each"], &[attribute_int("axis", 0)]))
        .node(node("Identity", "on", &["go"], &["more"], &[]))
        .graph();
    let given = [value(12, "more"), value(12, "w"), value(12, "each")].concat();
    let body = [value(11, "trip"), value(11, "go"), value(11, "v"), body, given].concat();
    let mut case = zeros(case("gathered in a loop"), &[1 << 20]).number("trips", 1 << 18);
    let body = attribute_graph("body", &body);
    case.model = case.model.node(node("Loop", case.name, &["trips!", "", "z"], &["last", "b"], &[body]));
    case
}

/// A sequence that grows by a tensor in each round.
fn sequence() -> Case {
    let body = Model::new()
        .node(node("Exp", "new", &["big"], &["each"], &[]))
        .node(node("SequenceInsert", "longer", &["v", "each"], &["w"], &[]))
        .node(node("Identity", "on", &["go"], &["more"], &[]))
        .graph();
    let body = [value(11, "trip"), value(11, "go"), value(11, "v"), body, value(12, "more"), value(12, "w")];
    let body = attribute_graph("body", &body.concat());
    zeros(case("sequence"), &[1 << 20])
        .other("Identity", &["z"], "big", &[])
        .other("SequenceConstruct", &["z"], "list", &[])
        .number("trips", 1 << 18)
        .other("Loop", &["trips!", "", "list"], "all", &[body])
        .node("ConcatFromSequence", &["all"], &[attribute_int("axis", 0)])
}

/// The numbers below `n` as a row and as a column: what the mask of a transformer compares.
fn mask(case: Case, n: i64) -> Case {
    case.number("n", n)
        .number("one", 1)
        .other("Range", &["i0", "n!", "one"], "r", &[])
        .list("first", &[0])
        .list("last", &[1])
        .other("Unsqueeze", &["r", "first"], "row", &[])
        .other("Unsqueeze", &["r", "last"], "column", &[])
}

/// What runs, and took many times as much as it gives.
fn survived() -> Vec<Case> {
    let million = |name| zeros(case(name), &[1 << 10, 1 << 10]);
    let whole = |name| million(name).other("Cast", &["z"], "i", &[attribute_int("to", 7)]);
    vec![
        case("long range").number("n", 1 << 22).number("one", 1).node("Range", &["i0", "n!", "one"], &[]),
        mask(case("wide mask"), 3000).node("LessOrEqual", &["row", "column"], &[]),
        whole("sum").node("ReduceSum", &["i"], &[]),
        whole("non zero").number("one", 1).other("Add", &["i", "one!"], "j", &[]).node(
            "NonZero",
            &["j"],
            &[],
        ),
        whole("running").number("axis", 1).node("CumSum", &["i", "axis!"], &[]),
        whole("where").other("Cast", &["i"], "c", &[attribute_int("to", 9)]).node(
            "Where",
            &["c", "i", "i"],
            &[],
        ),
        whole("first of all").node("ArgMax", &["i"], &[]),
        whole("best").list("k", &[3]).node("TopK", &["i", "k!"], &[]),
        whole("triangle").node("Trilu", &["i"], &[]),
        whole("turned").node("Transpose", &["i"], &[]),
        whole("cut").list("s", &[1]).list("e", &[1000]).node("Slice", &["i", "s!", "e!"], &[]),
        whole("power").number("two", 2).node("Pow", &["i", "two!"], &[]),
        million("drawn").opset(15).node("Bernoulli", &["z"], &[]),
        case("nothing but rows").list("d", &[1 << 20, 0]).node("ConstantOfShape", &["d!"], &[]),
        case("words").opset(20).other("Cast", &["x"], "t", &[attribute_int("to", 8)]).node(
            "StringSplit",
            &["t"],
            &[attribute_text("delimiter", ".")],
        ),
        case("scaled").floats("w", &[1], &[0.5]).node("Mul", &["x", "w"], &[attribute_float("no", 1.0)]),
        zeros(case("groups"), &[1, 16, 4, 4]).floats("w", &[16, 8, 2, 2], &[0.5; 512]).node(
            "Conv",
            &["z", "w"],
            &[
                &[attribute_ints("pads", &[1 << 23; 4]), attribute_ints("strides", &[1 << 19; 2])][..],
                &[attribute_ints("dilations", &[1 << 23, 1 << 23]), attribute_int("group", 2)],
            ]
            .concat(),
        ),
        tokens(),
    ]
}

fn tokens() -> Case {
    let mut case = case("counted").other("Cast", &["x"], "w", &[attribute_int("to", 7)]);
    let attributes = [
        attribute_text("mode", "TF"),
        attribute_int("min_gram_length", 1),
        attribute_int("max_gram_length", 1),
        attribute_int("max_skip_count", i64::MAX),
        attribute_ints("ngram_counts", &[0]),
        attribute_ints("ngram_indexes", &[1 << 40]),
        attribute_ints("pool_int64s", &[1]),
    ];
    case.model = case
        .model
        .node([node("TfIdfVectorizer", "counted", &["w"], &["b"], &attributes), domain("")].concat());
    case
}

fn run(case: &Case) -> Result<(), RunError> {
    let budget = Budget::new(ALLOWED);
    let runner = engine::open(Bytes::from(case.bytes()))
        .and_then(|model| model.load(DeviceId::Cpu, &budget))
        .map_err(|error| RunError::Failed(format!("it was not loaded: {error}")))?;
    let run = |shape: &[usize]| {
        let x = Tensor::from_vec(shape.to_vec(), vec![1f32, -2.0]).unwrap();
        runner.run(Batch::new(vec![vec![Value::Host(x)]], vec![Want::Host])).map(drop)
    };
    let ran = match run(&[2]) {
        Err(error) if error.to_string().contains("the model takes") => run(&[1, 2]),
        ran => ran,
    };
    drop(runner);
    assert_eq!(budget.usage().reserved(), 0, "{}: something is never given back", case.name);
    ran
}

/// Run by the test below, under a limit.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn greedy_child() {
    let mut failures = vec![];
    let mut look = |case: &Case, limit: u64, wanted: &dyn Fn(&Result<(), RunError>) -> bool| {
        println!("{}", case.name);
        let began = Instant::now();
        let ran = run(case);
        let took = began.elapsed();
        println!("    {took:?} {ran:?}");
        if !wanted(&ran) || took > Duration::from_secs(limit) {
            failures.push(format!("{}: {took:?} {ran:?}", case.name));
        }
    };
    // Refused by what was asked for it, neither by an allocation nor by a panic.
    let is_refusal = |ran: &Result<(), RunError>| {
        let text = ran.as_ref().map_or_else(ToString::to_string, |()| String::new());
        let kind = matches!(
            ran,
            Err(RunError::Memory { .. } | RunError::Input(_) | RunError::TooLarge(_) | RunError::Failed(_))
        );
        kind && ["it would", "would take", "out of memory", "takes more", "no elements", "a transform of"]
            .iter()
            .any(|w| text.contains(w))
    };
    for case in refused() {
        look(&case, 60, &is_refusal);
    }
    for case in survived() {
        look(&case, 60, &|ran| !matches!(ran, Err(RunError::Memory { .. } | RunError::Failed(_))));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_asks_for_more_than_there_is_fails_alone() {
    let binary = std::env::current_exe().unwrap();
    let test = format!("{}::greedy_child", module_path!().split_once("::").unwrap().1);
    let command = format!("ulimit -v {LIMIT}; exec \"$0\" --exact {test} --ignored --nocapture");
    let child = Command::new("sh").arg("-c").arg(command).arg(binary).output().unwrap();
    let told = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && told.contains("1 passed"), "{}\n{told}", child.status);
}
