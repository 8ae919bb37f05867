//! A batch's rows become the tensors that the model takes, and what it gives becomes rows again.

use super::Session;
use crate::engine::backend::Accelerator;
use crate::engine::ops::shape::{concat, slice};
use crate::engine::stream::Stream;
use crate::engine::value::Value as Node;
use crate::plan::{Batching, DeviceId, Dim, Port};
use crate::scheduler::{Resident, RunError, Value, Want};
use crate::tensor::{DType, Tensor};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<B: Accelerator> Session<B> {
    /// Joins one input of every row into the tensor that the model takes.
    pub(super) fn join(&self, index: usize, port: &Port, rows: &[Vec<Value>]) -> Result<Node<B>, RunError> {
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
            parts.push(part.reshaped(item)?);
        }
        let joined = concat::join(parts, 0, &self.cx)?;
        Ok(joined.reshaped(shape)?)
    }

    /// Takes one output apart into its rows.
    pub(super) fn split(
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
            let stream = self.streams.compute.clone();
            Ok(Some(Value::Device(Arc::new(Row { id, shape, dtype, value, stream }))))
        };
        let dims = value.dims();
        if !leading {
            return Ok(vec![resident(value)?]);
        }
        (0..rows)
            .map(|row| {
                let row = slice::row(value.clone(), row);
                resident(row.reshaped(dims[1..].to_vec())?)
            })
            .collect()
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
    stream: Arc<Stream>,
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
        Ok(self.stream.on(|| self.value.clone().into_host())?)
    }
}
