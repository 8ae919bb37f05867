//! Whether a row of a batch is what the same item gives alone.

use crate::plan::Port;
use crate::scheduler::Value;
use crate::tensor::{DType, Tensor};

/// An output of a row: `None` where it is no tensor.
pub(super) type Row = Vec<Option<Tensor>>;

/// The rows of a run, on the host.
pub(super) fn on_host(rows: Vec<Vec<Option<Value>>>) -> Result<Vec<Row>, crate::scheduler::RunError> {
    let host = |value: Value| match value {
        Value::Host(tensor) => Ok(tensor),
        Value::Device(resident) => resident.to_host(),
    };
    let row = |row: Vec<Option<Value>>| row.into_iter().map(|value| value.map(host).transpose()).collect();
    rows.into_iter().map(row).collect()
}

/// The distance that a row may have from the item alone, as a part of the output's greatest number. On the CPU the order of
/// sums does not follow from the number of rows; on other devices it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance(pub f64);

impl Tolerance {
    fn of(self, dtype: DType) -> f64 {
        match dtype {
            DType::F32 | DType::F64 => self.0,
            DType::F16 => self.0.max(2e-3),
            DType::BF16 => self.0.max(1.6e-2),
            _ => 0.0,
        }
    }
}

/// The first output in which a row of a batch differs from the item alone, in words.
pub(super) fn difference(
    outputs: &[Port],
    alone: &Row,
    together: &Row,
    tolerance: Tolerance,
) -> Option<String> {
    let pairs = alone.iter().zip(together).enumerate();
    pairs.into_iter().find_map(|(index, pair)| {
        let name = outputs.get(index).map_or("", |port| &port.name);
        let (Some(alone), Some(together)) = pair else {
            // What is no tensor cannot be compared.
            return (pair.0.is_some() != pair.1.is_some()).then(|| format!("output `{name}` is missing"));
        };
        if alone.shape() != together.shape() || alone.dtype() != together.dtype() {
            return Some(format!("output `{name}` is {alone:?} alone, and {together:?} in a batch"));
        }
        let (a, b) = apart(alone, together, tolerance)?;
        Some(format!("output `{name}` has {b} in a batch where it has {a} alone"))
    })
}

/// Whether two samples gave different rows, so that a row that went to the wrong one would be seen.
pub(super) fn differ(a: &Row, b: &Row) -> bool {
    a.iter().zip(b).any(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => a.shape() != b.shape() || apart(a, b, Tolerance(1e-3)).is_some(),
        _ => false,
    })
}

/// The first two elements that are further apart than is allowed.
fn apart(a: &Tensor, b: &Tensor, tolerance: Tolerance) -> Option<(String, String)> {
    if let (Some(a), Some(b)) = (a.strings(), b.strings()) {
        let (a, b) = a.iter().zip(b).find(|(a, b)| a != b)?;
        return Some((format!("{a:?}"), format!("{b:?}")));
    }
    if a.bytes() == b.bytes() {
        return None;
    }
    let (dtype, a, b) = (a.dtype(), a.to_f64(), b.to_f64());
    let greatest = a.iter().filter(|x| x.is_finite()).fold(0.0_f64, |most, x| most.max(x.abs()));
    let allowed = tolerance.of(dtype) * greatest;
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= allowed;
    let (a, b) = a.into_iter().zip(b).find(|(a, b)| !same(*a, *b))?;
    Some((a.to_string(), b.to_string()))
}
