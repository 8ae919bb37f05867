//! Files whose rows are items: `.jsonl`, `.csv` and `.npy`. Read as they are needed, never whole.

use super::Refused;
use crate::codec::npy::Header;
use crate::plan::{DecodePlan, Payload};
use bytes::Bytes;
use csv::ByteRecord;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line is what the online route takes as a JSON body.
    JsonLines,
    /// Columns are named as the decodes.
    Csv,
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
    Records { reader: Box<csv::Reader<File>>, columns: Arc<Columns>, first: Option<ByteRecord> },
    Slices { array: Arc<Array>, next: u64 },
}

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

/// An array of items.
pub struct Array {
    file: File,
    header: Header,
    /// Bytes of one item.
    stride: u64,
}

/// A line or a record of more bytes is not looked at.
const MAX_ROW: u64 = 256 << 20;

impl Kind {
    /// Whether the file, which was named itself, holds rows: not where it is one item of a decode.
    pub fn of(path: &Path, decodes: &[DecodePlan]) -> Result<Option<Self>, String> {
        Ok(match super::names::extension(path).as_str() {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            "npy" => {
                let [one] = decodes else { return Ok(None) };
                let rank = Array::open(path)?.header.shape.len();
                let item = one.decode.produces().dims.map(|dims| dims.len());
                // Where the decode does not say, an array of arrays is taken for many.
                (item.map_or(rank > 1, |item| rank == item + 1)).then_some(Self::Npy)
            }
            _ => None,
        })
    }
}

impl Rows {
    pub fn open(kind: Kind, path: &Path, decodes: &[DecodePlan]) -> Result<Self, String> {
        let file = || File::open(path).map_err(|e| e.to_string());
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(match kind {
            Kind::JsonLines => Self::Lines { file: BufReader::new(file()?), folder: folder.into() },
            Kind::Csv => {
                let mut reader =
                    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file()?);
                let mut first = ByteRecord::new();
                if !reader.read_byte_record(&mut first).map_err(|e| e.to_string())? {
                    return Err("it is empty".to_owned());
                }
                let (decodes, is_header) = columns(&first, decodes)?;
                let columns = Arc::new(Columns { decodes, folder: folder.to_owned() });
                let first = (!is_header).then_some(first);
                Self::Records { reader: Box::new(reader), columns, first }
            }
            Kind::Npy => Self::Slices { array: Arc::new(Array::open(path)?), next: 0 },
        })
    }

    /// How many there are from here on.
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
    /// For each decode, what it reads. May wait for the disk.
    pub fn payloads(self, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Refused> {
        match self {
            Self::Line { text, folder } => line(text, &folder, decodes),
            Self::Record { cells, columns } => {
                let each = columns.decodes.iter().zip(decodes);
                each.map(|(place, decode)| place.payload(&cells, &columns.folder, decode)).collect()
            }
            Self::Slice { array, index } => {
                array.item(index).map(|bytes| vec![Payload::Bytes(bytes)]).map_err(|e| read_error(&e))
            }
        }
    }
}

pub fn read_error(error: &io::Error) -> Refused {
    Refused { step: "read".to_owned(), reason: error.to_string() }
}

fn refused(reason: impl Into<String>) -> Refused {
    Refused { step: "read".to_owned(), reason: reason.into() }
}

fn reads_json(decode: &DecodePlan) -> bool {
    decode.decode.format() == "json"
}

fn is_of(name: &str, decode: &DecodePlan) -> bool {
    name == decode.name || decode.decode.field() == Some(name)
}

// --- lines of JSON

/// A file instead of the bytes themselves: `{"photo": {"path": "a.jpg"}}`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    path: PathBuf,
}

