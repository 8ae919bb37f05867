//! Records of CSV, as pandas, spreadsheets and databases write them: the columns are called as the decodes.

use super::{is_of, read_file, reads_json, refused};
use crate::codec::cells;
use crate::offline::Refused;
use crate::plan::{DecodePlan, Payload};
use csv::ByteRecord;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

/// The columns in which each decode finds its value.
pub struct Columns {
    decodes: Vec<Cells>,
    /// The header; empty where there is none.
    names: Vec<String>,
    /// How many columns there are.
    width: usize,
    /// The folder that relative paths are taken from.
    folder: PathBuf,
}

enum Cells {
    /// The path of a file.
    Path(usize),
    /// The whole value.
    Value(usize),
    /// Columns with one element each.
    Elements(Vec<usize>),
}

impl Columns {
    /// Finds the columns by the first record, and says whether that is a header.
    pub fn find(first: &ByteRecord, decodes: &[DecodePlan], folder: &Path) -> Result<(Self, bool), String> {
        let names = names(first);
        let decodes = columns(&names, decodes)?;
        let all_numbers = matches!(decodes.as_slice(), [Cells::Elements(_)]) && are_values(&names);
        let width = names.len();
        let names = if all_numbers { vec![] } else { names };
        Ok((Self { decodes, names, width, folder: folder.to_owned() }, !all_numbers))
    }

    pub fn payloads(&self, cells: &ByteRecord, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Refused> {
        // Empty ones at the end are of a delimiter after the last cell.
        if cells.iter().skip(self.width).any(|cell| !cell.trim_ascii().is_empty()) {
            return Err(refused(format!(
                "the row has {} cells, and the table {} columns; a cell that holds the delimiter is to stand in \
                 quotes",
                cells.len(),
                self.width
            )));
        }
        let each = self.decodes.iter().zip(decodes);
        each.map(|(place, decode)| place.payload(cells, self, decode)).collect()
    }

    /// "column 2 (`age`)"
    fn shown(&self, column: usize) -> String {
        match self.names.get(column).map(String::as_str) {
            None | Some("") => format!("column {}", column + 1),
            Some(name) => format!("column {} (`{name}`)", column + 1),
        }
    }
}

fn names(first: &ByteRecord) -> Vec<String> {
    let name = |cell: &[u8]| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').trim().to_owned();
    first.iter().map(name).collect()
}

/// Whether they are numbers, of which any may be missing, and no names of columns.
fn are_values(names: &[String]) -> bool {
    names.iter().all(|name| cells::is_number(name))
}

/// The columns in which each decode finds its value. Columns that no decode is called after are passed over; where they
/// stand makes no difference.
fn columns(names: &[String], decodes: &[DecodePlan]) -> Result<Vec<Cells>, String> {
    let mut found = vec![];
    for decode in decodes {
        let json = reads_json(decode);
        let named = only(names, decode, |name| is_of(name, decode))?;
        let numbered = numbered(names, decode)?;
        found.push(match (named, decodes) {
            (Some(column), _) if json => Cells::Value(column),
            (Some(column), _) => Cells::Path(column),
            (None, _) if json && !numbered.is_empty() => Cells::Elements(numbered),
            (None, [_]) if json => Cells::Elements((0..names.len()).collect()),
            (None, [_]) => match only(names, decode, |name| name == "path")? {
                Some(column) => Cells::Path(column),
                None => return Err(no_column(decode, names)),
            },
            (None, _) => return Err(no_column(decode, names)),
        });
    }
    Ok(found)
}

/// The columns `x_0`, `x_1` and on.
fn numbered(names: &[String], decode: &DecodePlan) -> Result<Vec<usize>, String> {
    let at = |index: usize| {
        only(names, decode, |name| {
            let parts = name.rsplit_once('_').filter(|(start, _)| is_of(start, decode));
            parts.is_some_and(|(_, end)| end == index.to_string())
        })
    };
    (0..).map(at).map_while(Result::transpose).collect()
}

/// The column that a decode reads; an error where several are called so that it might be any of them.
fn only(names: &[String], decode: &DecodePlan, is: impl Fn(&str) -> bool) -> Result<Option<usize>, String> {
    let mut found = names.iter().enumerate().filter(|(_, name)| is(name));
    match (found.next(), found.next()) {
        (Some((a, x)), Some((b, y))) => Err(format!(
            "columns {} (`{x}`) and {} (`{y}`) are both for decode `{}`; name or remove one of them otherwise",
            a + 1,
            b + 1,
            decode.name
        )),
        (found, _) => Ok(found.map(|(column, _)| column)),
    }
}

/// The delimiter that a line before the header names, as Excel has it: `sep=;`.
pub fn named_delimiter(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let end = line.iter().rposition(|byte| !b"\r\n".contains(byte))?;
    let line = &line[..=end];
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => Some(*delimiter),
        _ => None,
    }
}

