//! Runs a program: its steps in order, each value freed at its last use.

use super::backend::Kernels;
use super::error::OpError;
use super::op::{Context, Inputs, OpResult};
use super::program::{Program, Source, Step};
use super::value::{Sketch, Value};
use crate::scheduler::panic_message;
use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// An event of this target tells of each step what it took: `RSERVE_LOG=rserve::steps=trace`.
const STEPS: &str = "rserve::steps";

impl<B: Kernels> Program<B> {
    /// Runs it on the values of its inputs.
    ///
    /// An error, or a panic inside an operator, says which node it was and what shapes it was given. It is never one
    /// of [`OpErrorKind::Operands`](super::error::OpErrorKind::Operands) where a node failed.
    pub fn run(&self, inputs: Vec<Value<B>>, cx: &Context<B>) -> OpResult<B> {
        let trace = Trace::default();
        let ran = catch_unwind(AssertUnwindSafe(|| self.steps(inputs, cx, &trace)));
        let why = match ran {
            Ok(Ok(outputs)) => return Ok(outputs),
            Ok(Err(why)) => why,
            Err(panic) => OpError::graph(panic_message(panic.as_ref())),
        };
        // What is left undone where a run is given up may look like any error.
        let why = cx.run.stop().reason().map_or(why, OpError::stopped);
        Err(match trace.step.get().and_then(|index| self.steps.get(index)) {
            Some(step) => why.with_kind(step.follows_input).within(&step.name, &trace.shapes()),
            None => why,
        })
    }

    fn steps(&self, inputs: Vec<Value<B>>, cx: &Context<B>, trace: &Trace) -> OpResult<B> {
        let mut slots: Vec<Option<Value<B>>> = Vec::new();
        slots.resize_with(self.slots, || None);
        let mut frame = cx.run.enter(self.slots);
        let outermost = frame.depth() == 0;
        for (slot, value) in self.inputs.iter().zip(inputs) {
            if let Some(slot) = slot {
                fits_empty(&value)?;
                // What a graph within a node is given, the node holds.
                frame.put(*slot, if outermost { value.weight() as u64 } else { 0 })?;
                slots[*slot] = Some(value);
            }
        }
        for (index, step) in self.steps.iter().enumerate() {
            if outermost {
                cx.run.progress().step.store(index, Relaxed);
            }
            let scope = cx.run.scope();
            let given: Vec<_> = step.inputs.iter().map(|source| self.value(*source, &mut slots)).collect();
            trace.enter(index, &given);
            let began = tracing::enabled!(target: STEPS, tracing::Level::TRACE).then(Instant::now);
            cx.run.imply(copied(step, &given))?;
            let outputs = step.op.run(Inputs(given), cx)?;
            if let Some(began) = began {
                let (nanos, depth) = (began.elapsed().as_nanos() as u64, frame.depth() as u64 + 1);
                tracing::trace!(target: STEPS, step = %step.name, shapes = %trace.shapes(), nanos, depth);
            }
            // Before anything is made of what may be half done.
            cx.run.go_on()?;
            drop(scope);
            if outputs.len() < step.outputs.iter().rposition(Option::is_some).map_or(0, |last| last + 1) {
                return Err(format!("it gave {} outputs of {}", outputs.len(), step.outputs.len()).into());
            }
            for (slot, value) in step.outputs.iter().zip(outputs) {
                if let Some(slot) = slot {
                    fits_empty(&value)?;
                    frame.put(*slot, value.weight() as u64)?;
                    slots[*slot] = Some(value);
                }
            }
            // Those that an output has not taken the place of are empty by now.
            for source in &step.inputs {
                if let Source::Slot { index, last: true } = source
                    && slots[*index].is_none()
                {
                    frame.free(*index);
                }
            }
        }
        trace.step.set(None);
        let outputs = self.outputs.iter().map(|source| self.value(*source, &mut slots));
        outputs.collect::<Option<_>>().ok_or_else(|| "an output of the graph was not computed".into())
    }

    fn value(&self, source: Source, slots: &mut [Option<Value<B>>]) -> Option<Value<B>> {
        match source {
            Source::Missing => None,
            Source::Constant(index) => self.constants.get(index).cloned(),
            Source::Slot { index, last: true } => slots.get_mut(index)?.take(),
            Source::Slot { index, last: false } => slots.get(index)?.clone(),
        }
    }
}

/// The bytes of the largest value that an operator may not work in the place of: its result may be as large, and many
/// operators whose results are never larger say nothing of them.
fn copied<B: Kernels>(step: &Step<B>, given: &[Option<Value<B>>]) -> u64 {
    let may_stay = |source: &Source, value: &Value<B>| match source {
        Source::Slot { last, .. } => *last && !value.is_host(),
        _ => true,
    };
    let values = step.inputs.iter().zip(given).filter_map(|(source, value)| Some((source, value.as_ref()?)));
    let copied = values.filter(|(source, value)| value.is_tensor() && !may_stay(source, value));
    copied.map(|(_, value)| value.weight() as u64).max().unwrap_or(0)
}

/// Rows of a tensor without elements that operators may go over one by one.
const ROWS_OF_NOTHING: usize = 1 << 24;

