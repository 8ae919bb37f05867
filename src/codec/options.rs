//! Options that several formats share: dtypes, shapes, colours, sources.

use crate::diagnostic::{At, Diagnostic, Report};
pub use crate::picture::options::color;
use crate::plan::{Mend, Mismatch, TensorType};
use crate::spec::document::{Expected, Reader, Value};
use crate::tensor::{DType, byte_len};
use serde::Serialize;

/// A shape from the options, `None` for an axis of any length.
pub type Shape = Vec<Option<usize>>;

/// The dtype of numbers: `dtype = "float32"`.
pub fn dtype(options: &mut Reader<'_>, report: &mut Report) -> Option<At<DType>> {
    options.choice("dtype", &DType::NUMBERS.map(|d| (d.name(), d)), report)
}

/// The dtype of numbers or `dtype = "string"`.
pub fn dtype_or_string(options: &mut Reader<'_>, report: &mut Report) -> Option<At<DType>> {
    let all: Vec<_> = DType::NUMBERS.into_iter().chain([DType::String]).map(|d| (d.name(), d)).collect();
    options.choice("dtype", &all, report)
}

/// The shape, in which -1 or "?" is an axis of any length: `shape = [-1, 4]`.
pub fn shape(options: &mut Reader<'_>, report: &mut Report) -> Option<At<Shape>> {
    let wanted = || {
        Expected::new("an array of lengths")
            .help("write -1 for an axis of any length, as in `shape = [-1, 4]`")
    };
    let shape = options.take_as("shape", report, |value| {
        let Value::Array(items) = &value.value else { return Err(wanted()) };
        let axis = |item: &At<Value>| match &item.value {
            Value::Integer(-1) => Ok(None),
            Value::String(s) if s == "?" => Ok(None),
            Value::Integer(n) => usize::try_from(*n).map(Some).map_err(|_| wanted()),
            _ => Err(wanted()),
        };
        items.iter().map(axis).collect::<Result<Shape, _>>()
    })?;
    let known: Vec<usize> = shape.iter().flatten().copied().collect();
    if shape.len() > MAX_RANK || !is_modest(&known) {
        report.push(
            Diagnostic::error(format!("`shape` in {} is too large", options.what()))
                .at(&shape.place, format!("at most {MAX_RANK} axes, and a size that a machine can hold")),
        );
        return None;
    }
    Some(shape)
}

/// The most axes that a tensor from outside may have.
pub const MAX_RANK: usize = 16;

/// Whether a machine could hold such a tensor if its axes of length 0 had one element.
pub fn is_modest(shape: &[usize]) -> bool {
    let axes: Vec<usize> = shape.iter().copied().filter(|n| *n > 0).collect();
    byte_len(DType::F64, &axes).is_some_and(|bytes| bytes <= 1 << 40)
}

/// Whether one element by itself is a tensor of this shape: some axis has length 1, and no axis another.
/// A number alone is no list of any length, so an open axis by itself does not count.
pub fn is_of_one(shape: &[Option<usize>]) -> bool {
    shape.iter().all(|n| n.is_none_or(|n| n == 1)) && shape.contains(&Some(1))
}

/// A shape as it is written in messages: `[?, 4]`.
pub fn show_shape(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| d.map_or("?".into(), |n| n.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

/// Whether `actual` has the rank and the known lengths of `wanted`.
pub fn shape_fits(actual: &[usize], wanted: &[Option<usize>]) -> bool {
    actual.len() == wanted.len() && actual.iter().zip(wanted).all(|(a, w)| w.is_none_or(|w| w == *a))
}

/// What a codec is made of, for [`crate::plan::Decode::options`]: the keys in the order of the alphabet.
pub fn canonical(codec: &impl Serialize) -> serde_json::Value {
    match serde_json::to_value(codec) {
        Ok(value) => value,
        // A key that is no string, which no codec has.
        Err(error) => serde_json::json!({ "error": error.to_string() }),
    }
}

/// The required `from` of an encode with one source.
pub fn from(options: &mut Reader<'_>, report: &mut Report) -> Option<At<String>> {
    options.require("from", "name what is to be written: `from = \"step.output\"`");
    options.string("from", report)
}

/// The changes to `dtype` and `shape` with which a decode that `gives` one type would give another.
pub fn mend_type(gives: &TensorType, wanted: &TensorType) -> Vec<Mend> {
    let mut mends: Vec<Mend> = mend_dtype(gives, wanted).into_iter().collect();
    if let Some(to) = &wanted.dims
        && gives.mismatch(wanted) == Some(Mismatch::Shape)
        && let Some(dims) = to.iter().map(|dim| dim.map(|n| n.to_string())).collect::<Option<Vec<_>>>()
    {
        mends.push(Mend::Option { key: "shape", value: format!("[{}]", dims.join(", ")) });
    }
    mends
}

/// The change to `dtype` alone.
pub fn mend_dtype(gives: &TensorType, wanted: &TensorType) -> Option<Mend> {
    let (from, to) = (gives.dtype?, wanted.dtype?);
    (from != to).then(|| Mend::Option { key: "dtype", value: format!("\"{to}\"") })
}
