//! Files that appear whole: written under a temporary name beside their place, then renamed.

use super::Stopped;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use tempfile::NamedTempFile;

pub struct Pending {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl Pending {
    /// Makes the folders above it, too.
    pub fn create(path: PathBuf) -> Result<Self, Stopped> {
        let file = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| temporary(&path))
            .map_err(Stopped::output(&path))?;
        Ok(Self { file: BufWriter::with_capacity(64 * 1024, file), path })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.file.write_all(bytes).map_err(Stopped::output(&self.path))
    }

    pub fn finish(self) -> Result<(), Stopped> {
        let Self { path, file } = self;
        let file = file.into_inner().map_err(|e| Stopped::output(&path)(e.into_error()))?;
        file.persist(&path).map_err(|e| Stopped::output(&path)(e.error))?;
        Ok(())
    }
}

fn temporary(path: &std::path::Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".rserve-").suffix(".part");
    // By itself a temporary file is for its owner alone; this one becomes a result like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Writes one whole file.
pub fn write_whole(path: PathBuf, bytes: &[u8]) -> Result<(), Stopped> {
    let mut file = Pending::create(path)?;
    file.write(bytes)?;
    file.finish()
}
