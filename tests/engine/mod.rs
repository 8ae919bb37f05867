//! The engine against ONNX Runtime's numbers, and against files that mean harm.

mod axes;
mod cases;
mod classifiers;
mod conformance;
mod costly;
#[cfg(feature = "vulkan")]
mod device;
mod edges;
mod entry;
mod greedy;
mod hostile;
mod limits;
mod mistyped;
mod mutated;
mod networks;
mod npy;
mod operators;
mod protobuf;
mod session;
mod shipped;
mod sklearn;
mod values;

use rserve::engine;
use rserve::plan::{DeviceId, Dim, Signature};
use rserve::scheduler::{Batch, RunError, Runner, Value, Want};
use rserve::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of this repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A loaded model with what it takes and gives.
struct Loaded {
    signature: Signature,
    runner: Arc<dyn Runner>,
}

impl Loaded {
    fn new(path: &Path) -> Self {
        Self::try_new(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn try_new(path: &Path) -> Result<Self, engine::LoadError> {
        Self::on(path, DeviceId::Cpu)
    }

    fn on(path: &Path, device: DeviceId) -> Result<Self, engine::LoadError> {
        let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
        let signature = engine::inspect(bytes.clone())?.signature;
        Ok(Self { signature, runner: engine::load(bytes, device)? })
    }

    /// As [`Loaded::run`], where the signature may not be what the inputs were made for.
    fn try_run(&self, inputs: &[Tensor]) -> Result<(), RunError> {
        let item = |t: &Tensor| t.row(0).map(Value::Host);
        let row: Option<Vec<Value>> = inputs.iter().map(item).collect();
        let wants = vec![Want::Host; self.signature.outputs.len()];
        let Some(row) = row else { return Ok(()) };
        self.runner.run(Batch::new(vec![row], wants)).map(drop)
    }

    /// Runs whole tensors, the batch axis (where there is one) first.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Vec<Tensor>>, RunError> {
        let row = |t: &Tensor, index| {
            t.row(index).map(Value::Host).ok_or_else(|| RunError::Input(format!("{t:?} has no row {index}")))
        };
        let item = |(t, port): (&Tensor, &rserve::plan::Port), index| match port.batch {
            Some(0) => row(t, index),
            _ => Ok(Value::Host(t.clone())),
        };
        let ports = || inputs.iter().zip(&self.signature.inputs);
        let batched = ports().find(|(_, port)| port.batch == Some(0));
        let count = batched.map_or(1, |(t, _)| t.shape().first().copied().unwrap_or_default());
        let rows = (0..count).map(|index| ports().map(|port| item(port, index)).collect());
        let rows = rows.collect::<Result<Vec<Vec<Value>>, _>>()?;
        let wants = vec![Want::Host; self.signature.outputs.len()];
        // Of a model that takes one item at a time, every row is a batch of its own.
        let most = if self.runner.joins() { count.max(1) } else { 1 };
        let batches = rows.chunks(most).map(|rows| Batch::new(rows.to_vec(), wants.clone()));
        let answers: Vec<_> = batches.map(|batch| self.runner.run(batch)).collect::<Result<_, _>>()?;
        let answers = answers.into_iter().flatten();
        let host = |value: Option<Value>| match value {
            Some(Value::Host(tensor)) => tensor,
            _ => panic!("an output is not on the host"),
        };
        Ok(answers.map(|row| row.into_iter().map(host).collect()).collect())
    }
}

/// The greatest difference, relative to the greatest value.
fn relative_error(rows: &[Tensor], wanted: &Tensor) -> f64 {
    let got: Vec<f64> = rows.iter().flat_map(Tensor::to_f64).collect();
    let wanted = wanted.to_f64();
    assert_eq!(got.len(), wanted.len());
    let scale = wanted.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE);
    let difference = got.iter().zip(&wanted).map(|(a, b)| {
        let d = (a - b).abs();
        if d.is_nan() && !(a.is_nan() && b.is_nan()) { f64::INFINITY } else { d }
    });
    difference.fold(0.0f64, f64::max) / scale
}

/// An error where a model gave an output of another shape than its graph was inferred to give. `inputs` are the shapes
/// that it was given; `None` for what is no tensor.
fn as_inferred(
    signature: &Signature,
    inputs: &[Option<Vec<usize>>],
    outputs: &[Option<Vec<usize>>],
) -> Result<(), String> {
    let mut lengths: BTreeMap<String, usize> = BTreeMap::new();
    for (port, shape) in signature.inputs.iter().zip(inputs) {
        let axes = port.dims.iter().flatten().zip(shape.iter().flatten()).enumerate();
        for (axis, (dim, length)) in axes {
            let name = match dim {
                Dim::Named(name) => name.clone(),
                _ => format!("{}_dim_{axis}", port.name),
            };
            lengths.insert(name, *length);
        }
    }
    for (port, shape) in signature.outputs.iter().zip(outputs) {
        let (Some(dims), Some(shape)) = (&port.inferred, shape) else { continue };
        let length = |dim: &Dim| match dim {
            Dim::Fixed(n) => Some(*n),
            Dim::Named(name) => {
                name.split('·').map(|f| f.parse().ok().or_else(|| lengths.get(f).copied())).product()
            }
            _ => None,
        };
        let fits = dims.len() == shape.len()
            && dims.iter().zip(shape).all(|(dim, given)| length(dim).is_none_or(|length| length == *given));
        if !fits {
            return Err(format!("output {:?} is {shape:?}, inferred to be {dims:?}", port.name));
        }
    }
    Ok(())
}
