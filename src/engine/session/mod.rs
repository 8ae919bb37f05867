//! A loaded model, as the scheduler sees it: rows in, rows out.

mod now;
mod rows;
#[cfg(all(test, feature = "vulkan"))]
mod tests;

use super::backend::Kernels;
use super::device::max_tensor_bytes;
use super::error::LoadError;
use super::kernels::Running;
use super::meter::Meter;
use super::onnx::Model;
use super::ops::{Context, Registry};
use super::program::Program;
use super::run::Run;
use super::stream::Stream;
use super::value::Value as Node;
use super::weights::{Ledger, Weights};
use crate::memory::Budget;
use crate::plan::{DeviceId, Port, Signature, TensorType};
use crate::scheduler::Stopping;
use crate::scheduler::{Batch, Memory, RunError, Runner, StagedBatch, StopFlag, Value, Want};
use now::Now;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Session<B: Kernels> {
    program: Program<B>,
    weights: Weights,
    signature: Signature,
    /// What an item's tensor is at each input.
    takes: Vec<TensorType>,
    /// Outputs that were seen to have no batch axis before the model served, whatever its file says.
    whole: Vec<AtomicBool>,
    id: DeviceId,
    device: B::Device,
    /// Bytes that one tensor may take.
    max_bytes: usize,
    meter: Arc<Meter>,
    budget: Budget,
    now: Now,
    streams: Streams,
}

/// A batch whose rows are on the device.
struct Sent<B: Kernels> {
    session: Arc<Session<B>>,
    cx: Context<B>,
    inputs: Vec<Node<B>>,
    /// Where `inputs` came from.
    rows: Vec<Vec<Value>>,
    wants: Vec<Want>,
}

type Rows = Vec<Vec<Option<Value>>>;

impl<B: Kernels> Session<B> {
    pub fn new(mut model: Model, id: DeviceId, device: B::Device, budget: Budget) -> Result<Self, LoadError> {
        // What a device of its own keeps is not in the memory of the process.
        let of_process = if B::ON_HOST { budget.clone() } else { Budget::unlimited() };
        let read = model.graph.constants.values().map(|tensor| tensor.weight() as u64).sum();
        let ledger = Ledger::new(&of_process, read);
        let streams = Streams::default();
        let program = streams
            .weights
            .on(|| Program::build_taking(&mut model.graph, &device, &Registry::standard(), &ledger))?;
        Ok(Self {
            program,
            weights: ledger.into_weights(),
            whole: model.signature.outputs.iter().map(|_| AtomicBool::new(false)).collect(),
            takes: model.signature.inputs.iter().map(Port::item_type).collect(),
            signature: model.signature,
            id,
            device,
            max_bytes: max_tensor_bytes(id),
            meter: Arc::default(),
            budget,
            now: Now::default(),
            streams,
        })
    }

    /// The context of a new run.
    fn context(&self, stop: StopFlag) -> Context<B> {
        self.weights.settle();
        let run = Run::begin(self.meter.clone(), &self.budget, B::ON_HOST, stop);
        Context { device: self.device.clone(), max_bytes: self.max_bytes, run }
    }

    fn on_host(&self) -> bool {
        self.id == DeviceId::Cpu
    }

    fn is_whole(&self, output: usize) -> bool {
        self.whole.get(output).is_some_and(|whole| whole.load(Ordering::Relaxed))
    }

    /// The model's inputs of a batch.
    fn inputs(&self, rows: &[Vec<Value>], cx: &Context<B>) -> Result<Vec<Node<B>>, RunError> {
        if rows.len() > 1 && !self.joins() {
            return Err(RunError::Failed(format!(
                "{} rows in a batch of a model that takes one",
                rows.len()
            )));
        }
        let ports = &self.signature.inputs;
        if let Some(row) = rows.iter().find(|row| row.len() != ports.len()) {
            return Err(RunError::Input(format!(
                "{} inputs where the model takes {}",
                row.len(),
                ports.len()
            )));
        }
        // Until the values are in their slots. One row alone is not copied.
        let _scope = cx.run.scope();
        if rows.len() > 1 {
            let bytes = |value: &Value| value.shape().iter().product::<usize>() * value.dtype().size();
            cx.run.take(rows.iter().flatten().map(bytes).sum::<usize>() as u64)?;
        }
        ports.iter().enumerate().map(|(index, port)| self.join(index, port, rows, cx)).collect()
    }

