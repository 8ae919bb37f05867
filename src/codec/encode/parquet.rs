//! `format = "parquet"`: the named fields as typed columns, one row an item or an element of a list; offline with the item
//! and the models that served it.
//!
//! A field that has several numbers is a list, but for the top classes, `surface_1, surface_1_score, …`, and the scores of
//! all, `surface_gravel, …`. What is there for each element of a list is a list too, and what is absent null.

use crate::codec::classes::NO_CLASS;
use crate::codec::fields::columns::{are_of, of_scores, of_size, refuse_twice};
use crate::codec::fields::draft::BoundField;
use crate::codec::fields::number::numbers;
use crate::codec::fields::{self, Answer, As, Field, Number, RowsOf, draft};
use crate::codec::options;
use crate::codec::parquet::{self, Cell, Column, ColumnType};
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{
    Bound, Draft, Encode, EncodeError, Format, Given, Input, Labels, Origin, RowContext, Rows,
};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct ParquetEncode {
    /// The list for each of whose elements there is a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<RowsOf>,
    /// The fields, each with its columns.
    fields: Vec<(Field, Vec<Column>)>,
}

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::table(options, true, report, make))
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
    for BoundField { field, draft, bound, lists } in fields {
        let mut columns = columns(&field, &bound);
        if columns.is_empty() {
            report.push(
                Diagnostic::error(format!("`fields.{}` of {what} has no columns", field.name))
                    .at(&bound.from.place, "")
                    .help("`as = \"values\"` writes one column with a list"),
            );
        }
        for column in &mut columns {
            column.lists += lists;
            column.maybe = column.list && column.lists == 0 && bound.presence.maybe;
        }
        let names = columns.iter().map(|column| column.name.as_str());
        refuse_twice(what, draft, names, &mut taken, report);
        with_columns.push((field, columns));
    }
    (report.errors() == before)
        .then(|| Arc::new(ParquetEncode { each, fields: with_columns }) as Arc<dyn Encode>)
}

/// The columns of a field where it has one value in a row.
fn columns(field: &Field, bound: &Bound) -> Vec<Column> {
    let number = match bound.ty.dtype {
        Some(DType::F32 | DType::F16 | DType::BF16) if field.round.is_none() => ColumnType::Float,
        Some(DType::Bool) => ColumnType::Bool,
        Some(DType::String) => ColumnType::Text,
        Some(DType::F32 | DType::F16 | DType::BF16 | DType::F64) | None => ColumnType::Double,
        Some(_) => ColumnType::Int,
    };
    let score = if field.softmax && field.round.is_none() { ColumnType::Float } else { number };
    let class = if field.labelled { ColumnType::Text } else { ColumnType::Int };
    let name = field.name.as_str();
    let one = |kind| vec![Column::new(name, kind, false)];
    let several = |kind| vec![Column::new(name, kind, true)];
    // In the place of a class that there is none of is null.
    let named = || vec![Column { lists: 1, ..Column::new(name, ColumnType::Text, false) }];
    match field.kind {
        As::Values if field.count == Some(1) => one(number),
        As::Values => several(number),
        As::Scalar | As::Source => one(number),
        As::Size => of_size(name).into_iter().map(|name| Column::new(name, number, false)).collect(),
        As::Mean => one(ColumnType::Double),
        As::Shares => several(ColumnType::Double),
        // One class, or one for each position.
        As::Argmax if field.labelled => named(),
        As::Argmax => several(ColumnType::Int),
        As::Label if field.stored && field.count != Some(1) => named(),
        As::Label => one(class),
        As::Scores => {
            let names = bound.lines.iter().flat_map(|labels| of_scores(name, labels));
            names.map(|name| Column::new(name, score, false)).collect()
        }
        As::Top => (1..=field.top)
            .flat_map(|i| {
                [
                    Column::new(format!("{name}_{i}"), class, false),
                    Column::new(format!("{name}_{i}_score"), score, false),
                ]
            })
            .collect(),
    }
}

impl Encode for ParquetEncode {
    fn grows(&self) -> u64 {
        4
    }

    fn about(&self) -> Format {
        Format { name: "parquet", media_type: "application/vnd.apache.parquet", extension: "parquet" }
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let columns: Vec<Column> = self.columns().cloned().collect();
        let failed = |error: std::io::Error| EncodeError::Unforeseen(error.to_string());
        let mut gathered = parquet::header(&columns).map_err(failed)?;
        for element in RowsOf::elements(self.each.as_ref(), inputs) {
            gathered.extend(parquet::row(&self.cells(inputs, &element)?).map_err(failed)?);
        }
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
        let text = |name: &str| Column { required: true, ..Column::new(name, ColumnType::Text, false) };
        let mut columns = vec![text("item")];
        columns.extend(self.columns().cloned());
        columns.push(text("models"));
        parquet::header(&columns).map_err(|error| EncodeError::Unforeseen(error.to_string()))
    }

