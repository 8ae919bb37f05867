//! `format = "parquet"`: the named fields as typed columns, one row an item; offline with the item and
//! the models that served it.
//!
//! A field that has several numbers is a list, but for the top classes: `surface_1, surface_1_score, …`.

use crate::codec::classes::NO_CLASS;
use crate::codec::fields::draft::BoundField;
use crate::codec::fields::number::numbers;
use crate::codec::fields::{self, Answer, As, Field, Number, draft};
use crate::codec::options;
use crate::codec::parquet::{self, Cell, Column, ColumnType};
use crate::diagnostic::Report;
use crate::plan::{Draft, Encode, EncodeError, Format, Input, Origin, RowContext, Rows};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::DType;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct ParquetEncode {
    /// The fields, each with its columns.
    fields: Vec<(Field, Vec<Column>)>,
}

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::table(options, report, make))
}

fn make(what: &str, fields: Vec<BoundField<'_>>, report: &mut Report) -> Option<Arc<dyn Encode>> {
    let before = report.errors();
    let mut taken = BTreeSet::new();
    let mut with_columns = vec![];
    for BoundField { field, draft, bound } in fields {
        let columns = columns(&field, bound.ty.dtype);
        let names = columns.iter().map(|column| column.name.as_str());
        draft::refuse_columns_twice(what, draft, names, &mut taken, report);
        with_columns.push((field, columns));
    }
    (report.errors() == before).then(|| Arc::new(ParquetEncode { fields: with_columns }) as Arc<dyn Encode>)
}

fn columns(field: &Field, dtype: Option<DType>) -> Vec<Column> {
    let column = |name: String, kind, list| Column { name, kind, list, required: false };
    let number = match dtype {
        Some(DType::F32 | DType::F16 | DType::BF16) if field.round.is_none() => ColumnType::Float,
        Some(DType::Bool) => ColumnType::Bool,
        Some(DType::String) => ColumnType::Text,
        Some(DType::F32 | DType::F16 | DType::BF16 | DType::F64) | None => ColumnType::Double,
        Some(_) => ColumnType::Int,
    };
    let class = if field.labelled { ColumnType::Text } else { ColumnType::Int };
    let name = field.name.clone();
    match field.kind {
        As::Values if field.count == Some(1) => vec![column(name, number, false)],
        As::Values => vec![column(name, number, true)],
        As::Scalar => vec![column(name, number, false)],
        As::Mean => vec![column(name, ColumnType::Double, false)],
        As::Shares => vec![column(name, ColumnType::Double, true)],
        // One class, or one for each position.
        As::Argmax => vec![column(name, ColumnType::Int, true)],
        As::Label => vec![column(name, class, false)],
        As::Top => (1..=field.top)
            .flat_map(|i| {
                let score = if field.softmax && field.round.is_none() { ColumnType::Float } else { number };
                [
                    column(format!("{name}_{i}"), class, false),
                    column(format!("{name}_{i}_score"), score, false),
                ]
            })
            .collect(),
    }
}

impl Encode for ParquetEncode {
    fn about(&self) -> Format {
        Format { name: "parquet", media_type: "application/vnd.apache.parquet", extension: "parquet" }
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let columns: Vec<Column> = self.columns().cloned().collect();
        let failed = |error: std::io::Error| EncodeError::Unforeseen(error.to_string());
        let header = parquet::header(&columns).map_err(failed)?;
        let gathered = [header, parquet::row(&self.cells(inputs)?).map_err(failed)?].concat();
        let mut table = vec![];
        parquet::write_table(&mut gathered.as_slice(), &mut table).map_err(failed)?;
        Ok(table)
    }

    fn rows(&self) -> Option<&dyn Rows> {
        Some(self)
    }
}

impl Rows for ParquetEncode {
    fn header(&self) -> Result<Vec<u8>, EncodeError> {
        let text =
            |name: &str| Column { name: name.into(), kind: ColumnType::Text, list: false, required: true };
        let mut columns = vec![text("item")];
        columns.extend(self.columns().cloned());
        columns.push(text("models"));
        parquet::header(&columns).map_err(|error| EncodeError::Unforeseen(error.to_string()))
    }

