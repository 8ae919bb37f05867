//! Files that grow while a run goes on: tables, the errors, the marks of what is done.

use super::Stopped;
use crate::codec::parquet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file in the run's own folder.
pub struct Growing {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl Growing {
    /// Opens it, cut to `length`. Shorter than that it is not what was written.
    pub fn open(path: PathBuf, length: u64) -> Result<Self, Stopped> {
        let open = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            if file.metadata()?.len() < length {
                return Err(io::Error::other("it is shorter than it was; `--restart` begins anew"));
            }
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            Ok(file)
        };
        let file = open().map_err(Stopped::output(&path))?;
        Ok(Self { file: BufWriter::with_capacity(64 << 10, file), path, length })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).map_err(Stopped::output(&self.path))
    }

    /// Hands all to the system, and says how much that is and how to have it put on the disk.
    pub fn flush(&mut self) -> Result<(u64, File), Stopped> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().try_clone());
        Ok((self.length, flushed.map_err(Stopped::output(&self.path))?))
    }
}

/// How a table's rows are kept until it is whole.
pub fn part(folder: &Path, table: &str) -> PathBuf {
    folder.join(if is_parquet(table) { format!("{table}.rows") } else { table.to_owned() })
}

fn is_parquet(table: &str) -> bool {
    table.ends_with(".parquet")
}

/// Makes the table of its rows and puts it in its place. Does nothing where that was done.
pub fn publish(folder: &Path, output: &Path, table: &str) -> Result<(), Stopped> {
    let (rows, whole, place) = (part(folder, table), folder.join(table), output.join(table));
    if is_parquet(table) && rows.exists() {
        let make = || {
            let mut from = BufReader::new(File::open(&rows)?);
            let out = File::create(&whole)?;
            parquet::write_table(&mut from, out.try_clone()?)?;
            out.sync_data()
        };
        make().map_err(Stopped::output(&whole))?;
    }
    match fs::rename(&whole, &place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && place.exists() => {}
        renamed => renamed.map_err(Stopped::output(&place))?,
    }
    remove(&rows)
}

/// Takes a table back, so that rows can be added to it; says how long it is.
pub fn take_back(folder: &Path, output: &Path, table: &str) -> Result<u64, Stopped> {
    let (rows, place) = (part(folder, table), output.join(table));
    let take = || {
        if is_parquet(table) {
            let mut out = BufWriter::new(File::create(&rows)?);
            parquet::read_table(File::open(&place)?, &mut out)?;
            out.flush()?;
        } else {
            fs::copy(&place, &rows)?;
        }
        Ok(fs::metadata(&rows)?.len())
    };
    take().map_err(Stopped::output(&place))
}

pub fn remove(path: &Path) -> Result<(), Stopped> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Stopped::output(path)(error)),
        _ => Ok(()),
    }
}
