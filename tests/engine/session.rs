//! Rows in, rows out: what a loaded model keeps to, whatever it computes.

use super::protobuf::{Model, attribute_int, node, tensor_raw};
use super::{Loaded, file};
use rserve::engine;
use rserve::plan::DeviceId;
use rserve::scheduler::{Batch, RunError, Runner, Value, Want};
use rserve::tensor::{DType, Tensor};
use std::sync::Arc;

fn surface() -> Loaded {
    Loaded::new(&file("examples/models/surface/2/model.onnx"))
}

fn row(seed: usize) -> Vec<Value> {
    let tensor = |channels: usize| {
        let elements = (0..channels * 64 * 64).map(|i| ((i * 31 + seed * 7) % 101) as f32 / 101.0).collect();
        Value::Host(Tensor::from_vec::<f32>(vec![channels, 64, 64], elements).unwrap())
    };
    vec![tensor(3), tensor(1)]
}

fn run(
    runner: &Arc<dyn Runner>,
    rows: Vec<Vec<Value>>,
    want: Want,
) -> Result<Vec<Vec<Option<Value>>>, RunError> {
    runner.run(Batch::new(rows, vec![want]))
}

fn host(value: &Option<Value>) -> &Tensor {
    match value {
        Some(Value::Host(tensor)) => tensor,
        _ => panic!("it is not on the host"),
    }
}

#[test]
fn rows_of_a_batch_do_not_touch_each_other() {
    let runner = surface().runner;
    let together = run(&runner, (0..5).map(row).collect(), Want::Host).unwrap();
    for (seed, answer) in together.iter().enumerate() {
        let alone = run(&runner, vec![row(seed)], Want::Host).unwrap();
        assert_eq!(host(&answer[0]).shape(), [5]);
        assert_eq!(host(&answer[0]).bytes(), host(&alone[0][0]).bytes());
    }
    // Rows are slices of one buffer.
    let start = |row: &Vec<Option<Value>>| host(&row[0]).bytes().as_ptr() as usize;
    assert_eq!(start(&together[1]) - start(&together[0]), 5 * size_of::<f32>());
}

/// Such models ran one item at a time, as nothing was known of what comes out of a sequence.
#[test]
fn rows_that_are_split_into_a_sequence_share_a_batch() {
    let number = |name: &str, value: i64| tensor_raw(name, 7, &[], &value.to_le_bytes());
    let part = |name: &str, at: &str| node("SequenceAt", name, &["parts", at], &[name], &[]);
    let split = node("SplitToSequence", "split", &["x"], &["parts"], &[attribute_int("axis", 1)]);
    let model = Model::new().initializer(number("first", 0)).initializer(number("last", -1)).node(split);
    let model = model.node(part("a", "first")).node(part("b", "last"));
    let model = model.node(node("Sub", "sub", &["a", "b"], &["y"], &[]));
    let runner = engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu).unwrap();
    assert!(runner.joins());
    let row = |x: [f32; 2]| vec![Value::Host(Tensor::from_vec(vec![2], x.to_vec()).unwrap())];
    let answers = run(&runner, vec![row([5.0, 2.0]), row([1.0, 7.0])], Want::Host).unwrap();
    for (answer, wanted) in answers.iter().zip([3.0, -6.0]) {
        assert_eq!((host(&answer[0]).shape(), host(&answer[0]).to_f64()), (&[1][..], vec![wanted]));
    }
}

#[test]
fn memory_is_measured_and_a_batch_over_its_limit_fails_and_the_next_runs() {
    let runner = surface().runner;
    let before = runner.memory();
    assert!(before.weights > 10_000 && before.batch == 0, "{before:?}");
    run(&runner, vec![row(1)], Want::Host).unwrap();
    let one = runner.memory().batch;
    // What goes in is held by the first operator, along with what it gives.
    assert!(one > 4 * 64 * 64 * 4, "{one}");
    run(&runner, (0..4).map(row).collect(), Want::Host).unwrap();
    // What kernels need within themselves does not grow with the rows.
    let four = runner.memory().batch;
    assert!(four > one && four <= 4 * one, "{one} {four}");
    runner.limit_batch_memory(four - 1);
    let error = run(&runner, (0..4).map(row).collect(), Want::Host).err().unwrap().to_string();
    assert!(error.contains("out of memory"), "{error}");
    run(&runner, (0..2).map(row).collect(), Want::Host).unwrap();
}

