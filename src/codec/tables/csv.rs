//! CSV: the first record names the columns, the first of which is the item.

use super::{Table, TableRows};
use csv::ByteRecord;
use std::borrow::Cow;
use std::fs::File;
use std::io;

pub struct Csv;

struct Records {
    header: Vec<u8>,
    reader: csv::Reader<File>,
}

/// What a cell begins with that a spreadsheet takes for a formula; and the mark of texts itself, so that one can be told
/// from the other.
const FORMULAS: &[u8] = b"=+-@\t\r\n'";

impl Table for Csv {
    fn for_spreadsheets<'a>(&self, rows: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(rows);
        let mut writer = csv::WriterBuilder::new().from_writer(vec![]);
        let mut cells = ByteRecord::new();
        while reader.read_byte_record(&mut cells)? {
            let marked = cells.iter().map(|cell| match is_formula(cell) {
                true => [b"'", cell].concat().into(),
                false => Cow::Borrowed(cell),
            });
            writer.write_record(marked.collect::<Vec<_>>())?;
        }
        Ok(writer.into_inner().map_err(|error| error.into_error())?.into())
    }

    fn rows(&self, gathered: File) -> io::Result<Box<dyn TableRows>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(gathered);
        let mut header = ByteRecord::new();
        reader.read_byte_record(&mut header)?;
        Ok(Box::new(Records { header: written(&header)?, reader }))
    }
}

impl TableRows for Records {
    fn header(&self) -> &[u8] {
        &self.header
    }

    fn next(&mut self) -> io::Result<Option<(String, Vec<u8>)>> {
        let mut cells = ByteRecord::new();
        if !self.reader.read_byte_record(&mut cells)? {
            return Ok(None);
        }
        let item = String::from_utf8_lossy(cells.get(0).unwrap_or_default()).into_owned();
        Ok(Some((item, written(&cells)?)))
    }
}

/// Whether a spreadsheet would compute it. Numbers are what they are.
fn is_formula(cell: &[u8]) -> bool {
    let is_number = || std::str::from_utf8(cell).is_ok_and(|text| text.parse::<f64>().is_ok());
    cell.first().is_some_and(|first| FORMULAS.contains(first)) && !is_number()
}

/// A record as the encode writes it.
fn written(cells: &ByteRecord) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().from_writer(vec![]);
    writer.write_byte_record(cells)?;
    writer.into_inner().map_err(|error| error.into_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_spreadsheet_would_compute_are_marked() {
        let rows =
            b"=HYPERLINK(1).png,-0.5,-inf,@x,+1+2,'a,a=b\n\"\tx, y\",1e-3,\"\",NaN,--,\"a\n=b\",\xff\n";
        let safe = Csv.for_spreadsheets(rows).unwrap();
        let wanted =
            b"'=HYPERLINK(1).png,-0.5,-inf,'@x,'+1+2,''a,a=b\n\"'\tx, y\",1e-3,,NaN,'--,\"a\n=b\",\xff\n";
        assert_eq!(safe.escape_ascii().to_string(), wanted.escape_ascii().to_string());
    }
}