fn line(text: Bytes, folder: &Path, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Refused> {
    if let [one] = decodes
        && reads_json(one)
    {
        return Ok(vec![Payload::Bytes(text)]);
    }
    let mut fields: HashMap<String, Box<RawValue>> = serde_json::from_slice(&text)
        .map_err(|e| refused(format!("the line is not a JSON object with {}: {e}", listed(decodes))))?;
    let payload = |decode: &DecodePlan| {
        let value = fields.remove(&decode.name).or_else(|| fields.remove(decode.decode.field()?));
        let value = value.ok_or_else(|| refused(format!("the line has no `{}`", decode.name)))?;
        match serde_json::from_str::<InFile>(value.get()) {
            Ok(file) if !reads_json(decode) => read_file(&folder.join(file.path)),
            _ => Ok(Payload::Json(value)),
        }
    };
    decodes.iter().map(payload).collect()
}

fn read_file(path: &Path) -> Result<Payload, Refused> {
    match super::items::read_whole(path) {
        Ok(bytes) => Ok(Payload::Bytes(bytes)),
        Err(error) => Err(refused(format!("`{}`: {error}", path.display()))),
    }
}

fn listed(decodes: &[DecodePlan]) -> String {
    let names: Vec<String> = decodes.iter().map(|d| format!("`{}`", d.name)).collect();
    names.join(", ")
}

// --- records of CSV

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

// --- arrays

impl Array {
    fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|e| e.to_string())?;
        let mut head = vec![];
        Read::by_ref(&mut file).take(80 << 10).read_to_end(&mut head).map_err(|e| e.to_string())?;
        let header = Header::read(&head).map_err(|what| format!("it {what}"))?;
        let [rows, rest @ ..] = header.shape.as_slice() else {
            return Ok(Self { file, header, stride: 0 });
        };
        let stride = rest.iter().try_fold(header.dtype.size(), |size, dim| size.checked_mul(*dim));
        let stride = stride.map(|stride| stride as u64).ok_or("it has too many elements")?;
        if stride > MAX_ROW {
            return Err(format!("one row has {stride} bytes, more than {MAX_ROW}"));
        }
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let wanted = stride.checked_mul(*rows as u64).and_then(|b| b.checked_add(header.start as u64));
        if wanted.is_none_or(|wanted| wanted > length) {
            return Err("it is cut off: there are fewer elements than its header says".to_owned());
        }
        if header.fortran_order && header.shape.len() > 1 {
            return Err("it is in Fortran order, in which rows do not lie together; \
                        write it with numpy.ascontiguousarray"
                .to_owned());
        }
        Ok(Self { file, header, stride })
    }

    fn rows(&self) -> u64 {
        self.header.shape.first().map_or(0, |rows| *rows as u64)
    }

    /// An npy file of one row.
    fn item(&self, index: u64) -> io::Result<Bytes> {
        let mut out = Header::write(self.header.dtype, self.header.shape.get(1..).unwrap_or_default());
        let start = out.len();
        out.resize(start + self.stride as usize, 0);
        let elements = &mut out[start..];
        self.file.read_exact_at(elements, self.header.start as u64 + index * self.stride)?;
        if self.header.big_endian != cfg!(target_endian = "big") {
            elements.chunks_exact_mut(self.header.dtype.size()).for_each(<[u8]>::reverse);
        }
        Ok(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_or_are_all_numbers() {
        let record = |text: &str| ByteRecord::from(text.split('|').collect::<Vec<_>>());
        let json = |name: &str| DecodePlan {
            name: name.into(),
            decode: std::sync::Arc::new(Json),
            keep_origin: false,
        };
        let given = |first: &str, row: &str, decodes: &[DecodePlan]| -> Vec<String> {
            let (cells, _) = columns(&record(first), decodes).unwrap();
            let each = cells.iter().zip(decodes);
            let payloads = each.map(|(c, d)| c.payload(&record(row), Path::new(""), d));
            payloads
                .map(|payload| match payload {
                    Ok(Payload::Json(json)) => json.get().to_owned(),
                    other => format!("{other:?}"),
                })
                .collect()
        };
        let one = [json("x")];
        assert_eq!(given("1|2.5|-3", "1|2.5|-3", &one), ["[1,2.5,-3]"]);
        assert_eq!(given("a|b|c", "+1|.5|2.", &one), ["[1,0.5,2]"]);
        assert_eq!(given("id|x_0|x_1", "7|1|2", &one), ["[1,2]"]);
        assert_eq!(given("id|x", "7|[[1],[2]]", &one), ["[[1],[2]]"]);
        assert_eq!(given("y|x", "hello|4", &[json("x"), json("y")]), ["4", "\"hello\""]);
        assert!(given("a|b", "1|two", &one)[0].contains("`two` in column 2 is not a number"));
        assert!(columns(&record("1|2"), &one).unwrap().1.eq(&false), "numbers are no header");
        assert!(columns(&record("a|2"), &one).unwrap().1);
        assert!(columns(&record("a|b"), &[json("x"), json("y")]).is_err());
    }

    #[derive(Debug)]
    struct Json;

    impl crate::plan::Decode for Json {
        fn format(&self) -> &'static str {
            "json"
        }
        fn produces(&self) -> crate::plan::TensorType {
            crate::plan::TensorType::default()
        }
        fn extensions(&self) -> &'static [&'static str] {
            &["json"]
        }
        fn curl_example(&self) -> String {
            String::new()
        }
        fn decode(&self, _: &Payload, _: bool) -> Result<crate::plan::Decoded, crate::plan::DecodeError> {
            Err(crate::plan::DecodeError::Invalid("nothing here decodes".into()))
        }
    }

    #[test]
    fn rows_of_an_array_are_arrays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut bytes = Header::write(crate::tensor::DType::F32, &[2, 3]);
        bytes.extend((0..6).flat_map(|v| (v as f32).to_ne_bytes()));
        std::fs::write(&path, &bytes).unwrap();
        let array = Array::open(&path).unwrap();
        assert_eq!(array.rows(), 2);
        let row = array.item(1).unwrap();
        let header = Header::read(&row).unwrap();
        assert_eq!(header.shape, [3]);
        let elements: Vec<u8> = (3..6).flat_map(|v| (v as f32).to_ne_bytes()).collect();
        assert_eq!(&row[header.start..], elements);
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(Array::open(&path).is_err(), "cut off");
    }
}
