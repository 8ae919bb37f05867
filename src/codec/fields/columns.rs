//! The columns of fields that have several, by name.

use super::{Field, FieldDraft};
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{EncodeError, Labels};
use std::collections::BTreeSet;

/// The columns of the width and the height of a picture.
pub fn of_size(name: &str) -> Vec<String> {
    vec![format!("{name}_width"), format!("{name}_height")]
}

/// The columns of the scores of all classes, named by their labels.
pub fn of_scores(name: &str, labels: &Labels) -> Vec<String> {
    labels.iter().map(|label| format!("{name}_{label}")).collect()
}

/// Reports labels other than those that named the columns of scores: the generation that computed them has others.
pub fn are_of(
    field: &Field,
    columns: &[impl AsRef<str>],
    labels: Option<&Labels>,
) -> Result<(), EncodeError> {
    let named = labels.map(|labels| of_scores(&field.name, labels)).unwrap_or_default();
    if named.len() == columns.len() && named.iter().zip(columns).all(|(a, b)| a == b.as_ref()) {
        return Ok(());
    }
    Err(EncodeError::Unforeseen(format!(
        "field `{}`: the version of the model that gave the scores has other labels than its newest, which name the \
         columns",
        field.name
    )))
}

/// Refuses the columns of a field of which another field of the table has one already.
pub fn refuse_twice<'a>(
    what: &str,
    field: &FieldDraft,
    columns: impl IntoIterator<Item = &'a str>,
    taken: &mut BTreeSet<String>,
    report: &mut Report,
) {
    for column in columns {
        if !taken.insert(column.to_owned()) {
            report.push(
                Diagnostic::error(format!("two columns of {what} would be `{column}`"))
                    .at(&field.name.place, "the second of them")
                    .help("rename one of the fields"),
            );
        }
    }
}
