//! `format = "csv"`: the named fields as columns, one row an item; offline with the item and the models
//! that served it.
//!
//! A field that has several numbers takes several columns: `box_0, box_1, …` for values and shares,
//! `surface_1, surface_1_score, surface_2, …` for the top classes.

use crate::codec::classes::NO_CLASS;
use crate::codec::fields::draft::BoundField;
use crate::codec::fields::number::numbers;
use crate::codec::fields::{self, Answer, As, Field, draft};
use crate::codec::options;
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{Bound, Draft, Encode, EncodeError, Format, Input, Origin, RowContext, Rows};
use crate::spec;
use crate::spec::document::Reader;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct CsvEncode {
    /// The fields, each with the names of its columns.
    fields: Vec<(Field, Vec<String>)>,
}

/// Columns that one field may take.
const MAX_COLUMNS: usize = 1024;

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::table(options, report, make))
}

fn make(what: &str, fields: Vec<BoundField<'_>>, report: &mut Report) -> Option<Arc<dyn Encode>> {
    let before = report.errors();
    let mut taken = BTreeSet::new();
    let mut with_columns = vec![];
    for BoundField { field, draft, bound } in fields {
        let columns = match columns(&field, bound) {
            Ok(columns) => columns,
            Err(why) => {
                let mut d =
                    Diagnostic::error(format!("`fields.{}` of {what} does not fit a table", field.name))
                        .at(&bound.from.place, why);
                if let Some(note) = &bound.note {
                    d = d.note(note.clone());
                }
                report.push(d.help(
                    "take a summary such as `as = \"mean\"`, or write it with `format = \"parquet\"`, \"jsonl\" or \
                     \"npy\"",
                ));
                continue;
            }
        };
        let names = columns.iter().map(String::as_str);
        draft::refuse_columns_twice(what, draft, names, &mut taken, report);
        with_columns.push((field, columns));
    }
    (report.errors() == before).then(|| Arc::new(CsvEncode { fields: with_columns }) as Arc<dyn Encode>)
}

/// The columns of a field, or why it has none.
fn columns(field: &Field, bound: &Bound) -> Result<Vec<String>, String> {
    let name = &field.name;
    let several = |count: Option<usize>| match count {
        Some(count @ 0..=MAX_COLUMNS) => Ok((0..count).map(|i| format!("{name}_{i}")).collect()),
        Some(count) => Err(format!("{count} values, more than {MAX_COLUMNS} columns")),
        None => Err(format!("`{}` is {}: how many values that is, is not known", bound.from.value, bound.ty)),
    };
    match field.kind {
        As::Values if field.count == Some(1) => Ok(vec![name.clone()]),
        As::Values | As::Shares => several(field.count),
        As::Top => {
            Ok((1..=field.top).flat_map(|i| [format!("{name}_{i}"), format!("{name}_{i}_score")]).collect())
        }
        As::Argmax => match bound.ty.dims.as_deref() {
            Some([_]) => Ok(vec![name.clone()]),
            _ => Err(format!("`{}` is {}, which is one class for each position", bound.from.value, bound.ty)),
        },
        As::Scalar | As::Label | As::Mean => Ok(vec![name.clone()]),
    }
}

impl Encode for CsvEncode {
    fn about(&self) -> Format {
        Format { name: "csv", media_type: "text/csv", extension: "csv" }
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let mut out = record(self.names())?;
        out.extend(record(self.cells(inputs)?)?);
        Ok(out)
    }

    fn rows(&self) -> Option<&dyn Rows> {
        Some(self)
    }
}

impl Rows for CsvEncode {
    fn header(&self) -> Result<Vec<u8>, EncodeError> {
        let mut names = vec!["item".to_owned()];
        names.extend(self.names());
        names.push("models".to_owned());
        record(names)
    }

    fn row(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError> {
        let mut cells = vec![context.item.to_owned()];
        cells.extend(self.cells(inputs)?);
        cells.push(context.models.to_owned());
        record(cells)
    }
}

impl CsvEncode {
    fn names(&self) -> Vec<String> {
        self.fields.iter().flat_map(|(_, columns)| columns.iter().cloned()).collect()
    }

    fn cells(&self, inputs: &[Input]) -> Result<Vec<String>, EncodeError> {
        let mut cells = vec![];
        for ((field, columns), input) in self.fields.iter().zip(inputs) {
            let before = cells.len();
            match field.answer(input)? {
                Answer::Values(tensor) if tensor.strings().is_some() => {
                    cells.extend(tensor.strings().unwrap_or_default().iter().map(|s| s.to_string()));
                }
                Answer::Text(text) => cells.push(text.to_string()),
                Answer::Values(tensor) => {
                    cells.extend(numbers(&tensor).map(|n| n.rounded(field.round).cell()));
                }
                Answer::One(number) => cells.push(number.rounded(field.round).cell()),
                Answer::Class(class, labels) => {
                    let label = |class| fields::label(labels.as_ref(), class).into_owned();
                    cells.push(class.map_or(String::new(), label));
                }
                Answer::Ranked(ranked, labels) => {
                    for (class, score) in ranked {
                        cells.push(fields::label(labels.as_ref(), class).into_owned());
                        cells.push(score.rounded(field.round).cell());
                    }
                    // Fewer classes than were foreseen leave cells empty.
                    cells.resize((before + columns.len()).max(cells.len()), String::new());
                }
                Answer::Map(map) => cells.extend(map.classes.iter().map(|class| match *class {
                    NO_CLASS => String::new(),
                    class => class.to_string(),
                })),
                Answer::Shares(shares, _) => cells
                    .extend(shares.into_iter().map(|s| fields::Number::F64(s).rounded(field.round).cell())),
            }
            let got = cells.len() - before;
            if got != columns.len() {
                return Err(EncodeError::Unforeseen(format!(
                    "field `{}`: the model gave {:?}, {got} values for {} columns",
                    field.name,
                    input.given,
                    columns.len()
                )));
            }
        }
        Ok(cells)
    }
}

/// Writes one line, quoted where it must be, with its end.
fn record(cells: Vec<String>) -> Result<Vec<u8>, EncodeError> {
    let mut writer = csv::WriterBuilder::new().from_writer(vec![]);
    writer.write_record(&cells).map_err(|error| EncodeError::Unforeseen(error.to_string()))?;
    writer.into_inner().map_err(|error| EncodeError::Unforeseen(error.to_string()))
}
