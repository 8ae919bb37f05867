//! The model store on disk: `<store>/<model>/<version>/model.onnx`, its versions and digests.
//!
//! A version is a canonical unsigned integer; whatever else lies about is ignored, and [`Scan::ignored`]
//! says why. Files are read whole into private memory, never mapped, so that what happens to a file that is
//! being served is harmless. It does not know what a model computes.

pub mod content;
mod digest;
mod found;
mod links;
mod model_files;
mod open;
mod read;
mod scan;
mod stamp;

pub use content::Content;
pub use digest::Digest;
pub use model_files::{Format, MODEL_LIMIT, ModelFiles, Opaque, model};
pub use read::{LABELS_LIMIT, Reading, VersionFiles, read};
pub use scan::{Ignored, Scan, scan, versions};
pub use stamp::{COARSEST, Stamp, stamp};

use crate::memory::Full;
use std::io;
use std::path::{Path, PathBuf};

/// The name of a version's model file.
pub const MODEL_FILE: &str = "model.onnx";

/// The store, or something in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no folder `{}`; a store is a folder of `<model>/<version>/{MODEL_FILE}`", .0.display())]
    NoFolder(PathBuf),
    #[error("there is no `{}`", .0.display())]
    Missing(PathBuf),
    #[error("`{}` may not be read; give the user that rserve runs as the right to read it", .0.display())]
    Forbidden(PathBuf),
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("`{}` has {bytes} bytes, and {limit} is the most that is read", path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("`{}` is empty", .0.display())]
    Empty(PathBuf),
    #[error("`{}` is not UTF-8 text (byte {offset})", path.display())]
    NotText { path: PathBuf, offset: usize },
    #[error(
        "`{}` is a link that leads out of the store, to `{}`; `links = \"anywhere\"` in `[store]` lets links lead anywhere",
        path.display(),
        target.display()
    )]
    LinkOutside { path: PathBuf, target: PathBuf },
    #[error("`{}` and what is read with it have {bytes} bytes, and {most} bytes is the most that may be loaded", path.display())]
    TooMuch { path: PathBuf, bytes: u64, most: u64 },
    /// It is worth another try.
    #[error("there is no memory for the {bytes} bytes of `{}` and what is read with it at this time", path.display())]
    NoMemory { path: PathBuf, bytes: u64 },
    #[error("cannot read `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl StoreError {
    /// `bytes` are all that were wanted, those that were held before among them.
    fn memory(path: &Path, bytes: u64, full: Full) -> Self {
        let path = path.to_owned();
        match bytes > full.most {
            true => Self::TooMuch { path, bytes, most: full.most },
            false => Self::NoMemory { path, bytes },
        }
    }

    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing(path),
            io::ErrorKind::PermissionDenied => Self::Forbidden(path),
            _ => Self::Io { path, source },
        }
    }
}
