//! Options that several operations share. Pure.

use crate::diagnostic::{At, Diagnostic, Report};
use crate::spec::document::{Expected, Reader, Value, number};
use crate::tensor::DType;

/// The most axes that a tensor may have.
const MOST_AXES: i64 = 16;

/// `axis = -1`, from the end where it is negative.
pub fn axis(reader: &mut Reader<'_>, default: i64, report: &mut Report) -> i64 {
    reader.integer("axis", -MOST_AXES..=MOST_AXES - 1, report).map_or(default, |axis| axis.value)
}

/// `axis = 0`, or several: `axis = [1, 2]`. `None` stands for all.
pub fn axes(reader: &mut Reader<'_>, report: &mut Report) -> Option<Vec<i64>> {
    let wanted = || Expected::new("an axis, or an array of them").help("as in `axis = 0` or `axis = [1, 2]`");
    let one = |value: &At<Value>| match value.value {
        Value::Integer(axis) if (-MOST_AXES..MOST_AXES).contains(&axis) => Ok(axis),
        _ => Err(wanted()),
    };
    let axes = reader.take_as("axis", report, |value| match &value.value {
        Value::Array(items) if items.is_empty() => Err(wanted()),
        Value::Array(items) => items.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    });
    axes.map(|axes| axes.value)
}

/// The type of numbers: `dtype = "float32"`.
pub fn dtype(reader: &mut Reader<'_>, report: &mut Report) -> Option<DType> {
    reader
        .choice("dtype", &DType::NUMBERS.map(|dtype| (dtype.name(), dtype)), report)
        .map(|dtype| dtype.value)
}

/// Each of the first axes once.
pub fn permutation(value: &At<Value>) -> Result<Vec<usize>, Expected> {
    let wanted = || Expected::new("an array with each axis once").help("as in `axes = [1, 2, 0]`");
    let Value::Array(items) = &value.value else { return Err(wanted()) };
    let axis = |item: &At<Value>| match item.value {
        Value::Integer(axis) => usize::try_from(axis).map_err(|_| wanted()),
        _ => Err(wanted()),
    };
    let axes = items.iter().map(axis).collect::<Result<Vec<_>, _>>()?;
    let each_once = (0..axes.len()).all(|axis| axes.contains(&axis));
    if each_once && axes.len() as i64 <= MOST_AXES { Ok(axes) } else { Err(wanted()) }
}

/// A shape, in which one axis at most is -1.
pub fn lengths(value: &At<Value>) -> Result<Vec<i64>, Expected> {
    let wanted =
        || Expected::new("an array of lengths, of which one at most is -1").help("as in `shape = [3, -1]`");
    let Value::Array(items) = &value.value else { return Err(wanted()) };
    let length = |item: &At<Value>| match item.value {
        Value::Integer(length) if (-1..=1 << 40).contains(&length) => Ok(length),
        _ => Err(wanted()),
    };
    let lengths = items.iter().map(length).collect::<Result<Vec<_>, _>>()?;
    let open = lengths.iter().filter(|length| **length == -1).count();
    if open <= 1 && lengths.len() as i64 <= MOST_AXES { Ok(lengths) } else { Err(wanted()) }
}

/// `weights = [1, 1, 2]`, each above 0, and one for each of several sources. One source has no weights.
pub fn weights(sources: usize, reader: &mut Reader<'_>, report: &mut Report) -> Option<Vec<f64>> {
    if sources < 2 {
        return None;
    }
    let weights = reader.take_as("weights", report, |value| {
        let wanted = || {
            Expected::new("an array of numbers above 0").help("one for each source of `from`, in its order")
        };
        let Value::Array(items) = &value.value else { return Err(wanted()) };
        let weight = |item: &At<Value>| number(item).ok().filter(|weight| *weight > 0.0).ok_or_else(wanted);
        items.iter().map(weight).collect::<Result<Vec<f64>, _>>()
    })?;
    if weights.len() == sources {
        return Some(weights.value);
    }
    report.push(
        Diagnostic::error(format!("{} has {} weights for {sources} sources", reader.what(), weights.len()))
            .at(&weights.place, "")
            .help("one for each source of `from`, in its order"),
    );
    None
}

/// The weights of the sources at these places; 1 where none are given.
pub fn weights_of(weights: Option<&[f64]>, places: &[usize]) -> Result<Vec<f64>, String> {
    let weight = |place: &usize| weights.map_or(Some(1.0), |weights| weights.get(*place).copied());
    places
        .iter()
        .map(weight)
        .collect::<Option<_>>()
        .ok_or_else(|| "there are fewer weights than sources".to_owned())
}