/// An error of a tensor without elements whose other axes are so long that to go over them would take for ever.
fn fits_empty<B: Kernels>(value: &Value<B>) -> Result<(), OpError> {
    if value.elements() > 0 {
        return Ok(());
    }
    let shape = value.shape();
    let rows = shape.iter().filter(|dim| **dim > 0).try_fold(1usize, |rows, dim| rows.checked_mul(*dim));
    if rows.is_none_or(|rows| rows > ROWS_OF_NOTHING) {
        return Err(format!("{value:?} has no elements, and more than {ROWS_OF_NOTHING} rows of them").into());
    }
    Ok(())
}

/// What is being run, for the error that it may end in.
#[derive(Default)]
struct Trace {
    step: Cell<Option<usize>>,
    given: RefCell<Vec<Option<Sketch>>>,
}

impl Trace {
    fn enter<B: Kernels>(&self, index: usize, given: &[Option<Value<B>>]) {
        self.step.set(Some(index));
        let mut shapes = self.given.borrow_mut();
        shapes.clear();
        shapes.extend(given.iter().map(|v| v.as_ref().map(Value::sketch)));
    }

    /// ` (inputs float32[1, 3, 64, 64], -)`
    fn shapes(&self) -> String {
        let mut text = String::from(" (inputs ");
        for (index, given) in self.given.borrow().iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            // Writing to a string does not fail.
            let _ = match given {
                Some(sketch) => write!(text, "{comma}{sketch}"),
                None => write!(text, "{comma}-"),
            };
        }
        text + ")"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::OpErrorKind;
    use crate::engine::onnx::{Attributes, Graph, Node};
    use crate::engine::op::Registry;
    use crate::engine::weights::Ledger;
    use crate::tensor::Tensor;
    use burn_flex::{Flex, FlexDevice};

    /// Nodes of the standard domain over one input, value 0; the last value is the output.
    fn graph(nodes: &[(&str, &[usize], usize)]) -> Graph {
        let last = nodes.last().map_or(0, |(.., output)| *output);
        let mut graph = Graph { values: vec![String::new(); last + 1], inputs: vec![0], ..Graph::default() };
        graph.outputs = vec![last];
        graph.nodes = (nodes.iter())
            .map(|(op, inputs, output)| Node {
                name: String::new(),
                domain: String::new(),
                op: (*op).to_owned(),
                version: 17,
                inputs: inputs.iter().copied().map(Some).collect(),
                outputs: vec![Some(*output)],
                attributes: Attributes::default(),
            })
            .collect();
        graph
    }

    fn program(nodes: &[(&str, &[usize], usize)]) -> Program<Flex> {
        Program::build(&graph(nodes), &FlexDevice, &Registry::standard(), &Ledger::unlimited()).unwrap()
    }

    /// The result, and whether it lies where the input lay.
    fn run(program: &Program<Flex>) -> (Vec<f64>, bool) {
        let x = Tensor::from_vec(vec![4], vec![1f32, 2.0, 3.0, 4.0]).unwrap();
        let x = Value::<Flex>::Host(x).on_device(&FlexDevice);
        let place = |value: &Value<Flex>| match value {
            Value::Float(tensor) => tensor.bytes().as_ptr(),
            other => panic!("{other:?}"),
        };
        let before = place(&x);
        let cx = Context::alone(FlexDevice, 1 << 20);
        let y = program.run(vec![x], &cx).unwrap().remove(0);
        let same = place(&y) == before;
        (y.into_host().unwrap().to_f64(), same)
    }

    #[test]
    fn the_last_reader_of_a_value_writes_in_its_place() {
        let chain = program(&[("Neg", &[0], 1), ("Relu", &[1], 2), ("Exp", &[2], 3)]);
        assert_eq!(run(&chain), (vec![1.0; 4], true));
    }

    #[test]
    fn whose_fault_an_error_is_follows_from_what_the_node_reads() {
        let kind = |nodes: &[(&str, &[usize], usize)], constants: &[(usize, Tensor)]| {
            let mut graph = graph(nodes);
            graph.constants.extend(constants.iter().cloned());
            let program: Program<Flex> =
                Program::build(&graph, &FlexDevice, &Registry::standard(), &Ledger::unlimited()).unwrap();
            let x = Tensor::from_vec(vec![4], vec![1i64, 2, 3, 4]).unwrap();
            let cx = Context::alone(FlexDevice, 1 << 20);
            let error = program.run(vec![Value::Host(x)], &cx).unwrap_err();
            assert!(error.reason.starts_with("Reshape \"\": "), "{error}");
            error.kind
        };
        let odd = Tensor::from_vec(vec![1], vec![3i64]).unwrap();
        let of_input = kind(&[("Reshape", &[0, 1], 2)], &[(1, odd.clone())]);
        assert_eq!(of_input, OpErrorKind::Input);
        let two = Tensor::from_vec(vec![2], vec![1i64, 2]).unwrap();
        let of_constants = kind(&[("Reshape", &[1, 2], 3), ("Add", &[0, 3], 4)], &[(1, two), (2, odd)]);
        assert_eq!(of_constants, OpErrorKind::Graph);
    }

    #[test]
    fn a_value_that_is_read_again_is_left_alone() {
        let again = program(&[("Neg", &[0], 1), ("Abs", &[1], 2), ("Add", &[2, 0], 3)]);
        assert_eq!(run(&again).0, [2.0, 4.0, 6.0, 8.0]);
        let twice = program(&[("Neg", &[0], 1), ("Mul", &[1, 1], 2), ("Sub", &[2, 0], 3)]);
        assert_eq!(run(&twice).0, [0.0, 2.0, 6.0, 12.0]);
    }
}
