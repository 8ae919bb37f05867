//! Lines of JSON, each an object that names its item.

use super::{Table, TableRows};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

pub struct JsonLines;

struct Lines(BufReader<File>);

/// The name is called "item" in a table and "path" among the errors of a run.
#[derive(serde::Deserialize)]
struct Named<'a> {
    #[serde(borrow, alias = "path")]
    item: Cow<'a, str>,
}

impl Table for JsonLines {
    fn rows(&self, gathered: File) -> io::Result<Box<dyn TableRows>> {
        Ok(Box::new(Lines(BufReader::new(gathered))))
    }
}

impl TableRows for Lines {
    fn header(&self) -> &[u8] {
        &[]
    }

    fn next(&mut self) -> io::Result<Option<(String, Vec<u8>)>> {
        let mut line = vec![];
        if self.0.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let named: Named<'_> = serde_json::from_slice(&line)?;
        let item = named.item.into_owned();
        Ok(Some((item, line)))
    }
}
