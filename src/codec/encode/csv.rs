//! `format = "csv"`: the named fields as columns, one row an item or an element of a list; offline with the item and the
//! models that served it. What is absent leaves its cells empty.
//!
//! A field that has several numbers takes several columns: `box_0, box_1, …` for values and shares,
//! `surface_1, surface_1_score, surface_2, …` for the top classes, `surface_gravel, …` for the scores of all.

use crate::codec::classes::NO_CLASS;
use crate::codec::fields::columns::{are_of, of_scores, of_size, refuse_twice};
use crate::codec::fields::draft::BoundField;
use crate::codec::fields::number::numbers;
use crate::codec::fields::{self, Answer, As, Field, RowsOf, draft};
use crate::codec::options;
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{
    Bound, Draft, Encode, EncodeError, Format, Given, Input, Labels, Origin, RowContext, Rows,
};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::Tensor;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct CsvEncode {
    /// The list for each of whose elements there is a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<RowsOf>,
    /// The fields, each with the names of its columns.
    fields: Vec<(Field, Vec<String>)>,
}

/// Columns that one field may take.
const MAX_COLUMNS: usize = 1024;

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::table(options, false, report, make))
}

fn make(
    what: &str,
    each: Option<RowsOf>,
    fields: Vec<BoundField<'_>>,
    report: &mut Report,
) -> Option<Arc<dyn Encode>> {
    let before = report.errors();
    let mut taken = BTreeSet::new();
    let mut with_columns = vec![];
    for BoundField { field, draft, bound, .. } in fields {
        let columns = match columns(&field, &bound) {
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
        refuse_twice(what, draft, names, &mut taken, report);
        with_columns.push((field, columns));
    }
    (report.errors() == before).then(|| Arc::new(CsvEncode { each, fields: with_columns }) as Arc<dyn Encode>)
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
        As::Label if field.stored && field.count != Some(1) => several(field.count),
        As::Values | As::Shares => several(field.count),
        As::Scores => {
            let labels = bound.lines.as_ref().filter(|labels| labels.len() <= MAX_COLUMNS);
            labels
                .map(|labels| of_scores(name, labels))
                .ok_or_else(|| format!("a column for each label is wanted, {MAX_COLUMNS} at most"))
        }
        As::Top => {
            Ok((1..=field.top).flat_map(|i| [format!("{name}_{i}"), format!("{name}_{i}_score")]).collect())
        }
        As::Argmax => match bound.ty.dims.as_deref() {
            Some([_]) => Ok(vec![name.clone()]),
            _ => Err(format!("`{}` is {}, which is one class for each position", bound.from.value, bound.ty)),
        },
        As::Size => Ok(of_size(name)),
        As::Scalar | As::Source | As::Label | As::Mean => Ok(vec![name.clone()]),
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
        for element in RowsOf::elements(self.each.as_ref(), inputs) {
            out.extend(record(self.cells(inputs, &element)?)?);
        }
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

    fn of_item(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError> {
        let mut out = vec![];
        for element in RowsOf::elements(self.each.as_ref(), inputs) {
            let mut cells = vec![context.item.to_owned()];
            cells.extend(self.cells(inputs, &element)?);
            cells.push(context.models.to_owned());
            out.extend(record(cells)?);
        }
        Ok(out)
    }
}

impl CsvEncode {
    fn names(&self) -> Vec<String> {
        self.fields.iter().flat_map(|(_, columns)| columns.iter().cloned()).collect()
    }

    /// The cells of the element at `path`.
    fn cells(&self, inputs: &[Input], path: &[usize]) -> Result<Vec<String>, EncodeError> {
        let mut cells = vec![];
        for (field, columns) in &self.fields {
            let before = cells.len();
            let input = field.input(inputs)?;
            match fields::at(&input.given, path) {
                Given::Absent => cells.resize(before + columns.len(), String::new()),
                Given::One(tensor) => write(field, columns, tensor, input.labels.as_ref(), &mut cells)?,
                Given::Length(_) | Given::Each(_) => {}
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

/// Adds the cells of one value.
fn write(
    field: &Field,
    columns: &[String],
    tensor: &Tensor,
    labels: Option<&Labels>,
    cells: &mut Vec<String>,
) -> Result<(), EncodeError> {
    let before = cells.len();
    match field.answer(tensor, labels)? {
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
        Answer::Map(map, labels) => cells.extend(map.classes.iter().map(|class| match *class {
            NO_CLASS => String::new(),
            class => fields::label(labels.as_ref(), class as usize).into_owned(),
        })),
        Answer::Scores(scores, labels) => {
            are_of(field, columns, labels.as_ref())?;
            cells.extend(scores.into_iter().map(|score| score.rounded(field.round).cell()));
        }
        Answer::Shares(shares, _) => {
            cells.extend(shares.into_iter().map(|s| fields::Number::F64(s).rounded(field.round).cell()));
        }
    }
    Ok(())
}

/// Writes one line, quoted where it must be, with its end.
fn record(cells: Vec<String>) -> Result<Vec<u8>, EncodeError> {
    let mut writer = csv::WriterBuilder::new().from_writer(vec![]);
    writer.write_record(&cells).map_err(|error| EncodeError::Unforeseen(error.to_string()))?;
    writer.into_inner().map_err(|error| EncodeError::Unforeseen(error.to_string()))
}
