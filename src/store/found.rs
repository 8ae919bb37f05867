//! A file that was looked at and is to be read: its size is known before any of it is.

use super::open::{FileId, OpenFile, Reach};
use super::{Content, StoreError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Reads a file into memory, given how many bytes it has.
pub type Reader<'a> = &'a dyn Fn(&mut dyn Read, usize) -> io::Result<Content>;

/// A regular file within reach.
pub struct Found {
    pub path: PathBuf,
    pub id: FileId,
    pub size: u64,
    /// When it was last written, where the file system knows.
    pub modified: Option<SystemTime>,
}

impl Found {
    /// Looks at a file, which has `limit` bytes at most.
    pub fn look(reach: &Reach, path: &Path, limit: u64) -> Result<Self, StoreError> {
        let open = reach.open(path)?;
        let size = open.found.len();
        if size > limit {
            return Err(StoreError::TooLarge { path: path.to_owned(), bytes: size, limit });
        }
        Ok(Self { path: path.to_owned(), id: open.id(), size, modified: open.found.modified().ok() })
    }

    /// Reads what was looked at: no more of it than there was, even where it has grown since, and no other file that
    /// has its name by now.
    pub fn read(&self, reach: &Reach, into: Reader<'_>) -> Result<Content, StoreError> {
        let open = reach.open(&self.path)?;
        let failed = |source| StoreError::new(&self.path, source);
        if open.id() != self.id {
            return Err(failed(io::Error::other("another file came to its place while it was read")));
        }
        let OpenFile { file, .. } = open;
        into(&mut file.take(self.size), self.size as usize).map_err(failed)
    }
}
