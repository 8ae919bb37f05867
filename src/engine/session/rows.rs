//! A batch's rows become the tensors that the model takes, and what it gives becomes rows again.

use super::Session;
use crate::engine::backend::Kernels;
use crate::engine::ops::Context;
use crate::engine::ops::shape::{concat, slice};
use crate::engine::stream::Stream;
use crate::engine::value::Value as Node;
use crate::plan::{DeviceId, Port, TensorType};
use crate::scheduler::{Resident, RunError, Value, Want};
use crate::tensor::{DType, Tensor};
use std::any::Any;
use std::sync::Arc;

impl<B: Kernels> Session<B> {
    /// Joins one input of every row into the tensor that the model takes.
    pub(super) fn join(
        &self,
        index: usize,
        port: &Port,
        rows: &[Vec<Value>],
        cx: &Context<B>,
    ) -> Result<Node<B>, RunError> {
        let column: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
        let Some(first) = column.first() else {
            return Err(RunError::Input("a batch without rows".into()));
        };
        for value in &column {
            check(port, &self.takes[index], value)?;
            if value.shape() != first.shape() {
                let shapes = (first.shape(), value.shape());
                return Err(RunError::Input(format!(
                    "input {:?}: rows of one batch differ in shape, {:?} and {:?}",
                    port.name, shapes.0, shapes.1
                )));
            }
        }
        // Leading axes of 1 that the model takes may be left out, and a scalar may have some.
        let rank = self.takes[index].dims.as_ref().map_or(first.shape().len(), Vec::len);
        let (ones, more) =
            (rank.saturating_sub(first.shape().len()), first.shape().len().saturating_sub(rank));
        let item: Vec<usize> =
            std::iter::repeat_n(1, ones).chain(first.shape()[more..].iter().copied()).collect();
        let shape = with_axis(port.batch, &item, column.len());
        if let Some(value) = self.whole(&column, &shape) {
            return Ok(value);
        }
        let on_device = column.iter().any(|v| matches!(v, Value::Device(_))) && !self.on_host();
        // Rows lie one behind the other along the first axis alone.
        let axis = port.batch.filter(|_| column.len() > 1).unwrap_or(0);
        if on_device || axis > 0 {
            return self.join_along(&column, &item, axis, shape, cx);
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
        Node::from_parts(first.dtype(), shape, &parts, &self.device).map_err(RunError::Failed)
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

    /// Joins the items along the batch axis by way of the operator that joins tensors.
    fn join_along(
        &self,
        column: &[&Value],
        item: &[usize],
        axis: usize,
        shape: Vec<usize>,
        cx: &Context<B>,
    ) -> Result<Node<B>, RunError> {
        let mut parts = Vec::with_capacity(column.len());
        for value in column {
            let item = with_axis(Some(axis), item, 1);
            let part = match value {
                Value::Host(tensor) => Node::Host(tensor.clone()),
                Value::Device(resident) => match (resident.as_ref() as &dyn Any).downcast_ref::<Row<B>>() {
                    Some(row) if row.id == self.id => row.value.clone(),
                    _ => Node::Host(resident.to_host()?),
                },
            };
            let part = if value.dtype() == DType::String { part } else { part.on_device(&self.device) };
            parts.push(part.reshaped(item)?);
        }
        let joined = concat::join(parts, axis, cx)?;
        Ok(joined.reshaped(shape)?)
    }

    /// Takes one output apart into its rows. Where it does not have one for each item, that is an error, as
    /// nobody knows then what is whose.
    pub(super) fn split(
        &self,
        index: usize,
        port: &Port,
        value: Node<B>,
        want: Want,
        rows: usize,
    ) -> Result<Vec<Option<Value>>, RunError> {
        let axis = port.batch.filter(|_| !self.is_whole(index));
        let dims = value.dims();
        let fits = match axis {
            Some(axis) => dims.get(axis) == Some(&rows),
            None => rows == 1,
        };
        if !fits {
            return Err(RunError::Rows { output: index, name: port.name.clone(), shape: dims, rows });
        }
        if want == Want::Device && !self.on_host() && !value.is_host() {
            return self.split_on_device(value, axis, rows);
        }
        let host = value.into_host().map_err(|e| RunError::Failed(format!("output {:?}: {e}", port.name)))?;
        Ok(match axis {
            None => vec![Some(Value::Host(host))],
            Some(axis) => (0..rows).map(|row| host.along(axis, row).map(Value::Host)).collect(),
        })
    }

    fn split_on_device(
        &self,
        value: Node<B>,
        axis: Option<usize>,
        rows: usize,
    ) -> Result<Vec<Option<Value>>, RunError> {
        let id = self.id;
        let resident = |value: Node<B>| -> Result<Option<Value>, RunError> {
            let (shape, dtype) = (value.dims(), value.dtype());
            let stream = self.streams.compute.clone();
            Ok(Some(Value::Device(Arc::new(Row { id, shape, dtype, value, stream }))))
        };
        let Some(axis) = axis else { return Ok(vec![resident(value)?]) };
        let mut item = value.dims();
        item.remove(axis);
        (0..rows)
            .map(|row| {
                let row = slice::along(value.clone(), axis, row);
                resident(row.reshaped(item.clone())?)
            })
            .collect()
    }
}

/// The shape of a tensor that holds so many items along an axis.
fn with_axis(axis: Option<usize>, item: &[usize], rows: usize) -> Vec<usize> {
    let mut shape = item.to_vec();
    if let Some(axis) = axis {
        shape.insert(axis.min(shape.len()), rows);
    }
    shape
}

/// Strings are never on a device.
fn strings<B: Kernels>(column: &[&Value], shape: Vec<usize>) -> Result<Node<B>, RunError> {
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
fn check(port: &Port, takes: &TensorType, value: &Value) -> Result<(), RunError> {
    let mismatch = || {
        let axis = match port.batch {
            None => String::new(),
            Some(0) => " (the first axis is the batch)".to_owned(),
            Some(axis) => format!(" (axis {axis} is the batch)"),
        };
        // Whoever sends the batch axis, too, may have a model that has none.
        let rank = takes.dims.as_ref().map_or(0, Vec::len);
        let help = match port.batch.is_some() && value.shape().len() == rank + 1 {
            true => "; an item has no batch axis, and `batch = false` declares that the model has none",
            false => "",
        };
        let (dtype, shape) = (value.dtype(), value.shape());
        RunError::Input(format!("the model takes {port}{axis}, given {dtype}{shape:?}{help}"))
    };
    match port.dtype {
        Some(dtype) if dtype == value.dtype() => {}
        _ => return Err(mismatch()),
    }
    let Some(wanted) = &takes.dims else { return Ok(()) };
    if wanted.is_empty() && value.shape().iter().all(|length| *length == 1) {
        return Ok(());
    }
    let ones = wanted.len().saturating_sub(value.shape().len());
    let fits = wanted.len() >= value.shape().len()
        && wanted[..ones].iter().all(|length| *length == Some(1))
        && wanted[ones..]
            .iter()
            .zip(value.shape())
            .all(|(wanted, n)| wanted.is_none_or(|wanted| wanted == *n));
    if fits { Ok(()) } else { Err(mismatch()) }
}

/// One row of an output that stayed on its device.
struct Row<B: Kernels> {
    id: DeviceId,
    shape: Vec<usize>,
    dtype: DType,
    value: Node<B>,
    stream: Arc<Stream>,
}

impl<B: Kernels> Resident for Row<B> {
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
