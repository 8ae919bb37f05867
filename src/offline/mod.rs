//! Folders in, tables and files out, through the same flow as HTTP.
//!
//! [`find`] lists the items; [`run`] keeps enough of them in flight to fill batches, and writes what comes
//! back: one table for an encode of rows, one file an item for any other. One bad file is one line in
//! `errors.jsonl`. Nothing is visible under its name before it is whole.

mod errors;
mod items;
mod output;
mod progress;
mod run;
mod table;

pub use items::{Found, Item, Misfit, find};
pub use progress::Progress;
pub use run::{Answer, Flow, Job, Refused, Summary, run};

use std::io;
use std::path::{Path, PathBuf};

/// The run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error("cannot write `{}`: {source}", path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("interrupted; nothing was left half-written")]
    Interrupted,
}

impl Stopped {
    fn output(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Output { path: path.to_owned(), source }
    }
}