/// The delimiter of a table whose first line this is: the first by which the decodes find their columns, as
/// in the header `age;city`, or by which a line without a header has several. A comma where none does.
pub fn delimiter(line: &[u8], decodes: &[DecodePlan]) -> u8 {
    let split = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line);
        let mut first = ByteRecord::new();
        let read = reader.read_byte_record(&mut first).unwrap_or(false);
        (read && (delimiter == b',' || first.len() > 1)).then(|| names(&first))
    };
    let named = |names: &[String]| {
        decodes.iter().all(|decode| {
            let called = |name: &str| is_of(name, decode) || (name == "path" && !reads_json(decode));
            let start = |name: &str| name.rsplit_once('_').is_some_and(|(start, _)| is_of(start, decode));
            names.iter().any(|name| called(name) || start(name))
        })
    };
    let tables: Vec<(u8, Vec<String>)> =
        DELIMITERS.iter().filter_map(|delimiter| Some((*delimiter, split(*delimiter)?))).collect();
    let by_name = tables.iter().find(|(_, names)| named(names));
    let several = || tables.iter().find(|(_, names)| names.len() > 1);
    by_name.or_else(several).map_or(b',', |(delimiter, _)| *delimiter)
}

/// Between the columns of tables: a comma, Excel's semicolon where the comma is for decimals, a tab, a bar.
const DELIMITERS: [u8; 4] = *b",;\t|";

fn no_column(decode: &DecodePlan, names: &[String]) -> String {
    let what = if reads_json(decode) { "values" } else { "paths" };
    let name = &decode.name;
    let hint = match names {
        [one] if one.bytes().any(|b| DELIMITERS.contains(&b) || b == b' ') => {
            "; is another character between them? `--delimiter` says which"
        }
        _ => "",
    };
    format!("no column `{name}` with the {what} for that decode; its columns are {}{hint}", names.join(", "))
}

impl Cells {
    fn payload(
        &self,
        cells: &ByteRecord,
        columns: &Columns,
        decode: &DecodePlan,
    ) -> Result<Payload, Refused> {
        let cell = |column: usize| {
            cells
                .get(column)
                .ok_or_else(|| refused(format!("the row has no column {} for `{}`", column + 1, decode.name)))
        };
        let text = |column: usize| {
            let text = std::str::from_utf8(cell(column)?);
            text.map_err(|_| refused(format!("{} is not text in UTF-8", columns.shown(column))))
        };
        let wrong = |column: usize, what: &dyn std::fmt::Display| {
            refused(format!("{}: {what}", columns.shown(column)))
        };
        match (self, decode.decode.json()) {
            (Self::Path(column), _) => {
                use std::os::unix::ffi::OsStrExt;
                read_file(&columns.folder.join(std::ffi::OsStr::from_bytes(cell(*column)?.trim_ascii())))
            }
            (Self::Value(column), Some(values)) => {
                values.cell(text(*column)?).map_err(|error| wrong(*column, &error))
            }
            (Self::Elements(all), Some(values)) => {
                let mut array = String::from("[");
                for (index, column) in all.iter().enumerate() {
                    if index > 0 {
                        array.push(',');
                    }
                    values.element(text(*column)?, &mut array).map_err(|error| wrong(*column, &error))?;
                }
                array.push(']');
                RawValue::from_string(array).map(Payload::Json).map_err(|e| refused(e.to_string()))
            }
            (_, None) => Err(refused(format!("`{}` reads files", decode.name))),
        }
    }
}
