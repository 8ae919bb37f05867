//! Records of CSV: the columns are called as the decodes.

use super::{is_of, read_file, reads_json, refused};
use crate::offline::Refused;
use crate::plan::{DecodePlan, Payload};
use csv::ByteRecord;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

/// Where each decode finds its value in a record.
pub struct Columns {
    decodes: Vec<Cells>,
    /// In which relative paths lie.
    folder: PathBuf,
}

enum Cells {
    /// The path of a file.
    Path(usize),
    /// A JSON value.
    Value(usize),
    /// Numbers, one a column.
    Numbers(Vec<usize>),
}

impl Columns {
    /// By the first record, and whether that is a header.
    pub fn find(first: &ByteRecord, decodes: &[DecodePlan], folder: &Path) -> Result<(Self, bool), String> {
        let (decodes, is_header) = columns(first, decodes)?;
        Ok((Self { decodes, folder: folder.to_owned() }, is_header))
    }

    pub fn payloads(&self, cells: &ByteRecord, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Refused> {
        let each = self.decodes.iter().zip(decodes);
        each.map(|(place, decode)| place.payload(cells, &self.folder, decode)).collect()
    }
}

/// Where each decode finds its value, and whether the first record is the header that says so.
fn columns(first: &ByteRecord, decodes: &[DecodePlan]) -> Result<(Vec<Cells>, bool), String> {
    let names: Vec<String> = first
        .iter()
        .map(|cell| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    let numbers = |names: &[String]| names.iter().all(|name| name.parse::<f64>().is_ok());
    let mut found = vec![];
    for decode in decodes {
        let json = reads_json(decode);
        let named = names.iter().position(|name| is_of(name, decode));
        let numbered: Vec<usize> = (0..)
            .map_while(|i| names.iter().position(|name| *name == format!("{}_{i}", decode.name)))
            .collect();
        found.push(match (named, decodes) {
            (Some(column), _) if json => Cells::Value(column),
            (Some(column), _) => Cells::Path(column),
            (None, _) if json && !numbered.is_empty() => Cells::Numbers(numbered),
            (None, [_]) if json => Cells::Numbers((0..names.len()).collect()),
            (None, [_]) => match names.iter().position(|name| name == "path") {
                Some(column) => Cells::Path(column),
                None => return Err(no_column(decode, &names)),
            },
            (None, _) => return Err(no_column(decode, &names)),
        });
    }
    let all_numbers = matches!(found.as_slice(), [Cells::Numbers(_)]) && numbers(&names);
    Ok((found, !all_numbers))
}

fn no_column(decode: &DecodePlan, names: &[String]) -> String {
    let what = if reads_json(decode) { "values" } else { "paths" };
    let name = &decode.name;
    format!("no column `{name}` with the {what} for that decode; its columns are {}", names.join(", "))
}

impl Cells {
    fn payload(&self, cells: &ByteRecord, folder: &Path, decode: &DecodePlan) -> Result<Payload, Refused> {
        let cell = |column: usize| {
            let cell = cells.get(column).map(<[u8]>::trim_ascii);
            cell.ok_or_else(|| refused(format!("the row has no column {} for `{}`", column + 1, decode.name)))
        };
        match self {
            Self::Path(column) => {
                use std::os::unix::ffi::OsStrExt;
                read_file(&folder.join(std::ffi::OsStr::from_bytes(cell(*column)?)))
            }
            Self::Value(column) => {
                let text = String::from_utf8_lossy(cell(*column)?).into_owned();
                let value = RawValue::from_string(text).or_else(|_| {
                    // Text that is not JSON by itself is a string.
                    let text = String::from_utf8_lossy(cells.get(*column).unwrap_or_default());
                    serde_json::value::to_raw_value(&text)
                });
                value.map(Payload::Json).map_err(|e| refused(e.to_string()))
            }
            Self::Numbers(columns) => {
                let mut text = String::from("[");
                for (index, column) in columns.iter().enumerate() {
                    let number = String::from_utf8_lossy(cell(*column)?);
                    let sound = number.parse::<f64>().is_ok_and(f64::is_finite);
                    if !sound {
                        let reason = format!("`{number}` in column {} is not a number", column + 1);
                        return Err(refused(reason));
                    }
                    if index > 0 {
                        text.push(',');
                    }
                    // "+1", ".5" and "1." are numbers to a table, not to JSON.
                    match serde_json::from_str::<serde_json::Number>(&number) {
                        Ok(_) => text.push_str(&number),
                        Err(_) => text.push_str(&number.parse::<f64>().unwrap_or_default().to_string()),
                    }
                }
                text.push(']');
                RawValue::from_string(text).map(Payload::Json).map_err(|e| refused(e.to_string()))
            }
        }
    }
}
