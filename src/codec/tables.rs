//! Tables as files: how the rows that an encode wrote become one, and are rows again.
//!
//! A run adds rows to a file until all are there, and a merge joins the rows of several. Most formats are
//! their rows, one after the other; one that ends in a footer gathers them first and is then made of them.
//! A new format of tables is one file and one line in `TABLES`.

mod csv;
mod lines;
mod parquet;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};

/// A format of tables.
pub trait Table: Sync {
    /// Whether the table is another file than its rows as they were gathered.
    fn is_sealed(&self) -> bool {
        false
    }
    /// Makes the table of the gathered rows. Called where [`Table::is_sealed`] only.
    fn seal(&self, _gathered: File, _table: File) -> io::Result<()> {
        Err(io::Error::other("the rows are the table"))
    }
    /// Writes the rows of a table as they were gathered. Called where [`Table::is_sealed`] only.
    fn unseal(&self, _table: File, _gathered: &mut dyn Write) -> io::Result<()> {
        Err(io::Error::other("the rows are the table"))
    }
    /// Rows, or the header, with each text that a spreadsheet would take for a formula marked as text.
    fn for_spreadsheets<'a>(&self, rows: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
        Ok(rows.into())
    }
    /// Goes through the gathered rows.
    fn rows(&self, gathered: File) -> io::Result<Box<dyn TableRows>>;
}

/// The gathered rows of a table.
pub trait TableRows {
    /// What stands before the first row, its end included.
    fn header(&self) -> &[u8];
    /// The item of the next row, and the row as it stands; `None` at the end.
    fn next(&mut self) -> io::Result<Option<(String, Vec<u8>)>>;
}

/// The formats of tables by the extension of their files.
const TABLES: &[(&str, &dyn Table)] =
    &[("csv", &csv::Csv), ("jsonl", &lines::JsonLines), ("parquet", &parquet::Parquet)];

/// The format of the table of this name, "rows.csv"; lines of JSON where no format has the extension.
pub fn table(name: &str) -> &'static dyn Table {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    TABLES.iter().find(|(known, _)| *known == extension).map_or(&lines::JsonLines, |(_, table)| *table)
}