#[test]
fn an_output_that_nobody_reads_is_none() {
    let answers = run(&surface().runner, vec![row(1), row(2)], Want::Drop).unwrap();
    assert!(answers.iter().all(|row| row.len() == 1 && row[0].is_none()));
    assert!(run(&surface().runner, Vec::new(), Want::Host).unwrap().is_empty());
}

#[test]
fn rows_that_do_not_fit_are_the_senders_fault() {
    let runner = surface().runner;
    let image = |shape: &[usize], dtype: DType| {
        let size = shape.iter().product::<usize>() * dtype.size();
        Value::Host(Tensor::from_bytes(dtype, shape.to_vec(), vec![0; size].into()).unwrap())
    };
    let mask = || row(0).pop().unwrap();
    for (rows, wanted) in [
        (vec![vec![image(&[3, 32, 64], DType::F32), mask()]], "given float32[3, 32, 64]"),
        (vec![vec![image(&[3, 64], DType::F32), mask()]], "given float32[3, 64]"),
        (vec![vec![image(&[3, 64, 64], DType::U8), mask()]], "given uint8[3, 64, 64]"),
        (vec![vec![mask()]], "1 inputs where the model takes 2"),
    ] {
        match run(&runner, rows, Want::Host) {
            Err(RunError::Input(error)) => assert!(error.contains(wanted), "{error}"),
            other => panic!("{wanted}: {:?}", other.err()),
        }
    }
}

#[test]
fn an_output_that_is_not_one_row_for_each_is_named() {
    // The lengths of what is in a sequence are not told before it runs.
    let model = Model::new()
        .node(node("SequenceConstruct", "", &["x"], &["list"], &[]))
        .node(node("SequenceAt", "", &["list", "first"], &["all"], &[]))
        .node(node("Gather", "", &["all", "one"], &["y"], &[]))
        .initializer(tensor_raw("one", 7, &[1], &0i64.to_le_bytes()))
        .initializer(tensor_raw("first", 7, &[], &0i64.to_le_bytes()));
    let runner = engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu).unwrap();
    let row = || vec![Value::Host(Tensor::from_vec(vec![2], vec![1f32, 2.0]).unwrap())];
    let error = run(&runner, vec![row(), row()], Want::Host).err().unwrap().to_string();
    assert!(error.contains(r#"output "y""#) && error.contains("2 rows"), "{error}");
}

#[test]
fn an_instance_without_elements_is_normalised_to_nothing() {
    let ones = |name: &str| tensor_raw(name, 1, &[2], &[1f32; 2].map(f32::to_le_bytes).concat());
    let model = Model::new()
        .node(node("Reshape", "", &["x", "shape"], &["planes"], &[attribute_int("allowzero", 1)]))
        .node(node("InstanceNormalization", "", &["planes", "scale", "bias"], &["y"], &[]))
        .initializer(tensor_raw("shape", 7, &[4], &[1i64, 2, 0, 4].map(i64::to_le_bytes).concat()))
        .initializer(ones("scale"))
        .initializer(ones("bias"));
    let runner = engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu).unwrap();
    let nothing = Tensor::from_vec(vec![0], Vec::<f32>::new()).unwrap();
    match run(&runner, vec![vec![Value::Host(nothing)]], Want::Host) {
        Ok(rows) => assert!(host(&rows[0][0]).is_empty()),
        Err(error) => assert!(matches!(error, RunError::Input(_)), "{error}"),
    }
}

