//! Parquet tables, and the rows that they are made of.
//!
//! A parquet file cannot be added to, so rows are gathered first: a line of JSON that names the columns,
//! then each row with its length before it. [`write_table`] makes a table of that, [`read_table`] the
//! same bytes of a table.

mod chunk;

use chunk::Chunk;
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::types::Type;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    /// Whether a row has any number of values.
    pub list: bool,
    /// Whether every row has a value.
    pub required: bool,
    /// Lists around it, each within the one before, any of which may be absent, as may what is in the innermost.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lists: usize,
    /// Whether the list of its own may be absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maybe: bool,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Column {
    /// A column of one value in a row, or where it is a `list`, of any number.
    pub fn new(name: impl Into<String>, kind: ColumnType, list: bool) -> Self {
        Self { name: name.into(), kind, list, required: false, lists: 0, maybe: false }
    }

    /// Whether each of the lists that a value lies in may be absent, the outermost first.
    fn levels(&self) -> Vec<bool> {
        let mut levels = vec![true; self.lists];
        levels.extend(self.list.then_some(self.maybe || self.lists > 0));
        levels
    }

    /// Whether the innermost value may be absent.
    fn is_nullable(&self) -> bool {
        !self.list && !self.required
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Bool,
    Int,
    Float,
    Double,
    Text,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f32),
    Double(f64),
    Text(String),
    List(Vec<Cell>),
}

/// A row group holds so many rows, or so many bytes of them.
const GROUP_ROWS: usize = 64 << 10;
const GROUP_BYTES: usize = 64 << 20;

/// No row is longer.
const MAX_ROW: usize = 1 << 30;

/// The bytes before the first row: the columns, as a line of JSON.
pub fn header(columns: &[Column]) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(columns)?;
    line.push(b'\n');
    Ok(line)
}

/// The bytes of one row, whose cells are in the order of the columns. One that is too long to be read back is an error.
pub fn row(cells: &[Cell]) -> io::Result<Vec<u8>> {
    let mut out = vec![0; 4];
    cells.iter().for_each(|cell| put(cell, &mut out));
    let length = out.len() - 4;
    if length > MAX_ROW {
        return Err(io::Error::other(format!("the row has {length} bytes, more than {MAX_ROW}")));
    }
    out[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(out)
}

fn put(cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.push(0),
        Cell::Bool(v) => out.extend([1, (*v).into()]),
        Cell::Int(v) => {
            out.push(2);
            out.extend(v.to_le_bytes());
        }
        Cell::Float(v) => {
            out.push(3);
            out.extend(v.to_le_bytes());
        }
        Cell::Double(v) => {
            out.push(4);
            out.extend(v.to_le_bytes());
        }
        Cell::Text(v) => {
            out.push(5);
            out.extend((v.len() as u32).to_le_bytes());
            out.extend(v.as_bytes());
        }
        Cell::List(cells) => {
            out.push(6);
            out.extend((cells.len() as u32).to_le_bytes());
            cells.iter().for_each(|cell| put(cell, out));
        }
    }
}

fn take(from: &mut &[u8]) -> io::Result<Cell> {
    fn bytes<const N: usize>(from: &mut &[u8]) -> io::Result<[u8; N]> {
        let (head, rest) = from.split_first_chunk().ok_or_else(broken)?;
        *from = rest;
        Ok(*head)
    }
    let [tag] = bytes(from)?;
    Ok(match tag {
        0 => Cell::Null,
        1 => Cell::Bool(bytes(from)? != [0]),
        2 => Cell::Int(i64::from_le_bytes(bytes(from)?)),
        3 => Cell::Float(f32::from_le_bytes(bytes(from)?)),
        4 => Cell::Double(f64::from_le_bytes(bytes(from)?)),
        5 => {
            let length = u32::from_le_bytes(bytes(from)?) as usize;
            let (text, rest) = from.split_at_checked(length).ok_or_else(broken)?;
            *from = rest;
            Cell::Text(String::from_utf8(text.to_owned()).map_err(|_| broken())?)
        }
        6 => {
            let count = u32::from_le_bytes(bytes(from)?);
            Cell::List((0..count).map(|_| take(from)).collect::<io::Result<_>>()?)
        }
        _ => return Err(broken()),
    })
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the gathered rows are not whole")
}

/// The columns, from the front of gathered rows.
pub fn read_header(from: &mut impl BufRead) -> io::Result<Vec<Column>> {
    let mut line = vec![];
    from.read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(|_| broken())
}

/// The next row as it stands, its length before it, and its first cell; `None` at the end.
pub fn read_row(from: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, Cell)>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut row = vec![0; 4];
    from.read_exact(&mut row)?;
    let length = row.first_chunk().map_or(0, |head| u32::from_le_bytes(*head) as usize);
    if length > MAX_ROW {
        return Err(broken());
    }
    row.resize(4 + length, 0);
    from.read_exact(&mut row[4..])?;
    let first = take(&mut &row[4..])?;
    Ok(Some((row, first)))
}

