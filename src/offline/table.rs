//! Files that grow while a run goes on: tables, the errors, the marks of what is done.

use super::{Stopped, unlinked};
use crate::codec::tables::table;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file in the run's own folder.
pub struct GrowingFile {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl GrowingFile {
    /// Opens it, cut to `length`. Shorter than that it is not what was written.
    pub fn open(path: PathBuf, length: u64) -> Result<Self, Stopped> {
        let open = || -> io::Result<File> {
            let mut file = unlinked::options().write(true).create(true).truncate(false).open(&path)?;
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
pub fn part(folder: &Path, name: &str) -> PathBuf {
    folder.join(if table(name).is_sealed() { format!("{name}.rows") } else { name.to_owned() })
}

/// Makes the table of its rows and puts it in its place. Does nothing where that was done.
pub fn publish(folder: &Path, output: &Path, name: &str) -> Result<(), Stopped> {
    let (rows, whole, place) = (part(folder, name), folder.join(name), output.join(name));
    let format = table(name);
    if format.is_sealed() && rows.exists() {
        let make = || {
            let out = unlinked::create(&whole)?;
            format.seal(unlinked::open(&rows)?, out.try_clone()?)?;
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
pub fn take_back(folder: &Path, output: &Path, name: &str) -> Result<u64, Stopped> {
    let (rows, place) = (part(folder, name), output.join(name));
    let take = || {
        let format = table(name);
        if format.is_sealed() {
            let mut out = BufWriter::new(unlinked::create(&rows)?);
            format.unseal(unlinked::open(&place)?, &mut out)?;
            out.flush()?;
        } else {
            io::copy(&mut unlinked::open(&place)?, &mut unlinked::create(&rows)?)?;
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