    fn of_item(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError> {
        let mut rows = vec![];
        for element in RowsOf::elements(self.each.as_ref(), inputs) {
            let mut cells = vec![Cell::Text(context.item.to_owned())];
            cells.extend(self.cells(inputs, &element)?);
            cells.push(Cell::Text(context.models.to_owned()));
            let row = parquet::row(&cells).map_err(|error| EncodeError::Unforeseen(error.to_string()))?;
            rows.extend(row);
        }
        Ok(rows)
    }
}

impl ParquetEncode {
    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.fields.iter().flat_map(|(_, columns)| columns)
    }

    /// The cells of the element at `path`.
    fn cells(&self, inputs: &[Input], path: &[usize]) -> Result<Vec<Cell>, EncodeError> {
        let mut cells = vec![];
        for (field, columns) in &self.fields {
            let input = field.input(inputs)?;
            let given = fields::at(&input.given, path);
            cells.extend(nested(field, columns, given, input.labels.as_ref())?);
        }
        Ok(cells)
    }
}

/// A cell for each column of a field: of what is there for each element, a list.
fn nested(
    field: &Field,
    columns: &[Column],
    given: &Given,
    labels: Option<&Labels>,
) -> Result<Vec<Cell>, EncodeError> {
    match given {
        Given::Absent => Ok(vec![Cell::Null; columns.len()]),
        Given::One(tensor) => {
            let mut cells = vec![];
            answer(field, columns, tensor, labels, &mut cells)?;
            // Fewer classes than were foreseen leave cells empty.
            cells.resize(columns.len(), Cell::Null);
            Ok(cells)
        }
        Given::Each(elements) => {
            let mut lists = vec![Vec::with_capacity(elements.len()); columns.len()];
            for element in elements {
                let cells = nested(field, columns, element, labels)?;
                lists.iter_mut().zip(cells).for_each(|(list, cell)| list.push(cell));
            }
            Ok(lists.into_iter().map(Cell::List).collect())
        }
        Given::Length(_) => Err(EncodeError::Unforeseen(format!("field `{}` is given a list", field.name))),
    }
}

fn answer(
    field: &Field,
    columns: &[Column],
    tensor: &Tensor,
    labels: Option<&Labels>,
    cells: &mut Vec<Cell>,
) -> Result<(), EncodeError> {
    let Some(first) = columns.first() else { return Ok(()) };
    let number = |n: Number| cell(n.rounded(field.round), first.kind, field);
    let class = |class: usize, labels| match first.kind {
        ColumnType::Text => Cell::Text(fields::label(labels, class).into_owned()),
        _ => Cell::Int(class as i64),
    };
    match field.answer(tensor, labels)? {
        Answer::Values(tensor) => {
            let values = match tensor.strings() {
                Some(strings) => strings.iter().map(|s| Cell::Text(s.to_string())).collect(),
                None => numbers(&tensor).map(number).collect::<Result<Vec<_>, _>>()?,
            };
            match field.kind {
                As::Size => cells.extend(values),
                _ if first.list => cells.push(Cell::List(values)),
                _ => cells.push(only(field, values)?),
            }
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
        Answer::Scores(scores, labels) => {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            are_of(field, &names, labels.as_ref())?;
            for score in scores {
                cells.push(number(score)?);
            }
        }
        Answer::Map(map, labels) => {
            let none = if first.kind == ColumnType::Text { Cell::Null } else { Cell::Int(-1) };
            let class = |index: &u32| match *index {
                NO_CLASS => none.clone(),
                index => class(index as usize, labels.as_ref()),
            };
            let classes: Vec<Cell> = map.classes.iter().map(class).collect();
            let is_one = field.kind == As::Label && field.count == Some(1);
            cells.push(if is_one { only(field, classes)? } else { Cell::List(classes) });
        }
        Answer::Shares(shares, _) => {
            let shares = shares.into_iter().map(|s| number(Number::F64(s)));
            cells.push(Cell::List(shares.collect::<Result<_, _>>()?));
        }
    }
    Ok(())
}

/// The one of them.
fn only(field: &Field, mut values: Vec<Cell>) -> Result<Cell, EncodeError> {
    match values.len() {
        1 => Ok(values.remove(0)),
        count => Err(EncodeError::Unforeseen(format!(
            "field `{}`: {count} values, where 1 is foreseen",
            field.name
        ))),
    }
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
