//! Files that appear whole: written in the run's own folder, then renamed.

use super::{Stopped, unlinked};
use crate::plan::EncodePlan;
use crate::sync::{Mutex, lock};
use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// `<output>/<encode>/<item>.<extension>`
pub fn file_of(output: &Path, encode: &str, item: &str, extension: &str) -> PathBuf {
    output.join(encode).join(format!("{item}.{extension}"))
}

/// The folder that the files of items go to.
pub struct OutputFolder {
    /// The output folder.
    pub output: PathBuf,
    /// The folder for files that are being written, on the same file system.
    pub drafts: PathBuf,
    /// The folders in it that are known to be such, and no links.
    pub known: Mutex<HashSet<PathBuf>>,
}

/// Why a file was not written.
pub enum Unwritten {
    /// The file system takes no file of this name, which is this item's affair alone.
    Name(io::Error),
    Stopped(Stopped),
}

impl OutputFolder {
    /// The path of the file with an item's answer.
    pub fn file(&self, encode: &EncodePlan, item: &str) -> PathBuf {
        file_of(&self.output, &encode.name, item, encode.encode.extension())
    }

    /// `draft` is a name that no other file has that is being written.
    pub fn write(&self, path: &Path, draft: &str, bytes: &[u8]) -> Result<(), Unwritten> {
        let draft = self.drafts.join(draft);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidFilename
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists => Unwritten::Name(error),
            _ => Unwritten::Stopped(Stopped::Output { path: path.to_owned(), source: error }),
        };
        let mut file = unlinked::create(&draft).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        drop(file);
        let folder = path.parent().unwrap_or(&self.output);
        if !lock(&self.known).contains(folder) {
            self.make(folder).map_err(failed)?;
        }
        match fs::rename(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make(folder).map_err(failed)?;
                fs::rename(&draft, path).map_err(failed)
            }
            renamed => renamed.map_err(failed),
        }
    }

    /// Makes a folder in the output folder.
    fn make(&self, folder: &Path) -> io::Result<()> {
        unlinked::folders(&self.output, folder.strip_prefix(&self.output).unwrap_or(folder))?;
        lock(&self.known).insert(folder.to_owned());
        Ok(())
    }
}

/// Writes a small file that is there whole or not at all, even after a power cut.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Stopped> {
    let failed = || Stopped::output(path);
    let draft = path.with_extension("new");
    let mut file = unlinked::create(&draft).map_err(failed())?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(failed())?;
    fs::rename(&draft, path).map_err(failed())
}
