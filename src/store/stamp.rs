//! Whether a version's files may have changed, without reading them.

use super::links::{below, folders};
use super::{MODEL_FILE, StoreError};
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The facts that the file system has about each of a version's files. Two that are equal, and [`Stamp::is_old`], mean
/// equal contents; two that differ mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<(String, FileStamp)>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileStamp {
    len: u64,
    modified: Option<SystemTime>,
    /// Device, inode and time of the last change of either content or attributes, where there are such: so
    /// that a file put in another's place with its times (`cp -p`) is seen.
    place: [i64; 4],
}

/// The coarsest clock of a file system in use (FAT counts in steps of 2 s).
pub const COARSEST: Duration = Duration::from_secs(3);

/// Folders within folders that weights may be in.
const DEPTH: usize = 4;

/// The stamp of `model.onnx` and all that is beside it: weights may be in files of any name. Of those that `weights`
/// names, which are known once the model was read, also what lies beside the file that `model.onnx` links to.
pub fn stamp(
    root: &Path,
    model: &str,
    version: u64,
    weights: &BTreeSet<String>,
) -> Result<Stamp, StoreError> {
    let folder = root.join(model).join(version.to_string());
    let mut files = vec![];
    add(&folder, "", DEPTH, &mut files)?;
    for path in weights.iter().filter_map(|name| below(name)) {
        let beyond = || folders(&folder.join(MODEL_FILE)).into_iter().skip(1).map(|other| other.join(&path));
        // As they are looked for when they are read.
        if !folder.join(&path).is_file()
            && let Some(found) = beyond().find_map(|path| fs::metadata(path).ok().filter(Metadata::is_file))
        {
            files.push((path.to_string_lossy().into_owned(), FileStamp::new(&found)));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Stamp(files))
}

fn add(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, FileStamp)>,
) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(|source| StoreError::new(folder, source))? {
        let entry = entry.map_err(|source| StoreError::new(folder, source))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (name, path) = (format!("{prefix}{name}"), entry.path());
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() && depth > 0 && !entry.file_type().is_ok_and(|t| t.is_symlink()) => {
                add(&path, &format!("{name}/"), depth - 1, files)?;
            }
            Ok(found) => files.push((name, FileStamp::new(&found))),
            Err(source) if name == MODEL_FILE || name.ends_with(".txt") => {
                return Err(StoreError::new(&path, source));
            }
            // Not one of ours, or gone again.
            Err(_) => {}
        }
    }
    Ok(())
}

impl Stamp {
    /// Whether a change made now would show: the latest one is farther back than the clocks are coarse.
    pub fn is_old(&self, now: SystemTime) -> bool {
        self.0.iter().all(|(_, file)| {
            let age = file.modified.and_then(|modified| now.duration_since(modified).ok());
            age.is_some_and(|age| age >= COARSEST)
        })
    }
}

impl Stamp {
    /// The time since the latest change, by the files' own times; `None` where that is not known, or is in
    /// the future.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.0.iter().map(|(_, file)| now.duration_since(file.changed()?).ok()).min_by(|a, b| {
            match (a, b) {
                (Some(a), Some(b)) => a.cmp(b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            }
        })?
    }
}

impl FileStamp {
    /// When its content or its attributes were last changed: a file that is moved or copied with its times
    /// has changed when that was done.
    fn changed(&self) -> Option<SystemTime> {
        let [_, _, seconds, nanoseconds] = self.place;
        let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
        self.modified.map(|modified| modified.max(SystemTime::UNIX_EPOCH + since))
    }

    fn new(found: &Metadata) -> Self {
        let place = [found.dev() as i64, found.ino() as i64, found.ctime(), found.ctime_nsec()];
        Self { len: found.len(), modified: found.modified().ok(), place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_put_in_anothers_place_with_its_time_and_length_shows() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("model/1");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(MODEL_FILE);
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap();
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        };
        let stamp = || stamp(root.path(), "model", 1, &BTreeSet::new()).unwrap();
        write(&path, "one");
        let first = stamp();
        assert_eq!(stamp(), first);
        assert!(first.is_old(SystemTime::now()));
        write(&folder.join("weights.bin"), "1");
        let second = stamp();
        assert_ne!(second, first);
        write(&folder.join("weights.bin"), "2");
        let first = stamp();
        assert_ne!(first, second);
        write(&folder.join("next"), "two");
        fs::rename(folder.join("next"), &path).unwrap();
        assert_ne!(stamp(), first);
        fs::write(folder.join("labels.txt"), "new").unwrap();
        assert!(!stamp().is_old(SystemTime::now()));
    }
}
