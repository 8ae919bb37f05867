//! A loaded model, as the scheduler sees it: rows in, rows out.

use super::backend::Accelerator;
use super::device::max_tensor_bytes;
use super::error::LoadError;
use super::exec;
use super::kernels::Running;
use super::onnx::Model;
use super::ops::{Context, Registry};
use super::program::Program;
use super::value::Value as Node;
use crate::plan::{Batching, DeviceId, Dim, Port, Signature};
use crate::scheduler::{Batch, Memory, Resident, RunError, Runner, Value, Want};
use crate::tensor::{DType, Tensor};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Session<B: Accelerator> {
    program: Program<B>,
    /// Bytes of the graph's constants.
    weights: u64,
    signature: Signature,
    batching: Batching,
    /// Outputs that turned out to begin with an axis of their own, whatever the file says. They are given
    /// whole, and items are no longer joined.
    own_axis: Vec<AtomicBool>,
    id: DeviceId,
    cx: Context<B>,
}

impl<B: Accelerator> Session<B> {
    pub fn new(mut model: Model, id: DeviceId, device: B::Device) -> Result<Self, LoadError> {
        let weights = model.graph.constants.values().map(|tensor| tensor.bytes().len() as u64).sum();
        let program = Program::build_taking(&mut model.graph, &device, &Registry::standard())?;
        Ok(Self {
            program,
            weights,
            batching: model.signature.batching(),
            own_axis: model.signature.outputs.iter().map(|_| AtomicBool::new(false)).collect(),
            signature: model.signature,
            id,
            cx: Context { device, max_bytes: max_tensor_bytes(id) },
        })
    }

    /// Joins one input of every row into the tensor that the model takes.
    fn join(&self, index: usize, port: &Port, rows: &[Vec<Value>]) -> Result<Node<B>, RunError> {
        let column: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
        let Some(first) = column.first() else {
            return Err(RunError::Input("a batch without rows".into()));
        };
        for value in &column {
            check(port, self.batching, value)?;
            if value.shape() != first.shape() {
                let shapes = (first.shape(), value.shape());
                return Err(RunError::Input(format!(
                    "input {:?}: rows of one batch differ in shape, {:?} and {:?}",
                    port.name, shapes.0, shapes.1
                )));
            }
        }
        let shape = self.batched(port, first.shape(), column.len());
        if let Some(value) = self.whole(&column, &shape) {
            return Ok(value);
        }
        if column.iter().any(|v| matches!(v, Value::Device(_))) && !self.on_host() {
            return self.join_on_device(&column, shape);
        }
        if first.dtype() == DType::String {
            return strings(&column, shape);
        }
        let mut parts = Vec::with_capacity(column.len());
        for value in &column {
            parts.push(match value {
                Value::Host(tensor) => tensor.bytes().clone(),
                Value::Device(resident) => resident.to_host()?.bytes().clone(),
            });
        }
        Node::from_parts(first.dtype(), shape, &parts, &self.cx.device).map_err(RunError::Failed)
    }

    /// The shape of a port's tensor that holds so many items.
    fn batched(&self, port: &Port, item: &[usize], rows: usize) -> Vec<usize> {
        let leading = match self.batching {
            Batching::Dynamic => Some(rows),
            Batching::One => port.has_batch_axis().then_some(1),
        };
        leading.into_iter().chain(item.iter().copied()).collect()
    }

    fn on_host(&self) -> bool {
        self.id == DeviceId::Cpu
    }

    /// A batch of one whose tensor is on this device already.
    fn whole(&self, column: &[&Value], shape: &[usize]) -> Option<Node<B>> {
        let [Value::Device(resident)] = column else { return None };
        let row = (resident.as_ref() as &dyn Any).downcast_ref::<Row<B>>()?;
        if row.id != self.id {
            return None;
        }
        row.value.clone().reshaped(shape.to_vec()).ok()
    }

    fn join_on_device(&self, column: &[&Value], shape: Vec<usize>) -> Result<Node<B>, RunError> {
        let mut parts = Vec::with_capacity(column.len());
        for value in column {
            let item: Vec<usize> = std::iter::once(1).chain(value.shape().iter().copied()).collect();
            let part = match value {
                Value::Host(tensor) => Node::Host(tensor.clone()).on_device(&self.cx.device),
                Value::Device(resident) => match (resident.as_ref() as &dyn Any).downcast_ref::<Row<B>>() {
                    Some(row) if row.id == self.id => row.value.clone(),
                    _ => Node::Host(resident.to_host()?).on_device(&self.cx.device),
                },
            };
            parts.push(part.reshaped(item).map_err(RunError::Failed)?);
        }
        let joined = super::ops::shape::concat::join(parts, 0, &self.cx).map_err(RunError::Failed)?;
        joined.reshaped(shape).map_err(RunError::Failed)
    }

    /// Takes one output apart into its rows.
    fn split(
        &self,
        index: usize,
        port: &Port,
        value: Node<B>,
        want: Want,
        rows: usize,
    ) -> Result<Vec<Option<Value>>, RunError> {
        let dims = value.dims();
        let leading = match self.batching {
            Batching::Dynamic => !self.has_own_axis(index, dims.first() != Some(&rows)),
            Batching::One => port.has_batch_axis() && dims.first() == Some(&1),
        };
        if !leading && rows > 1 {
            return Err(RunError::Failed(format!(
                "output {:?} has shape {dims:?} for {rows} rows: its first axis is not the batch",
                port.name
            )));
        }
        if want == Want::Device && !self.on_host() && !value.is_host() {
            return self.split_on_device(value, leading, rows);
        }
        let host = value.into_host().map_err(|e| RunError::Failed(format!("output {:?}: {e}", port.name)))?;
        if !leading {
            return Ok(vec![Some(Value::Host(host))]);
        }
        Ok((0..rows).map(|row| host.row(row).map(Value::Host)).collect())
    }

