//! The named fields of an answer, `fields.NAME = { from = "step.output", as = "top", … }`, which json,
//! jsonl and csv share.
//!
//! [`read`] takes the options, [`FieldDraft::bind`] holds them against the source's type, and
//! [`Field::answer`] computes the [`Answer`] of one item, which the format writes.

mod answer;
mod bind;
pub mod draft;
pub mod number;

pub use answer::{Answer, label, write_string};
pub use number::Number;

use crate::diagnostic::{At, Diagnostic, Report, Span};
use crate::plan::{EncodeError, Input, SourceRef};
use crate::spec::document::{Reader, Table, Value};
use serde::Serialize;

/// What a field says of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum As {
    /// Every element, nested as the tensor is.
    Values,
    /// The one element of a tensor that has one.
    Scalar,
    /// The label of the largest score.
    Label,
    /// The largest scores, with their labels.
    Top,
    /// The index of the largest score along an axis.
    Argmax,
    /// The share of positions that each class has in a class map.
    Shares,
    /// The mean of all elements.
    Mean,
}

impl As {
    const NAMES: &[(&'static str, As)] = &[
        ("values", As::Values),
        ("scalar", As::Scalar),
        ("label", As::Label),
        ("top", As::Top),
        ("argmax", As::Argmax),
        ("shares", As::Shares),
        ("mean", As::Mean),
    ];

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("values", |(name, _)| name)
    }
}

/// A field as written.
#[derive(Clone, Debug)]
pub struct FieldDraft {
    pub name: At<String>,
    pub from: At<String>,
    pub kind: At<As>,
    pub labels: Option<At<String>>,
    pub top: Option<At<usize>>,
    pub axis: Option<At<usize>>,
    pub softmax: bool,
    /// The number of decimal places.
    pub round: Option<u32>,
    /// Whether its options have no errors.
    pub sound: bool,
}

/// A field whose source is known.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    pub name: String,
    pub kind: As,
    /// The number of classes that [`As::Top`] names.
    pub top: usize,
    pub axis: usize,
    pub softmax: bool,
    pub round: Option<u32>,
    /// The number of classes or elements, where it is known beforehand.
    pub count: Option<usize>,
    /// Whether answers carry labels.
    pub labelled: bool,
}

/// Reads the required `fields` of an encode.
fn read(options: &mut Reader<'_>, report: &mut Report) -> Vec<FieldDraft> {
    let what = options.what().to_owned();
    if !options.has("fields")
        && let Some(from) = options.take("from")
    {
        for key in ["as", "labels", "top", "axis", "softmax", "round"] {
            options.take(key);
        }
        report.push(
            Diagnostic::error(format!("{what} is made of fields, each with a `from` of its own"))
                .at(&from.place, "")
                .help(format!("write it as `fields.NAME = {{ from = {}, … }}`", from.place.text())),
        );
        return vec![];
    }
    options.require("fields", "name what the answer holds: `fields.NAME = \"step.output\"`");
    let Some(fields) = options.table("fields", report) else { return vec![] };
    if fields.entries.is_empty() {
        report.push(
            Diagnostic::error(format!("`fields` in {what} is empty"))
                .at(&fields.place, "")
                .help("name what the answer holds: `fields.NAME = \"step.output\"`"),
        );
    }
    fields.entries.iter().filter_map(|(name, value)| field(&what, name, value, report)).collect()
}

fn field(what: &str, name: &At<String>, value: &At<Value>, report: &mut Report) -> Option<FieldDraft> {
    let what = format!("`fields.{}` of {what}", name.value);
    let mut draft = FieldDraft {
        name: name.clone(),
        from: name.with(String::new()),
        kind: name.with(As::Values),
        labels: None,
        top: None,
        axis: None,
        softmax: false,
        round: None,
        sound: true,
    };
    let table: &Table = match &value.value {
        Value::String(from) => {
            draft.from = value.with(from.clone());
            return Some(draft);
        }
        Value::Table(table) => table,
        other => {
            report.push(
                Diagnostic::error(format!("{what} must be a source or a table"))
                    .at(&value.place, format!("this is {}", other.describe()))
                    .help(format!("as in `fields.{} = \"step.output\"`", name.value)),
            );
            return None;
        }
    };
    let before = report.errors();
    let mut options = Reader::new(what, table, &name.place);
    let from = super::options::from(&mut options, report);
    if let Some(kind) = options.choice("as", As::NAMES, report) {
        draft.kind = kind;
    }
    let kind = draft.kind.value;
    draft.labels = options.string("labels", report);
    draft.top = options.integer("top", 1..=10_000, report).map(|t| t.map(|t| t as usize));
    draft.axis = options.integer("axis", 0..=15, report).map(|a| a.map(|a| a as usize));
    let softmax = options.bool("softmax", report);
    draft.softmax = softmax.as_ref().is_some_and(|s| s.value);
    let round = options.integer("round", 0..=15, report);
    draft.round = round.as_ref().map(|r| r.value as u32);

    // What the field's kind has no use for is an error, not a silence.
    let useless: [(&str, Option<&Span>, &[As]); 5] = [
        ("labels", draft.labels.as_ref().map(|v| &v.place), &[As::Label, As::Top, As::Shares]),
        ("top", draft.top.as_ref().map(|v| &v.place), &[As::Top]),
        ("axis", draft.axis.as_ref().map(|v| &v.place), &[As::Argmax, As::Shares]),
        ("softmax", softmax.as_ref().map(|v| &v.place), &[As::Top]),
        ("round", round.as_ref().map(|v| &v.place), &[As::Values, As::Scalar, As::Top, As::Shares, As::Mean]),
    ];
    for (key, place, users) in useless {
        let Some(place) = place.filter(|_| !users.contains(&kind)) else { continue };
        let users: Vec<String> = users.iter().map(|u| format!("`as = \"{}\"`", u.name())).collect();
        report.push(
            Diagnostic::error(format!(
                "`{key}` in {} has no effect with `as = \"{}\"`",
                options.what(),
                kind.name()
            ))
            .at(place, "")
            .help(format!("it is for {}", users.join(", "))),
        );
    }
    if kind == As::Label {
        options.require(
            "labels",
            "name the file beside the model that has a label on each line: `labels = \"labels.txt\"`",
        );
    }
    options.finish(report);
    draft.from = from?;
    draft.sound = report.errors() == before;
    Some(draft)
}

impl FieldDraft {
    pub fn source(&self) -> SourceRef {
        SourceRef { from: self.from.clone(), is_list: false, labels: self.labels.clone() }
    }
}

/// The members of a JSON object, without its braces.
pub fn write_members(fields: &[Field], inputs: &[Input], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    for (index, (field, input)) in fields.iter().zip(inputs).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(&field.name, out);
        out.push(b':');
        field.write_json(input, out)?;
    }
    Ok(())
}