// --- to a table

/// Makes a table of gathered rows.
pub fn write_table<W: Write + Send>(from: &mut impl BufRead, out: W) -> io::Result<()> {
    let columns = read_header(from)?;
    let properties = WriterProperties::builder().set_created_by("rserve".to_owned()).build();
    let mut writer = SerializedFileWriter::new(out, schema(&columns)?, Arc::new(properties)).map_err(of)?;
    loop {
        let mut group: Vec<Chunk> = columns.iter().map(Chunk::new).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < GROUP_ROWS && bytes < GROUP_BYTES {
            let Some((row, _)) = read_row(from)? else { break };
            let mut cells = &row[4..];
            for chunk in &mut group {
                chunk.push(take(&mut cells)?)?;
            }
            rows += 1;
            bytes += row.len();
        }
        if rows == 0 {
            break;
        }
        let mut to = writer.next_row_group().map_err(of)?;
        group.into_iter().try_for_each(|chunk| chunk.write(&mut to))?;
        to.close().map_err(of)?;
    }
    writer.close().map(|_| ()).map_err(of)
}

fn of(error: ParquetError) -> io::Error {
    match error {
        // So that a full disk is known as one.
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

fn schema(columns: &[Column]) -> io::Result<Arc<Type>> {
    let fields = columns.iter().map(|column| nested(&column.name, column, &column.levels()));
    let fields = fields.collect::<Result<_, ParquetError>>().map_err(of)?;
    Type::group_type_builder("rows").with_fields(fields).build().map(Arc::new).map_err(of)
}

/// The type of a column below some of its lists.
fn nested(name: &str, column: &Column, levels: &[bool]) -> Result<Arc<Type>, ParquetError> {
    let repetition = |maybe: bool| if maybe { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let Some((maybe, rest)) = levels.split_first() else {
        let (physical, text) = match column.kind {
            ColumnType::Bool => (Physical::BOOLEAN, false),
            ColumnType::Int => (Physical::INT64, false),
            ColumnType::Float => (Physical::FLOAT, false),
            ColumnType::Double => (Physical::DOUBLE, false),
            ColumnType::Text => (Physical::BYTE_ARRAY, true),
        };
        let leaf = Type::primitive_type_builder(name, physical);
        let leaf = leaf.with_repetition(repetition(column.is_nullable()));
        return leaf.with_logical_type(text.then_some(LogicalType::String)).build().map(Arc::new);
    };
    let repeated = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![nested("element", column, rest)?])
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(repetition(*maybe))
        .with_converted_type(ConvertedType::LIST)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(repeated)])
        .build()
        .map(Arc::new)
}

// --- from a table

/// Writes the rows of a table that [`write_table`] made as they were gathered.
pub fn read_table(from: File, out: &mut impl Write) -> io::Result<()> {
    let reader = SerializedFileReader::new(from).map_err(of)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns = schema.get_fields().iter().map(|field| column(field)).collect::<Option<Vec<_>>>();
    let columns = columns.ok_or_else(|| io::Error::other("it is no table that rserve wrote"))?;
    out.write_all(&header(&columns)?)?;
    for found in reader.get_row_iter(None).map_err(of)? {
        let found = found.map_err(of)?;
        let cells = found.get_column_iter().map(|(_, field)| cell(field)).collect::<Option<Vec<_>>>();
        out.write_all(&row(&cells.ok_or_else(broken)?)?)?;
    }
    Ok(())
}

fn column(field: &Type) -> Option<Column> {
    let maybe = |field: &Type| field.get_basic_info().repetition() == Repetition::OPTIONAL;
    let (mut leaf, mut levels) = (field, vec![]);
    while leaf.is_group() {
        levels.push(maybe(leaf));
        leaf = leaf.get_fields().first()?.get_fields().first()?;
    }
    let kind = match leaf.get_physical_type() {
        Physical::BOOLEAN => ColumnType::Bool,
        Physical::INT64 => ColumnType::Int,
        Physical::FLOAT => ColumnType::Float,
        Physical::DOUBLE => ColumnType::Double,
        Physical::BYTE_ARRAY => ColumnType::Text,
        _ => return None,
    };
    // What is in a list of its own is always there.
    let list = !levels.is_empty() && !maybe(leaf);
    let lists = levels.len() - usize::from(list);
    Some(Column {
        lists,
        required: levels.is_empty() && !maybe(leaf),
        maybe: list && lists == 0 && levels == [true],
        ..Column::new(field.name(), kind, list)
    })
}

fn cell(field: &Field) -> Option<Cell> {
    Some(match field {
        Field::Null => Cell::Null,
        Field::Bool(v) => Cell::Bool(*v),
        Field::Long(v) => Cell::Int(*v),
        Field::Float(v) => Cell::Float(*v),
        Field::Double(v) => Cell::Double(*v),
        Field::Str(v) => Cell::Text(v.clone()),
        Field::ListInternal(list) => Cell::List(list.elements().iter().map(cell).collect::<Option<_>>()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
