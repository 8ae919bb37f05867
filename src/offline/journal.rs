//! How far a run is: a line for each time that all of its files were put on the disk.

use super::Stopped;
use super::run::Counts;
use super::unlinked;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub const JOURNAL: &str = "journal";

/// A line of the journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// Items that have a result or an error, in files that are on the disk.
    pub committed: u64,
    pub failed: u64,
    pub errors: u64,
    pub tables: Vec<u64>,
}

/// What is to be put on the disk before a point of the journal holds.
pub struct Checkpoint {
    pub files: Vec<File>,
    /// The whole file system, where many files were written beside the tables.
    pub system: Option<File>,
    pub line: Vec<u8>,
    pub journal: File,
    pub path: PathBuf,
}

impl Checkpoint {
    /// Waits for the disk.
    pub fn write(mut self) -> Result<(), Stopped> {
        let mut write = || {
            match &self.system {
                #[cfg(target_os = "linux")]
                Some(folder) => rustix::fs::syncfs(folder)?,
                _ => self.files.iter().try_for_each(File::sync_data)?,
            }
            self.journal.write_all(&self.line)?;
            self.journal.sync_data()
        };
        write().map_err(Stopped::output(&self.path))
    }
}

/// Begins it anew with the point that the run goes on from.
pub fn open_journal(folder: &Path, point: &Point) -> Result<File, Stopped> {
    let path = folder.join(JOURNAL);
    let open = || -> io::Result<File> {
        let draft = path.with_extension("new");
        let mut journal = unlinked::create(&draft)?;
        if point.committed > 0 {
            journal.write_all(&point.line())?;
            journal.sync_data()?;
        }
        fs::rename(&draft, &path)?;
        Ok(journal)
    };
    open().map_err(Stopped::output(&path))
}

impl Point {
    pub fn counts(&self) -> Counts {
        Counts { done: self.committed.saturating_sub(self.failed), failed: self.failed }
    }

    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The last line that is whole.
pub fn last_point(folder: &Path) -> Result<Option<Point>, Stopped> {
    let path = folder.join(JOURNAL);
    let mut text = vec![];
    match unlinked::open(&path).and_then(|mut file| file.read_to_end(&mut text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Stopped::output(&path))?,
    };
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = text[..whole].split(|byte| *byte == b'\n').rev();
    Ok(lines.find_map(|line| serde_json::from_slice(line).ok()))
}
