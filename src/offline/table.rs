//! The table of one encode of rows: a row for each item, in the order of the input.

use super::Stopped;
use super::output::Pending;
use crate::plan::EncodePlan;
use std::path::Path;

pub struct Table {
    file: Pending,
}

impl Table {
    /// `None` where the encode writes a file for each item.
    pub fn begin(folder: &Path, encode: &EncodePlan) -> Result<Option<Self>, Stopped> {
        let Some(rows) = encode.encode.rows() else { return Ok(None) };
        let name = format!("{}.{}", encode.name, encode.encode.extension());
        let mut file = Pending::create(folder.join(name))?;
        file.write(&rows.header())?;
        Ok(Some(Self { file }))
    }

    pub fn add(&mut self, row: &[u8]) -> Result<(), Stopped> {
        self.file.write(row)
    }

    pub fn finish(self) -> Result<(), Stopped> {
        self.file.finish()
    }
}
