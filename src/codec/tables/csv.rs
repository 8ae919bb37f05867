//! CSV: the first record names the columns, the first of which is the item.

use super::{Table, TableRows};
use csv::ByteRecord;
use std::fs::File;
use std::io;

pub struct Csv;

struct Records {
    header: Vec<u8>,
    reader: csv::Reader<File>,
}

impl Table for Csv {
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

/// A record as the encode writes it.
fn written(cells: &ByteRecord) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().from_writer(vec![]);
    writer.write_byte_record(cells)?;
    writer.into_inner().map_err(|error| error.into_error())
}
