//! `errors.jsonl`: a line for each item that has no result.

use super::Stopped;
use super::output::Pending;
use serde::Serialize;
use std::path::Path;

/// Begun with the first error; without one there is no such file.
pub struct Errors<'a> {
    folder: &'a Path,
    file: Option<Pending>,
    pub count: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    /// The decode, step or encode at which it failed; "read" where its files could not be read.
    step: &'a str,
    reason: &'a str,
}

const NAME: &str = "errors.jsonl";

impl<'a> Errors<'a> {
    pub fn new(folder: &'a Path) -> Self {
        Self { folder, file: None, count: 0 }
    }

    pub fn add(&mut self, path: &str, step: &str, reason: &str) -> Result<(), Stopped> {
        self.count += 1;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(Pending::create(self.folder.join(NAME))?),
        };
        let mut line = serde_json::to_vec(&Line { path, step, reason }).unwrap_or_default();
        line.push(b'\n');
        file.write(&line)
    }

    /// Makes the file visible, or takes away that of an earlier run.
    pub fn finish(self) -> Result<(), Stopped> {
        match self.file {
            Some(file) => file.finish(),
            None => match std::fs::remove_file(self.folder.join(NAME)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Stopped::output(&self.folder.join(NAME))(error))
                }
                _ => Ok(()),
            },
        }
    }
}
