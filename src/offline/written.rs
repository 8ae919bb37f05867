//! Which files a run writes for its items, so that one that begins anew removes them and no others: a mark of
//! each path, noted before the file is there.

use super::Stopped;
use super::identity::Identity;
use super::names::{self, Mark};
use super::output::write_whole;
use super::{table, unlinked};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

const NAME: &str = "files";

/// `None` where a run writes tables alone.
pub struct WrittenFiles(Option<(File, PathBuf)>);

impl WrittenFiles {
    /// Adds to what is there.
    pub fn open(folder: &Path, folders: &[String]) -> Result<Self, Stopped> {
        if folders.is_empty() {
            return Ok(Self(None));
        }
        let path = folder.join(NAME);
        let open = || -> io::Result<File> {
            let file = unlinked::options().append(true).create(true).open(&path)?;
            let length = file.metadata()?.len();
            file.set_len(length - length % size_of::<Mark>() as u64)?;
            Ok(file)
        };
        let file = open().map_err(Stopped::output(&path))?;
        Ok(Self(Some((file, path))))
    }

    /// `path` is relative to the output. Not buffered, so that a kill loses nothing.
    pub fn note(&mut self, path: &Path) -> Result<(), Stopped> {
        match &mut self.0 {
            Some((file, at)) => file.write_all(&mark(path)).map_err(Stopped::output(at)),
            None => Ok(()),
        }
    }
}

fn mark(path: &Path) -> Mark {
    names::mark_of(path.as_os_str().as_bytes())
}

pub fn read(folder: &Path) -> Result<Vec<Mark>, Stopped> {
    let path = folder.join(NAME);
    match unlinked::read(&path) {
        Ok(bytes) => Ok(bytes.as_chunks().0.to_vec()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(Stopped::output(&path)(error)),
    }
}

/// Writes each mark once and in order.
pub fn write(folder: &Path, mut marks: Vec<Mark>) -> Result<(), Stopped> {
    if marks.is_empty() {
        return table::remove(&folder.join(NAME));
    }
    marks.sort_unstable();
    marks.dedup();
    write_whole(&folder.join(NAME), &marks.concat())
}

/// Removes what earlier runs have written and this one will not put in its place by itself: the files of
/// items, and tables of other names. Whatever else is there stays.
pub fn remove_earlier(
    output: &Path,
    folder: &Path,
    earlier: Option<&Identity>,
    run: &Identity,
) -> Result<(), Stopped> {
    for name in earlier.iter().flat_map(|earlier| &earlier.tables).filter(|name| !run.tables.contains(name)) {
        table::remove(&table::part(folder, name))?;
        table::remove(&output.join(name))?;
    }
    let mut marks = read(folder)?;
    marks.sort_unstable();
    let folders: BTreeSet<&String> =
        run.folders.iter().chain(earlier.iter().flat_map(|earlier| &earlier.folders)).collect();
    let mut emptied = BTreeSet::new();
    for entry in folders
        .into_iter()
        .flat_map(|name| WalkDir::new(output.join(name)).follow_root_links(false))
        .flatten()
    {
        let below = entry.path().strip_prefix(output).unwrap_or(entry.path());
        if !entry.file_type().is_dir() && marks.binary_search(&mark(below)).is_ok() {
            table::remove(entry.path())?;
            let above = below.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
            emptied.extend(above.map(Path::to_owned));
        }
    }
    for below in emptied.iter().rev() {
        // One with something in it stays.
        let _ = fs::remove_dir(output.join(below));
    }
    table::remove(&folder.join(NAME))
}
