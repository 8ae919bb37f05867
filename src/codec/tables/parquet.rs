//! Parquet: a file that cannot be added to, so that its rows are gathered first.

use super::{Table, TableRows};
use crate::codec::parquet::{self, Cell};
use std::fs::File;
use std::io::{self, BufReader, Write};

pub struct Parquet;

struct Gathered {
    header: Vec<u8>,
    rows: BufReader<File>,
}

impl Table for Parquet {
    fn is_sealed(&self) -> bool {
        true
    }

    fn seal(&self, gathered: File, table: File) -> io::Result<()> {
        parquet::write_table(&mut BufReader::new(gathered), table)
    }

    fn unseal(&self, table: File, mut gathered: &mut dyn Write) -> io::Result<()> {
        parquet::read_table(table, &mut gathered)
    }

    fn rows(&self, gathered: File) -> io::Result<Box<dyn TableRows>> {
        let mut rows = BufReader::new(gathered);
        let columns = parquet::read_header(&mut rows)?;
        Ok(Box::new(Gathered { header: parquet::header(&columns)?, rows }))
    }
}

impl TableRows for Gathered {
    fn header(&self) -> &[u8] {
        &self.header
    }

    fn next(&mut self) -> io::Result<Option<(String, Vec<u8>)>> {
        Ok(match parquet::read_row(&mut self.rows)? {
            Some((row, Cell::Text(item))) => Some((item, row)),
            Some(_) => return Err(io::Error::other("a row has no item")),
            None => None,
        })
    }
}
