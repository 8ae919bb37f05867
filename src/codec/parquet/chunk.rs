//! One column of a row group, as parquet keeps it: the values, and which of the lists around each is there and goes on.

use super::{Cell, Column, ColumnType, broken, of};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::file::writer::{SerializedColumnWriter, SerializedRowGroupWriter};
use std::io::{self, Write};

pub struct Chunk {
    kind: ColumnType,
    /// Whether each of the lists that a value lies in may be absent, the outermost first.
    levels: Vec<bool>,
    /// Whether a value may be absent within them.
    nullable: bool,
    values: Vec<Cell>,
    /// For each value, or what is absent in its place, how much of the way to it is there.
    definitions: Vec<i16>,
    /// For each of them the list that it goes on with, 0 where a row begins.
    repetitions: Vec<i16>,
}

impl Chunk {
    pub fn new(column: &Column) -> Self {
        Self {
            kind: column.kind,
            levels: column.levels(),
            nullable: column.is_nullable(),
            values: vec![],
            definitions: vec![],
            repetitions: vec![],
        }
    }

    /// Adds a row's cell.
    pub fn push(&mut self, cell: Cell) -> io::Result<()> {
        self.place(cell, 0, 0, 0)
    }

    /// Adds what is in so many lists, where so much of the way is there, going on with the list `repeats`.
    fn place(&mut self, cell: Cell, level: usize, there: i16, repeats: i16) -> io::Result<()> {
        let maybe = self.levels.get(level).copied();
        match (cell, maybe) {
            (Cell::Null, maybe) if maybe.unwrap_or(self.nullable) => self.mark(there, repeats),
            (Cell::List(cells), Some(maybe)) => {
                let there = there + i16::from(maybe);
                if cells.is_empty() {
                    self.mark(there, repeats);
                }
                for (index, cell) in cells.into_iter().enumerate() {
                    let repeats = if index == 0 { repeats } else { level as i16 + 1 };
                    self.place(cell, level + 1, there + 1, repeats)?;
                }
            }
            (Cell::Null | Cell::List(_), _) | (_, Some(_)) => return Err(broken()),
            (value, None) => {
                self.mark(there + i16::from(self.nullable), repeats);
                self.values.push(value);
            }
        }
        Ok(())
    }

    fn mark(&mut self, definition: i16, repetition: i16) {
        self.definitions.push(definition);
        self.repetitions.push(repetition);
    }

    pub fn write<W: Write + Send>(self, to: &mut SerializedRowGroupWriter<'_, W>) -> io::Result<()> {
        let Some(mut column) = to.next_column().map_err(of)? else { return Err(broken()) };
        match self.kind {
            ColumnType::Bool => self.batch::<BoolType>(&mut column, |cell| match cell {
                Cell::Bool(v) => Some(v),
                _ => None,
            }),
            ColumnType::Int => self.batch::<Int64Type>(&mut column, |cell| match cell {
                Cell::Int(v) => Some(v),
                _ => None,
            }),
            ColumnType::Float => self.batch::<FloatType>(&mut column, |cell| match cell {
                Cell::Float(v) => Some(v),
                _ => None,
            }),
            ColumnType::Double => self.batch::<DoubleType>(&mut column, |cell| match cell {
                Cell::Double(v) => Some(v),
                _ => None,
            }),
            ColumnType::Text => self.batch::<ByteArrayType>(&mut column, |cell| match cell {
                Cell::Text(v) => Some(ByteArray::from(v.into_bytes())),
                _ => None,
            }),
        }?;
        column.close().map_err(of)
    }

    fn batch<T: DataType>(
        self,
        column: &mut SerializedColumnWriter<'_>,
        value: impl Fn(Cell) -> Option<T::T>,
    ) -> io::Result<()> {
        let values: Vec<T::T> =
            self.values.into_iter().map(value).collect::<Option<_>>().ok_or_else(broken)?;
        let in_lists = !self.levels.is_empty();
        let definitions = (self.nullable || in_lists).then_some(self.definitions.as_slice());
        let repetitions = in_lists.then_some(self.repetitions.as_slice());
        column.typed::<T>().write_batch(&values, definitions, repetitions).map(|_| ()).map_err(of)
    }
}
