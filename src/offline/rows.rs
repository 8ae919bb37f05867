//! Files whose rows are items: `.jsonl`, `.csv` and `.npy`. Read as they are needed, never whole.

mod array;
mod json;
mod quotes;
mod record;
#[cfg(test)]
mod tests;

use super::Refused;
use crate::plan::{DecodePlan, Payload};
use array::Array;
use bytes::Bytes;
use csv::ByteRecord;
use quotes::Quotes;
use record::Columns;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A line is what the online route takes as a JSON body.
    JsonLines,
    /// Columns are named as the decodes.
    Csv { delimiter: u8 },
    /// The first axis counts the items.
    Npy,
}

/// One row, not yet looked into.
pub enum Row {
    Line { text: Bytes, folder: Arc<Path> },
    Record { cells: ByteRecord, columns: Arc<Columns> },
    Slice { array: Arc<Array>, index: u64 },
}

/// The rows of a file, one after the other.
pub enum Rows {
    Lines { file: BufReader<File>, folder: Arc<Path> },
    Records { reader: Box<csv::Reader<Quotes<File>>>, columns: Arc<Columns>, first: Option<ByteRecord> },
    Slices { array: Arc<Array>, next: u64 },
}

/// The most bytes that a line or a record may have.
const MAX_ROW: u64 = 256 << 20;

impl RowFormat {
    /// Whether the file, which was named itself, holds rows: not where it is one item of a decode.
    /// `delimiter` is that of tables, where it is not to be found out.
    pub fn of(path: &Path, decodes: &[DecodePlan], delimiter: Option<u8>) -> Result<Option<Self>, String> {
        Ok(match super::names::extension(path).as_str() {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" | "tsv" => {
                let line = first_line(path)?;
                let named = delimiter.or_else(|| record::named_delimiter(&line));
                let delimiter = named.unwrap_or_else(|| record::delimiter(&line, decodes));
                Some(Self::Csv { delimiter })
            }
            "npy" => {
                let [one] = decodes else { return Ok(None) };
                let rank = Array::open(path)?.rank();
                let item = one.decode.produces().dims.map(|dims| dims.len());
                // Where the decode does not say, an array of arrays is taken for many.
                (item.map_or(rank > 1, |item| rank == item + 1)).then_some(Self::Npy)
            }
            _ => None,
        })
    }
}

impl Rows {
    pub fn open(kind: RowFormat, path: &Path, decodes: &[DecodePlan]) -> Result<Self, String> {
        let file = || File::open(path).map_err(|e| e.to_string());
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(match kind {
            RowFormat::JsonLines => Self::Lines { file: BufReader::new(file()?), folder: folder.into() },
            RowFormat::Csv { delimiter } => {
                let names_delimiter = record::named_delimiter(&first_line(path)?).is_some();
                Self::table(file()?, delimiter, names_delimiter, decodes, folder)?
            }
            RowFormat::Npy => Self::Slices { array: Arc::new(Array::open(path)?), next: 0 },
        })
    }

    /// `names_delimiter` where a line comes before the header that says what stands between the cells.
    fn table(
        file: File,
        delimiter: u8,
        names_delimiter: bool,
        decodes: &[DecodePlan],
        folder: &Path,
    ) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).delimiter(delimiter);
        let mut reader = reader.from_reader(Quotes::new(file, delimiter));
        let mut first = ByteRecord::new();
        for _ in 0..1 + usize::from(names_delimiter) {
            if !reader.read_byte_record(&mut first).map_err(|e| e.to_string())? {
                return Err("it is empty".to_owned());
            }
        }
        let (columns, is_header) = Columns::find(&first, decodes, folder)?;
        let first = (!is_header).then_some(first);
        Ok(Self::Records { reader: Box::new(reader), columns: Arc::new(columns), first })
    }

    /// The number of rows from here on.
    pub fn count(mut self) -> Result<u64, String> {
        if let Self::Slices { array, .. } = &self {
            return Ok(array.rows());
        }
        let mut count = 0;
        while self.next().map_err(|e| e.to_string())?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    pub fn next(&mut self) -> io::Result<Option<Row>> {
        match self {
            Self::Lines { file, folder } => loop {
                let mut line = vec![];
                let read = file.by_ref().take(MAX_ROW).read_until(b'\n', &mut line)?;
                if read == 0 {
                    return Ok(None);
                }
                let text = line.trim_ascii();
                if !text.is_empty() {
                    let text = Bytes::copy_from_slice(text);
                    return Ok(Some(Row::Line { text, folder: folder.clone() }));
                }
            },
            Self::Records { reader, columns, first } => {
                let cells = match first.take() {
                    Some(cells) => cells,
                    None => {
                        let mut cells = ByteRecord::new();
                        if !reader.read_byte_record(&mut cells)? {
                            return Ok(None);
                        }
                        cells
                    }
                };
                Ok(Some(Row::Record { cells, columns: columns.clone() }))
            }
            Self::Slices { array, next } => {
                let index = *next;
                *next += 1;
                Ok((index < array.rows()).then(|| Row::Slice { array: array.clone(), index }))
            }
        }
    }
}

impl Row {
    /// The payload of each decode. May wait for the disk.
    pub fn payloads(self, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Refused> {
        match self {
            Self::Line { text, folder } => json::line(text, &folder, decodes),
            Self::Record { cells, columns } => columns.payloads(&cells, decodes),
            Self::Slice { array, index } => {
                array.item(index).map(|bytes| vec![Payload::Bytes(bytes)]).map_err(|e| read_error(&e))
            }
        }
    }
}

/// The first line of a table that is not empty.
fn first_line(path: &Path) -> Result<Vec<u8>, String> {
    let mut file = BufReader::new(File::open(path).map_err(|e| e.to_string())?);
    let mut line = vec![];
    while line.trim_ascii().is_empty() {
        line.clear();
        let read = file.by_ref().take(MAX_HEADER).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if read == 0 {
            break;
        }
    }
    match line.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err("it is UTF-16; save it as CSV in UTF-8".to_owned()),
        _ => Ok(line),
    }
}

/// The first line of a table is not looked at beyond so many bytes.
const MAX_HEADER: u64 = 1 << 20;

pub fn read_error(error: &io::Error) -> Refused {
    Refused { step: "read".to_owned(), reason: error.to_string() }
}

fn refused(reason: impl Into<String>) -> Refused {
    Refused { step: "read".to_owned(), reason: reason.into() }
}

fn reads_json(decode: &DecodePlan) -> bool {
    decode.decode.json().is_some()
}

fn is_of(name: &str, decode: &DecodePlan) -> bool {
    name == decode.name || decode.decode.field() == Some(name)
}

fn read_file(path: &Path) -> Result<Payload, Refused> {
    match super::items::read_whole(path) {
        Ok(bytes) => Ok(Payload::Bytes(bytes)),
        Err(error) => Err(refused(format!("`{}`: {error}", path.display()))),
    }
}
