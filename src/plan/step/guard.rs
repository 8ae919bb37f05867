//! Conditions as they stand in a file: read, and held against the types of their sources.

use super::condition::{self, Condition, Kind};
use crate::diagnostic::{At, Report};
use crate::plan::{Labels, TensorType};
use crate::tensor::DType;

/// Reads a condition. What is wrong with it is reported.
pub fn read(text: &At<String>, report: &mut Report) -> Option<Condition> {
    match condition::parse(text) {
        Ok(condition) => Some(condition),
        Err(mistake) => {
            report.push(mistake.diagnostic(text));
            None
        }
    }
}

/// The sources of a condition, each with its place in the file.
pub fn sources(condition: &Condition, text: &At<String>) -> Vec<At<String>> {
    let source = |(name, at): &(String, _)| At::new(name.clone(), condition::place(text, at));
    condition.sources().iter().map(source).collect()
}

/// What a text that is no condition was probably meant to read, each with its place in the file.
pub fn guessed(text: &At<String>) -> Vec<At<String>> {
    let names = condition::guessed(text).into_iter();
    names.map(|(name, at)| At::new(name, condition::place(text, &at))).collect()
}

/// What is known of a source of a condition.
pub enum Known {
    /// A list, which stands for the number of its elements.
    Length,
    Tensor {
        ty: TensorType,
        labels: Option<Labels>,
    },
}

/// Reports what a condition compares and cannot. `known` has each of its sources, `None` for those that were refused.
pub fn check(condition: &Condition, text: &At<String>, known: &[Option<Known>], report: &mut Report) {
    let kinds: Vec<Option<Kind<'_>>> = known.iter().map(|known| kind(known.as_ref()?)).collect();
    for mistake in condition.check(&kinds) {
        report.push(mistake.diagnostic(text));
    }
}

fn kind(known: &Known) -> Option<Kind<'_>> {
    let Known::Tensor { ty, labels } = known else { return Some(Kind::Number(DType::I64)) };
    if ty.dims.as_ref()?.iter().any(|length| *length != Some(1)) {
        return Some(Kind::Many(ty.to_string()));
    }
    Some(match ty.dtype? {
        DType::Bool => Kind::Bool,
        DType::String => Kind::Text,
        _ if labels.is_some() => Kind::Class { labels: labels.as_deref() },
        dtype => Kind::Number(dtype),
    })
}
