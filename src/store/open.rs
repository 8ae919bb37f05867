//! Opens files for reading: regular ones alone, without waiting, and no farther away than is allowed.
//!
//! A path is resolved first, links and all, and looked at: whether it lies within reach. It is then opened without
//! following any link, beneath a folder that is open already, so that whoever changes a link meanwhile changes nothing.

use super::StoreError;
use crate::plan::{Links, StoreRoot};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How often a path is resolved anew where it became another while it was opened.
const TRIES: usize = 3;

/// The places in which files may lie.
pub enum Reach {
    Anywhere,
    /// Links may lead within one of these folders.
    Within(Vec<Folder>),
}

/// A folder that is open.
pub struct Folder {
    /// The path without any link in it.
    path: PathBuf,
    open: OwnedFd,
}

/// A regular file that is open.
pub struct OpenFile {
    pub file: File,
    pub found: Metadata,
}

/// The identity of a file, whatever its names are: its device and its number there.
pub type FileId = (u64, u64);

// === impl Reach ===

impl Reach {
    /// The reach of a store, as its setting has it.
    pub fn of_store(root: &StoreRoot) -> Result<Self, StoreError> {
        Ok(match root.links {
            Links::Anywhere => Self::Anywhere,
            Links::Within => Self::Within(vec![Folder::open(root)?]),
        })
    }

    /// The reach of a model file that a person names, by the folders that it lies in under any of its names.
    pub fn of_folders(folders: &[PathBuf]) -> Self {
        Self::Within(folders.iter().filter_map(|folder| Folder::open(folder).ok()).collect())
    }

    /// Opens a regular file. One that lies out of reach, by way of a link, is an error.
    pub fn open(&self, path: &Path) -> Result<OpenFile, StoreError> {
        let failed = |source| StoreError::new(path, source);
        // Looked at before it is opened: to open a device may do something to it.
        is_regular(path, &fs::metadata(path).map_err(failed)?)?;
        let Self::Within(folders) = self else {
            let opened =
                rustix::fs::open(path, FLAGS, Mode::empty()).map_err(|error| failed(error.into()))?;
            return OpenFile::new(path, opened);
        };
        let mut tries = 1;
        loop {
            let target = path.canonicalize().map_err(failed)?;
            let within = |folder: &Folder| target.strip_prefix(&folder.path).ok().map(Path::to_owned);
            let Some((folder, below)) = folders.iter().find_map(|f| Some((f, within(f)?))) else {
                return Err(StoreError::LinkOutside { path: path.to_owned(), target });
            };
            match open_beneath(&folder.open, &below) {
                Ok(opened) => return OpenFile::new(path, opened),
                // It became another meanwhile.
                Err(Errno::LOOP | Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::AGAIN)
                    if tries < TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}

impl Folder {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::new(path, source);
        let path = path.canonicalize().map_err(failed)?;
        let open = rustix::fs::open(&path, FOLDER_FLAGS, Mode::empty()).map_err(|e| failed(e.into()))?;
        Ok(Self { path, open })
    }
}

// === impl OpenFile ===

impl OpenFile {
    fn new(path: &Path, opened: OwnedFd) -> Result<Self, StoreError> {
        let file = File::from(opened);
        let found = file.metadata().map_err(|source| StoreError::new(path, source))?;
        // The one that is open may be another than the one that was looked at.
        is_regular(path, &found)?;
        if is_of_the_kernel(&file) {
            return Err(StoreError::NotAFile(path.to_owned()));
        }
        Ok(Self { file, found })
    }

    pub fn id(&self) -> FileId {
        (self.found.dev(), self.found.ino())
    }
}

/// Neither does opening a FIFO wait for its other end, nor reading for whoever holds a lock.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn is_regular(path: &Path, found: &Metadata) -> Result<(), StoreError> {
    if found.is_file() { Ok(()) } else { Err(StoreError::NotAFile(path.to_owned())) }
}

/// Whether a file is made by the kernel as it is read: it has no size, and may make its reader wait.
fn is_of_the_kernel(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        /// `/proc`, `/sys`, the kernel's debugging and tracing, its control groups.
        const KINDS: [u64; 6] = [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x0027_e0eb, 0x6367_7270];
        rustix::fs::fstatfs(file).is_ok_and(|system| KINDS.contains(&(system.f_type as u64)))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Opens what lies beneath a folder, at a path in which there is no link.
fn open_beneath(folder: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(folder, below, FLAGS, Mode::empty(), beneath) {
            // A kernel before 5.6, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => {}
            opened => return opened,
        }
    }
    walk_beneath(folder, below)
}

/// Walks beneath a folder, a folder at a time.
fn walk_beneath(folder: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    let mut parts = below.components().peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(Errno::XDEV) };
        let flags = if parts.peek().is_some() { FOLDER_FLAGS } else { FLAGS } | OFlags::NOFOLLOW;
        at = Some(rustix::fs::openat(at.as_ref().unwrap_or(folder), name, flags, Mode::empty())?);
    }
    at.ok_or(Errno::ISDIR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_walk_goes_down_and_through_no_link() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/file"), "x").unwrap();
        symlink("a", root.path().join("linked")).unwrap();
        symlink("file", root.path().join("a/b/link")).unwrap();
        let folder = Folder::open(root.path()).unwrap().open;
        type Open = fn(&OwnedFd, &Path) -> Result<OwnedFd, Errno>;
        for open in [walk_beneath as Open, open_beneath] {
            let open = |path: &str| open(&folder, Path::new(path)).map(drop);
            assert_eq!(open("a/b/file"), Ok(()));
            for path in ["linked/b/file", "a/b/link", "../etc/passwd", "/etc/passwd", "a/none", ""] {
                assert!(open(path).is_err(), "{path:?}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    /// What blocks its reader, or does something as it is opened.
    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let fifo = root.path().join("fifo");
        let mode = Mode::from_bits_truncate(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let kinds = ["/dev/null", "/proc/self/status", "/proc/version"].map(Path::new);
        for path in kinds.into_iter().chain([&*fifo, root.path()]) {
            let error = Reach::Anywhere.open(path).map(drop).unwrap_err();
            assert!(matches!(error, StoreError::NotAFile(_)), "{}: {error}", path.display());
        }
    }
}