    fn row(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError> {
        let mut cells = vec![Cell::Text(context.item.to_owned())];
        cells.extend(self.cells(inputs)?);
        cells.push(Cell::Text(context.models.to_owned()));
        parquet::row(&cells).map_err(|error| EncodeError::Unforeseen(error.to_string()))
    }
}

impl ParquetEncode {
    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.fields.iter().flat_map(|(_, columns)| columns)
    }

    fn cells(&self, inputs: &[Input]) -> Result<Vec<Cell>, EncodeError> {
        let mut cells = vec![];
        for ((field, columns), input) in self.fields.iter().zip(inputs) {
            let before = cells.len();
            answer(field, columns, input, &mut cells)?;
            // Fewer classes than were foreseen leave cells empty.
            cells.resize(before + columns.len(), Cell::Null);
        }
        Ok(cells)
    }
}

fn answer(
    field: &Field,
    columns: &[Column],
    input: &Input,
    cells: &mut Vec<Cell>,
) -> Result<(), EncodeError> {
    let Some(first) = columns.first() else { return Ok(()) };
    let number = |n: Number| cell(n.rounded(field.round), first.kind, field);
    let class = |class: usize, labels| match columns.first().map(|c| c.kind) {
        Some(ColumnType::Text) => Cell::Text(fields::label(labels, class).into_owned()),
        _ => Cell::Int(class as i64),
    };
    match field.answer(input)? {
        Answer::Values(tensor) => {
            let mut values = match tensor.strings() {
                Some(strings) => strings.iter().map(|s| Cell::Text(s.to_string())).collect(),
                None => numbers(&tensor).map(number).collect::<Result<Vec<_>, _>>()?,
            };
            cells.push(match (first.list, values.len()) {
                (true, _) => Cell::List(values),
                (false, 1) => values.remove(0),
                (false, count) => {
                    let name = &field.name;
                    return Err(EncodeError::Unforeseen(format!(
                        "field `{name}`: {count} values, where 1 is foreseen"
                    )));
                }
            });
        }
        Answer::One(n) => cells.push(number(n)?),
        Answer::Text(text) => cells.push(Cell::Text(text.to_string())),
        Answer::Class(index, labels) => {
            cells.push(index.map_or(Cell::Null, |index| class(index, labels.as_ref())));
        }
        Answer::Ranked(ranked, labels) => {
            for ((index, score), column) in ranked.into_iter().zip(columns.iter().skip(1).step_by(2)) {
                cells.push(class(index, labels.as_ref()));
                cells.push(cell(score.rounded(field.round), column.kind, field)?);
            }
        }
        Answer::Map(map) => {
            let class = |class: &u32| if *class == NO_CLASS { -1 } else { i64::from(*class) };
            cells.push(Cell::List(map.classes.iter().map(|c| Cell::Int(class(c))).collect()));
        }
        Answer::Shares(shares, _) => {
            let shares = shares.into_iter().map(|s| number(Number::F64(s)));
            cells.push(Cell::List(shares.collect::<Result<_, _>>()?));
        }
    }
    Ok(())
}

fn cell(number: Number, kind: ColumnType, field: &Field) -> Result<Cell, EncodeError> {
    let unforeseen =
        || EncodeError::Unforeseen(format!("field `{}`: {number:?} does not fit its column", field.name));
    let double = |v: f64| match kind {
        ColumnType::Double => Ok(Cell::Double(v)),
        ColumnType::Float => Ok(Cell::Float(v as f32)),
        _ => Err(unforeseen()),
    };
    match number {
        Number::F32(v) if kind == ColumnType::Float => Ok(Cell::Float(v)),
        Number::F32(v) => double(v.into()),
        Number::F64(v) => double(v),
        Number::Signed(v) if kind == ColumnType::Int => Ok(Cell::Int(v)),
        Number::Signed(v) => double(v as f64),
        Number::Unsigned(v) if kind == ColumnType::Int => {
            i64::try_from(v).map(Cell::Int).map_err(|_| unforeseen())
        }
        Number::Unsigned(v) => double(v as f64),
        Number::Bool(v) if kind == ColumnType::Bool => Ok(Cell::Bool(v)),
        Number::Bool(v) => double(v.into()),
    }
}
