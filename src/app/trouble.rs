//! What keeps a command from its work.

use crate::diagnostic::Report;

#[derive(Debug)]
pub enum Trouble {
    /// The files are wrong, as the report says.
    Wrong(Report),
    /// The files may be right, but the store cannot be read.
    StoreUnreadable(Report),
    /// Something else that was given is wrong: a path, a name.
    Given(String),
    /// A port is taken, a model cannot be loaded, an output cannot be written.
    CouldNotRun(String),
}