    /// What it gives for the inputs of so many rows; waits until the device is done.
    fn outputs(
        &self,
        inputs: Vec<Node<B>>,
        rows: usize,
        wants: &[Want],
        cx: &Context<B>,
    ) -> Result<Rows, RunError> {
        let _running = self.on_host().then(Running::begin);
        let _now = self.now.begin(cx.run.progress());
        let _stopping = Stopping::begin(cx.run.stop());
        let watch = Watch { session: self, ended: Cell::new(false) };
        let outputs = self.program.run(inputs, cx)?;
        let mut answers: Rows = (0..rows).map(|_| Vec::with_capacity(outputs.len())).collect();
        for (index, (value, port)) in outputs.into_iter().zip(&self.signature.outputs).enumerate() {
            match wants.get(index).copied().unwrap_or(Want::Drop) {
                Want::Drop => answers.iter_mut().for_each(|row| row.push(None)),
                want => {
                    let column = self.split(index, port, value, want, rows)?;
                    answers.iter_mut().zip(column).for_each(|(row, value)| row.push(value));
                }
            }
        }
        B::sync(&self.device).map_err(|e| RunError::Failed(e.to_string()))?;
        watch.ended.set(true);
        self.meter.succeeded();
        Ok(answers)
    }
}

/// Sees a run that does not come to its end.
struct Watch<'a, B: Kernels> {
    session: &'a Session<B>,
    ended: Cell<bool>,
}

impl<B: Kernels> Drop for Watch<'_, B> {
    /// What went wrong on the device, and was not told yet, is not the next batch's fault; where it was memory that
    /// ran out, what the device keeps for later is given back.
    fn drop(&mut self) {
        if self.ended.get() {
            return;
        }
        let device = &self.session.device;
        let settled = catch_unwind(AssertUnwindSafe(|| {
            let told = B::sync(device);
            B::memory_cleanup(device);
            told.err()
        }));
        if let Ok(Some(error)) = settled {
            tracing::debug!(%error, "the device told of a batch that had failed");
        }
    }
}

#[derive(Debug, Default)]
struct Streams {
    /// Where the weights came in.
    weights: Stream,
    /// Where the model runs; rows that stay on the device may outlive it.
    compute: Arc<Stream>,
    /// Where the rows of its next batch come in meanwhile.
    upload: Stream,
}

impl Streams {
    /// Gives back what the device keeps for them.
    fn clean<B: Kernels>(&self, device: &B::Device) {
        for stream in [&self.weights, &*self.compute, &self.upload] {
            stream.on(|| B::memory_cleanup(device));
        }
    }
}

impl<B: Kernels> Runner for Session<B> {
    fn joins(&self) -> bool {
        self.signature.batching.joins() && !(0..self.whole.len()).any(|output| self.is_whole(output))
    }

    fn give_whole(&self, output: usize) {
        if let Some(whole) = self.whole.get(output) {
            whole.store(true, Ordering::Relaxed);
        }
    }

    fn memory(&self) -> Memory {
        Memory { weights: self.weights.bytes(), batch: self.meter.peak() }
    }

    fn limit_batch_memory(&self, bytes: u64) {
        self.meter.set_limit(bytes);
    }

    fn run(&self, batch: Batch) -> Result<Rows, RunError> {
        let Batch { rows, wants, stop } = batch;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let cx = self.context(stop);
        self.streams.compute.on(|| {
            let inputs = self.inputs(&rows, &cx)?;
            let count = rows.len();
            let _kept = kept::<B>(rows);
            self.outputs(inputs, count, &wants, &cx)
        })
    }

    fn running(&self) -> Option<String> {
        let (step, rounds) = self.now.oldest()?;
        let name = self.program.step_name(step)?;
        Some(if rounds == 0 { name.to_owned() } else { format!("{name} (round {rounds})") })
    }

    fn stages(&self) -> bool {
        !B::ON_HOST
    }

    fn stage(self: Arc<Self>, batch: Batch) -> Result<Box<dyn StagedBatch>, RunError> {
        let Batch { rows, wants, stop } = batch;
        let cx = self.context(stop);
        let inputs = self.streams.upload.on(|| {
            let inputs = self.inputs(&rows, &cx)?;
            B::flush(&self.device).map_err(RunError::Failed)?;
            Ok::<_, RunError>(inputs)
        })?;
        Ok(Box::new(Sent { session: self, cx, inputs, rows, wants }))
    }
}

impl<B: Kernels> StagedBatch for Sent<B> {
    fn run(self: Box<Self>) -> Result<Rows, RunError> {
        let Self { session, cx, inputs, rows, wants } = *self;
        let (count, _kept) = (rows.len(), kept::<B>(rows));
        // What came in on another stream is held here until this one is done with it.
        session.streams.compute.on(|| session.outputs(inputs.clone(), count, &wants, &cx))
    }
}

/// What of a batch's rows is to be held until the batch has run: tensors of other streams. CubeCL gives the memory of
/// one that is dropped to whatever comes next on the tensor's own stream, and does not wait for others that are yet
/// to read it.
fn kept<B: Kernels>(rows: Vec<Vec<Value>>) -> Vec<Value> {
    let elsewhere = |value: &Value| matches!(value, Value::Device(_)) && !B::ON_HOST;
    rows.into_iter().flatten().filter(elsewhere).collect()
}

impl<B: Kernels> Drop for Session<B> {
    /// Frees the weights, and what the device keeps for the streams.
    fn drop(&mut self) {
        drop(std::mem::take(&mut self.program));
        self.streams.clean::<B>(&self.device);
    }
}