    /// Whether the output was ever seen to begin with an axis other than the batch. Once seen, it is known
    /// for good: that axis may be as long as the batch by chance.
    fn has_own_axis(&self, output: usize, seen: bool) -> bool {
        self.own_axis.get(output).is_some_and(|own| {
            if seen {
                own.store(true, Ordering::Relaxed);
            }
            own.load(Ordering::Relaxed)
        })
    }

    fn split_on_device(
        &self,
        value: Node<B>,
        leading: bool,
        rows: usize,
    ) -> Result<Vec<Option<Value>>, RunError> {
        let id = self.id;
        let resident = |value: Node<B>| -> Result<Option<Value>, RunError> {
            let (shape, dtype) = (value.dims(), value.dtype());
            Ok(Some(Value::Device(Arc::new(Row { id, shape, dtype, value }))))
        };
        let dims = value.dims();
        if !leading {
            return Ok(vec![resident(value)?]);
        }
        (0..rows)
            .map(|row| {
                let row = super::ops::shape::slice::row(value.clone(), row);
                resident(row.reshaped(dims[1..].to_vec()).map_err(RunError::Failed)?)
            })
            .collect()
    }
}

impl<B: Accelerator> Runner for Session<B> {
    fn batching(&self) -> Batching {
        let own = self.own_axis.iter().any(|own| own.load(Ordering::Relaxed));
        if own { Batching::One } else { self.batching }
    }

    fn memory(&self) -> Memory {
        Memory { weights: self.weights, batch: self.program.meter.peak() }
    }

    fn limit_batch_memory(&self, bytes: u64) {
        self.program.meter.set_limit(bytes);
    }

    fn run(&self, batch: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        let rows = batch.rows.len();
        if rows == 0 {
            return Ok(Vec::new());
        }
        if self.batching == Batching::One && rows > 1 {
            return Err(RunError::Failed(format!("{rows} rows in a batch of a model that takes one")));
        }
        let ports = self.signature.inputs.len();
        if let Some(row) = batch.rows.iter().find(|row| row.len() != ports) {
            return Err(RunError::Input(format!("{} inputs where the model takes {ports}", row.len())));
        }
        let inputs = self.signature.inputs.iter().enumerate();
        let inputs =
            inputs.map(|(index, port)| self.join(index, port, &batch.rows)).collect::<Result<Vec<_>, _>>()?;
        drop(batch.rows);
        let _running = self.on_host().then(Running::begin);
        let outputs = self.program.run(inputs, &self.cx).map_err(|why| {
            // Where it was memory that ran out, what the backend keeps for later is given back.
            B::memory_cleanup(&self.cx.device);
            if exec::was_refused() { RunError::Input(why) } else { RunError::Failed(why) }
        })?;
        let mut answers: Vec<Vec<Option<Value>>> =
            (0..rows).map(|_| Vec::with_capacity(outputs.len())).collect();
        for (index, (value, port)) in outputs.into_iter().zip(&self.signature.outputs).enumerate() {
            match batch.wants.get(index).copied().unwrap_or(Want::Drop) {
                Want::Drop => answers.iter_mut().for_each(|row| row.push(None)),
                want => {
                    let column = self.split(index, port, value, want, rows)?;
                    answers.iter_mut().zip(column).for_each(|(row, value)| row.push(value));
                }
            }
        }
        B::sync(&self.cx.device).map_err(|e| RunError::Failed(e.to_string()))?;
        Ok(answers)
    }
}

/// Strings are never on a device.
fn strings<B: Accelerator>(column: &[&Value], shape: Vec<usize>) -> Result<Node<B>, RunError> {
    let mut all = Vec::new();
    for value in column {
        match value {
            Value::Host(tensor) => all.extend_from_slice(tensor.strings().unwrap_or_default()),
            Value::Device(resident) => {
                all.extend_from_slice(resident.to_host()?.strings().unwrap_or_default());
            }
        }
    }
    Tensor::from_strings(shape, all).map(Node::Host).map_err(|e| RunError::Failed(e.to_string()))
}

/// Whether an item's tensor is what the port declares.
fn check(port: &Port, batching: Batching, value: &Value) -> Result<(), RunError> {
    let mismatch = || {
        RunError::Input(format!(
            "the model takes {port}{}, given {}{:?}",
            if batching == Batching::Dynamic || port.has_batch_axis() {
                " (the first axis is the batch)"
            } else {
                ""
            },
            value.dtype(),
            value.shape()
        ))
    };
    match port.dtype {
        Some(dtype) if dtype == value.dtype() => {}
        _ => return Err(mismatch()),
    }
    let Some(dims) = &port.dims else { return Ok(()) };
    let skip = usize::from(batching == Batching::Dynamic || port.has_batch_axis());
    let declared = dims.get(skip..).unwrap_or_default();
    let fits = declared.len() == value.shape().len()
        && declared.iter().zip(value.shape()).all(|(d, n)| !matches!(d, Dim::Fixed(fixed) if fixed != n));
    if fits { Ok(()) } else { Err(mismatch()) }
}

/// One row of an output that stayed on its device.
struct Row<B: Accelerator> {
    id: DeviceId,
    shape: Vec<usize>,
    dtype: DType,
    value: Node<B>,
}

impl<B: Accelerator> Resident for Row<B> {
    fn device(&self) -> DeviceId {
        self.id
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn to_host(&self) -> Result<Tensor, RunError> {
        self.value.clone().into_host().map_err(RunError::Failed)
    }
}
