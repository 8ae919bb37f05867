//! Folders in, tables and files out, through the same flow as HTTP.
//!
//! [`find`] lists the items; [`run`] keeps enough of them in flight to fill batches, and writes what comes
//! back: one table for an encode of rows, one file an item for any other. One bad item is one line in
//! `errors.jsonl`.
//!
//! All that a run knows of itself lies in `.rserve/` within its output: what it runs (`run.json`), how far
//! it is (`journal`), which items are done (`done`), and the tables as far as they are written. Items are
//! committed in the order of the list. A line of the journal says how long each of those files was when
//! all in it was on the disk, so that a run that was cut off, however that came, cuts them to these lengths
//! and goes on: its end is that of a run that was not. Tables move to their place when all is done.

mod errors;
mod find;
mod glob;
mod identity;
mod items;
mod journal;
mod listing;
mod merge;
mod names;
mod output;
mod progress;
mod record;
mod rows;
mod run;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod unlinked;
mod written;

pub use errors::NAME as ERRORS;
pub use find::{Inputs, find};
pub use glob::Glob;
pub use identity::Identity;
pub use items::{Input, Item, List, Selection};
pub use merge::{Merged, merge};
pub use names::Shard;
pub use output::file_of;
pub use progress::{Progress, TimeSpent};
pub use run::{Answer, Counts, Ended, Flow, Refused, RunSpec, Summary, run};
pub use state::{Begin, EarlierRun, earlier};

use std::io;
use std::path::{Path, PathBuf};

/// The run cannot go on. What was committed stays, and the same command goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error("{0}")]
    Input(String),
    #[error("cannot write the list of items to the folder for temporary files: {0}")]
    List(io::Error),
    #[error("cannot write `{}`: {source}", path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Server(String),
    #[error("interrupted")]
    Interrupted,
    #[error("gave up: {failed} items have failed, more than `--max-errors {most}` allows")]
    TooManyErrors { failed: u64, most: u64 },
    /// What was begun here is not what is asked for now.
    #[error("`{}` holds a run of something else:\n  {}", output.display(), changes.join("\n  "))]
    Changed { output: PathBuf, changes: Vec<String> },
    #[error("another run writes to `{}`", .0.display())]
    Busy(PathBuf),
    #[error("what is left of an earlier run in `{}` cannot be gone on with: {why}", output.display())]
    Damaged { output: PathBuf, why: String },
}

impl Stopped {
    fn output(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Output { path: path.to_owned(), source }
    }

    fn list(error: io::Error) -> Self {
        Self::List(error)
    }
}
