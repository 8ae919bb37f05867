//! Options that operations on pictures share.

use crate::diagnostic::{At, Diagnostic, Report};
use crate::picture::frame::Bounds;
use crate::plan::{Bound, Operand, OperationError, Reads};
use crate::spec::document::{Expected, Reader, Value, number};
use crate::tensor::Tensor;

/// A source under an option of its own name, `box = "plate.box"`.
pub fn source(key: &'static str, options: &mut Reader<'_>, report: &mut Report) -> Option<Operand> {
    let from = options.string(key, report)?;
    Some(Operand { name: key.to_owned(), from, reads: Reads::One, file: None })
}

/// The decode whose picture is read, which has to be named.
pub fn on(options: &mut Reader<'_>, report: &mut Report) -> Option<At<String>> {
    options.require("on", "name the image decode whose picture is meant: `on = \"photo\"`");
    options.string("on", report)
}

/// A number from one to another.
pub fn share(
    key: &'static str,
    (low, high): (f64, f64),
    options: &mut Reader<'_>,
    report: &mut Report,
) -> Option<At<f64>> {
    options.take_as(key, report, |value| match number(value) {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(Expected::new(format!("a number from {low} to {high}"))),
    })
}

/// The most elements of a list, `top = 16`.
pub fn top(options: &mut Reader<'_>, report: &mut Report) -> usize {
    // As many as lists may have in all, so that other rules speak first.
    options.integer("top", 1..=10_000, report).map_or(100, |top| top.value as usize)
}

/// `size = [width, height]`, or one number for a square.
pub fn size(options: &mut Reader<'_>, report: &mut Report) -> Option<At<(u32, u32)>> {
    let wanted = || Expected::new("[width, height], each from 1 to 16384");
    let side = |value: &At<Value>| match value.value {
        Value::Integer(n @ 1..=16_384) => Ok(n as u32),
        _ => Err(wanted()),
    };
    options.take_as("size", report, |value| match &value.value {
        Value::Array(sides) => match sides.as_slice() {
            [w, h] => Ok((side(w)?, side(h)?)),
            _ => Err(wanted()),
        },
        _ => side(value).map(|side| (side, side)),
    })
}

/// The box that a tensor holds.
pub fn corners(bounds: &Tensor) -> Result<Bounds, OperationError> {
    let corners: Result<[f64; 4], _> = bounds.to_f64().try_into();
    corners
        .map(Bounds::new)
        .map_err(|_| OperationError::Input(format!("{bounds:?} is no box, which has 4 numbers")))
}

/// Reports a source that does not hold `count` numbers.
pub fn holds(bound: &Bound, count: usize, what: &str, report: &mut Report) -> bool {
    let number = bound.ty.dtype.is_none_or(|dtype| dtype.is_number());
    let dims = bound.ty.dims.as_ref();
    let known = dims.and_then(|dims| dims.iter().copied().collect::<Option<Vec<usize>>>());
    let fits = number && known.is_none_or(|dims| dims.iter().product::<usize>() == count);
    if !fits {
        let d = Diagnostic::error(format!("`{}` is no {what}, which has {count} numbers", bound.from.value));
        report.push(with_note(d.at(&bound.from.place, format!("this is {}", bound.ty)), bound));
    }
    fits
}

/// A message with the line of the signature that the source stands in.
pub fn with_note(d: Diagnostic, bound: &Bound) -> Diagnostic {
    match &bound.note {
        Some(note) => d.note(note.clone()),
        None => d,
    }
}
