//! The items of a run, one by one from the list on disk.

use super::names::{self, Mark, Shard};
use super::record::ListRecord;
use super::rows::{Row, Rows, read_error};
use super::{Refused, Stopped};
use crate::plan::{DecodePlan, Payload};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tempfile::SpooledTempFile;

/// What one run of the pipeline is given.
pub struct Item {
    /// Relative to the input folder, with `/`: "north/a.jpg", and "north/a" where several files make it;
    /// "data.csv#7" for a row.
    pub name: String,
    pub mark: Mark,
    /// The name of a file with its answer, without the extension; no other item has the same.
    pub output: String,
    /// The number of bytes of all its files.
    pub bytes: u64,
    pub input: Input,
}

pub enum Input {
    /// A file for each decode, in the order of the entry.
    Files(Vec<PathBuf>),
    Row(Row),
    /// Looks like an item and is none.
    Misfit(String),
}

/// Which items are run, and what is written for them.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub shard: Option<Shard>,
    /// The number of items after which the list ends.
    pub limit: Option<u64>,
    /// The extensions of the files that are written for each item, without dots.
    pub extensions: Vec<&'static str>,
    /// The names of all that a run writes to the output folder.
    pub written: Vec<String>,
}

/// All items in their order.
pub struct List {
    pub(super) file: SpooledTempFile,
    pub(super) wanted: Selection,
    /// Items that are wanted, those that cannot be run among them.
    pub total: u64,
    /// The number of items that look like some and are none.
    pub misfits: u64,
    /// Files of other kinds, which are left alone.
    pub others: u64,
    /// The names of files that may hold rows and hold none.
    pub without_rows: Vec<String>,
    /// The digest of the names and sizes of all items, whatever the shard.
    pub digest: blake3::Hash,
}

/// No item is larger than that.
const MAX_FILE: u64 = 2 << 30;

// === impl List ===

impl List {
    /// How many there are, by going through the names alone.
    pub(super) fn count(&mut self, decodes: &[DecodePlan]) -> Result<(), Stopped> {
        let (mut total, mut misfits) = (0, 0);
        let mut items = self.items(decodes)?;
        items.names_only = true;
        for item in items {
            total += 1;
            misfits += u64::from(matches!(item?.input, Input::Misfit(_)));
        }
        (self.total, self.misfits) = (total, misfits);
        Ok(())
    }

    /// The items from the first on.
    pub fn items<'a>(&'a mut self, decodes: &'a [DecodePlan]) -> Result<Items<'a>, Stopped> {
        self.file.seek(SeekFrom::Start(0)).map_err(Stopped::list)?;
        Ok(Items {
            file: BufReader::new(&mut self.file),
            wanted: &self.wanted,
            decodes,
            rows: None,
            given: 0,
            names_only: false,
        })
    }
}

pub struct Items<'a> {
    file: BufReader<&'a mut SpooledTempFile>,
    wanted: &'a Selection,
    decodes: &'a [DecodePlan],
    rows: Option<RowsLeft>,
    given: u64,
    names_only: bool,
}

struct RowsLeft {
    name: String,
    next: u64,
    count: u64,
    /// The rows, or why there are none any more.
    rows: Result<Rows, String>,
}

impl Items<'_> {
    fn any(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some(rows) = &mut self.rows {
                match rows.next(self.names_only) {
                    Some(item) => return Ok(Some(item)),
                    None => self.rows = None,
                }
            }
            match ListRecord::read(&mut self.file)? {
                None => return Ok(None),
                Some(ListRecord::Misfit { name, reason }) => {
                    return Ok(Some(Item::new(name, String::new(), 0, Input::Misfit(reason))));
                }
                Some(ListRecord::Files { name, short, bytes, paths }) => {
                    let output = if short { names::stem(&name).to_owned() } else { name.clone() };
                    return Ok(Some(Item::new(name, output, bytes, Input::Files(paths))));
                }
                Some(ListRecord::Rows { name, path, kind, count }) => {
                    let rows = match self.names_only {
                        true => Err(String::new()),
                        false => Rows::open(kind, &path, self.decodes),
                    };
                    self.rows = Some(RowsLeft { name, next: 0, count, rows });
                }
            }
        }
    }
}

impl RowsLeft {
    fn next(&mut self, names_only: bool) -> Option<Item> {
        let index = self.next;
        self.next += 1;
        if index >= self.count {
            return None;
        }
        let name = names::row(&self.name, index);
        if names_only {
            return Some(Item::new(name, String::new(), 0, Input::Files(vec![])));
        }
        let row = match &mut self.rows {
            Err(reason) => Err(reason.clone()),
            Ok(rows) => match rows.next() {
                Ok(Some(row)) => Ok(row),
                Ok(None) => Err("the file has fewer rows than it had when it was listed".to_owned()),
                Err(error) => Err(error.to_string()),
            },
        };
        let input = row.map_or_else(Input::Misfit, Input::Row);
        Some(Item::new(name.clone(), name, 0, input))
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item, Stopped>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.wanted.limit.is_some_and(|limit| self.given >= limit) {
            return None;
        }
        loop {
            let item = match self.any() {
                Ok(item) => item?,
                Err(error) => return Some(Err(Stopped::list(error))),
            };
            if self.wanted.shard.is_none_or(|shard| shard.has(&item.mark)) {
                self.given += 1;
                return Some(Ok(item));
            }
        }
    }
}

// === impl Item ===

impl Item {
    fn new(name: String, output: String, bytes: u64, input: Input) -> Self {
        Self { mark: names::mark(&name), name, output, bytes, input }
    }
}

impl Input {
    /// The payload of each decode. Waits for the disk.
    pub fn payloads(self, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Refused> {
        match self {
            Self::Files(files) => files
                .iter()
                .map(|file| read_whole(file).map(Payload::Bytes).map_err(|e| read_error(&e)))
                .collect(),
            Self::Row(row) => row.payloads(decodes),
            Self::Misfit(reason) => Err(Refused { step: "read".to_owned(), reason }),
        }
    }
}

/// A regular file, and nothing that would be waited for.
pub fn read_whole(path: &Path) -> io::Result<Bytes> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        let what = if found.is_dir() { "a folder, not a file" } else { "not a regular file" };
        return Err(io::Error::other(what));
    }
    if found.len() > MAX_FILE {
        return Err(io::Error::other(format!("{} bytes, more than {MAX_FILE}", found.len())));
    }
    let mut bytes = Vec::with_capacity(found.len() as usize + 1);
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}