#[test]
fn a_tensor_that_is_too_large_whatever_is_sent_is_a_want_of_memory() {
    let size = |dims: i64| tensor_raw("size", 7, &[1], &dims.to_le_bytes());
    let model = |dims| {
        Model::new()
            .node(node("ConstantOfShape", "", &["size"], &["large"], &[]))
            .node(node("ReduceSum", "", &["large"], &["sum"], &[attribute_int("keepdims", 0)]))
            .node(node("Add", "", &["x", "sum"], &["y"], &[]))
            .initializer(size(dims))
    };
    let run = |dims| {
        let runner = engine::load(bytes::Bytes::from(model(dims).bytes()), DeviceId::Cpu).unwrap();
        let x = Tensor::from_vec(vec![2], vec![1f32, 2.0]).unwrap();
        run(&runner, vec![vec![Value::Host(x)]], Want::Host)
    };
    assert!(run(4).is_ok());
    match run(1 << 40) {
        Err(RunError::Memory { for_good: true, reason }) => {
            assert!(reason.contains("would take more"), "{reason}")
        }
        other => panic!("{:?}", other.err()),
    }
}

/// Such a version was swapped in, and every request to it was answered 422.
#[test]
fn a_tensor_that_is_too_large_for_what_is_sent_is_told_apart() {
    let model = Model::new()
        .node(node("Expand", "wide", &["x", "size"], &["y"], &[]))
        .initializer(tensor_raw("size", 7, &[2], &[1 << 40, 2i64].map(i64::to_le_bytes).concat()));
    let runner = engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu).unwrap();
    let x = Tensor::from_vec(vec![1, 2], vec![1f32, 2.0]).unwrap();
    let error = run(&runner, vec![vec![Value::Host(x)]], Want::Host).err();
    assert!(matches!(&error, Some(RunError::TooLarge(why)) if why.contains("would take more")), "{error:?}");
}

#[test]
fn what_the_values_of_an_input_cause_is_the_senders_fault() {
    let ints = |name: &str, values: &[i64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensor_raw(name, 7, &[values.len() as i64], &bytes)
    };
    let whole = || Model::new().node(node("Cast", "whole", &["x"], &["n"], &[attribute_int("to", 7)]));
    let back = || node("Cast", "back", &["m"], &["y"], &[attribute_int("to", 1)]);
    let models = [
        whole().node(node("Gather", "culprit", &["w", "n"], &["m"], &[])).initializer(ints("w", &[5, 6, 7])),
        whole().node(node("Div", "culprit", &["w", "n"], &["m"], &[])).initializer(ints("w", &[5, 6])),
        whole()
            .node(node("Reshape", "list", &["n", "flat"], &["shape"], &[]))
            .node(node("Expand", "culprit", &["w", "shape"], &["m"], &[]))
            .initializer(ints("flat", &[-1]))
            .initializer(ints("w", &[5])),
    ];
    for (model, values) in models.into_iter().zip([[0f32, 3.0], [1.0, 0.0], [1e9, 1e9]]) {
        let model = model.node(back());
        let runner = engine::load(bytes::Bytes::from(model.bytes()), DeviceId::Cpu).unwrap();
        let run = |shape: &[usize]| {
            let x = Tensor::from_vec(shape.to_vec(), values.to_vec()).unwrap();
            runner.run(Batch::new(vec![vec![Value::Host(x)]], vec![Want::Host])).err().unwrap()
        };
        // To some of these a row is no batch.
        let error = Some(run(&[2])).filter(|e| !e.to_string().contains("the model takes"));
        let error = error.unwrap_or_else(|| run(&[1, 2]));
        let (RunError::Input(why) | RunError::TooLarge(why)) = &error else { panic!("{error:?}") };
        assert!(why.contains("\"culprit\""), "{why}");
    }
}

#[test]
fn many_batches_run_at_the_same_time() {
    let runner = surface().runner;
    let alone = run(&runner, vec![row(3)], Want::Host).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for size in 1..12 {
                    let answers = run(&runner, (0..size).map(|_| row(3)).collect(), Want::Host).unwrap();
                    assert!(answers.iter().all(|a| host(&a[0]).bytes() == host(&alone[0][0]).bytes()));
                }
            });
        }
    });
}

#[test]
fn the_cpu_is_the_first_device() {
    let capacity = engine::capacity();
    assert_eq!(capacity.devices[0].id, DeviceId::Cpu);
    assert!(capacity.devices.len() > 1 || capacity.no_cuda.is_some());
}
