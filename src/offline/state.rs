//! What a run knows of itself, in `.rserve/` within its output: enough to go on with it, or to see that it
//! is another.

use super::Stopped;
use super::errors;
use super::items::List;
use super::names::{Mark, Shard};
use super::output::write_whole;
use super::run::Counts;
use super::table::{self, Growing};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub const FOLDER: &str = ".rserve";
const RECORD: &str = "run.json";
const JOURNAL: &str = "journal";
const DONE: &str = "done";
const DRAFTS: &str = "drafts";

/// What is run: two runs with the same have the same results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub rserve: String,
    pub pipeline: String,
    /// Of the offline entry: its decodes, steps and encodes.
    pub plan: String,
    /// "surface@2", each with the digest of its files where that is known.
    pub models: Vec<(String, String)>,
    /// Of all items' names and sizes.
    pub list: String,
    /// Items, of this shard and within the limit.
    pub items: u64,
    pub shard: Option<String>,
    /// "rows.jsonl"
    pub tables: Vec<String>,
    /// Folders with a file for each item: "map".
    pub folders: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub run: Identity,
    pub finished: Option<Counts>,
}

/// What to do with an earlier run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// Go on with it if it is the same, else ask.
    #[default]
    Resume,
    /// Begin anew.
    Restart,
    /// Go on with it, whatever has changed.
    ResumeAnyway,
}

/// A line of the journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Point {
    /// Items that have a result or an error, in files that are on the disk.
    committed: u64,
    failed: u64,
    errors: u64,
    tables: Vec<u64>,
}

/// A run that is going on.
pub struct State {
    output: PathBuf,
    folder: PathBuf,
    record: Record,
    journal: File,
    tables: Vec<Growing>,
    errors: Growing,
    done: Growing,
    pub counts: Counts,
    /// Of items that were done before, in order.
    before: Vec<Mark>,
    /// Held for as long as the run lasts.
    _lock: File,
}

pub enum Opened {
    GoesOn(Box<State>),
    /// It had come to its end before.
    Finished(Counts),
}

/// What is to be put on the disk before a point of the journal holds.
pub struct Checkpoint {
    files: Vec<File>,
    /// The whole file system, where many files were written beside the tables.
    system: Option<File>,
    line: Vec<u8>,
    journal: File,
    path: PathBuf,
}

impl Identity {
    /// With what the list says.
    pub fn with_list(mut self, list: &List, shard: Option<Shard>) -> Self {
        self.list = list.digest.to_hex().to_string();
        self.items = list.total;
        self.shard = shard.map(|shard| shard.to_string());
        self
    }

    /// What is not as it was, a line each.
    fn changes(&self, before: &Self) -> Vec<String> {
        let mut changes = vec![];
        if self.pipeline != before.pipeline {
            changes.push(format!("the pipeline was `{}` and is `{}`", before.pipeline, self.pipeline));
        } else if (&self.plan, &self.tables, &self.folders) != (&before.plan, &before.tables, &before.folders)
        {
            changes.push(format!("`{}` is not declared as it was", self.pipeline));
        }
        if self.rserve != before.rserve {
            changes.push(format!("rserve was {} and is {}", before.rserve, self.rserve));
        }
        for (now, then) in self.models.iter().zip(&before.models) {
            match now == then {
                true => {}
                false if now.0 == then.0 => changes.push(format!("the files of `{}` have changed", now.0)),
                false => changes.push(format!("the model was `{}` and is `{}`", then.0, now.0)),
            }
        }
        if self.shard != before.shard {
            let shown = |shard: &Option<String>| shard.clone().unwrap_or("all".to_owned());
            let (was, is) = (shown(&before.shard), shown(&self.shard));
            changes.push(format!("the shard was {was} and is {is}"));
        } else if (&self.list, self.items) != (&before.list, before.items) {
            changes
                .push(format!("the list of {} items has changed; it has {} now", before.items, self.items));
        }
        if changes.is_empty() && self != before {
            changes.push("its settings have changed".to_owned());
        }
        changes
    }
}

/// The record of the run in an output folder, if there is one.
pub fn what_is_there(output: &Path) -> Result<Option<Record>, Stopped> {
    let path = output.join(FOLDER).join(RECORD);
    match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                Err(Stopped::Damaged { output: output.to_owned(), why: format!("run.json: {error}") })
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Stopped::output(&path)(error)),
    }
}

/// How many items the run in an output folder has ended, and whether it has come to its end.
pub fn ended_before(output: &Path) -> Result<Option<(u64, bool)>, Stopped> {
    Ok(match what_is_there(output)? {
        None => None,
        Some(Record { finished: Some(counts), .. }) => Some((counts.done + counts.failed, true)),
        Some(_) => {
            let point = last_point(&output.join(FOLDER))?;
            Some((point.map_or(0, |point| point.committed), false))
        }
    })
}

impl State {
    /// Begins a run, or goes on with one. `headers` are what stands before the first row of each table.
    pub fn open(output: &Path, run: Identity, headers: &[Vec<u8>], begin: Begin) -> Result<Opened, Stopped> {
        let folder = output.join(FOLDER);
        let drafts = folder.join(DRAFTS);
        let before = match begin {
            Begin::Restart => None,
            _ => what_is_there(output)?,
        };
        if let Some(record) = &before {
            let changes = run.changes(&record.run);
            match (changes.is_empty(), record.finished) {
                (true, Some(counts)) => return Ok(Opened::Finished(counts)),
                (false, _) if begin == Begin::Resume => {
                    return Err(Stopped::Changed { output: output.to_owned(), changes });
                }
                (false, _) if run.tables != record.run.tables => {
                    let why = "it has other tables; `--restart` begins anew".to_owned();
                    return Err(Stopped::Damaged { output: output.to_owned(), why });
                }
                _ => {}
            }
        }
        fs::create_dir_all(&folder).map_err(Stopped::output(&folder))?;
        let lock = lock(output, &folder)?;
        // Whatever was being written when an earlier run was cut off.
        match fs::remove_dir_all(&drafts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Stopped::output(&drafts)(error));
            }
            _ => fs::create_dir_all(&drafts).map_err(Stopped::output(&drafts))?,
        }
        let point = match &before {
            None => {
                // First, so that no old point is taken for one of this run.
                table::remove(&folder.join(JOURNAL))?;
                None
            }
            Some(Record { finished: None, .. }) => last_point(&folder)?,
            Some(Record { finished: Some(counts), run }) => Some(taken_back(output, &folder, run, *counts)?),
        };
        let resumes = point.is_some();
        let point = point.unwrap_or_else(|| Point { tables: vec![0; run.tables.len()], ..Point::default() });
        let record = Record { run, finished: None };
        if before.as_ref() != Some(&record) {
            write_record(&folder, &record)?;
        }
        let mut tables = vec![];
        for (index, table) in record.run.tables.iter().enumerate() {
            let length = point.tables.get(index).copied().unwrap_or(0);
            let part = table::part(&folder, table);
            // Cut off while the tables were put in their places.
            if length > 0 && !part.exists() && output.join(table).exists() {
                table::take_back(&folder, output, table)?;
            }
            let mut growing = Growing::open(part, length)?;
            if length == 0 {
                growing.write(headers.get(index).map_or(&[], Vec::as_slice))?;
            }
            tables.push(growing);
        }
        let errors = folder.join(errors::NAME);
        if point.errors > 0 && !errors.exists() && output.join(errors::NAME).exists() {
            table::take_back(&folder, output, errors::NAME)?;
        }
        let errors = Growing::open(errors, point.errors)?;
        let done = Growing::open(folder.join(DONE), point.committed * size_of::<Mark>() as u64)?;
        let before = if resumes { read_marks(&folder)? } else { vec![] };
        let path = folder.join(JOURNAL);
        let journal = open_journal(&path, &point).map_err(Stopped::output(&path))?;
        let counts = Counts { done: point.committed.saturating_sub(point.failed), failed: point.failed };
        let output = output.to_owned();
        let state =
            Self { output, folder, record, journal, tables, errors, done, counts, before, _lock: lock };
        Ok(Opened::GoesOn(Box::new(state)))
    }

    pub fn drafts(&self) -> PathBuf {
        self.folder.join(DRAFTS)
    }

    /// Whether the item was committed by an earlier run.
    pub fn is_done(&self, mark: &Mark) -> bool {
        self.before.binary_search(mark).is_ok()
    }

    /// Items that were committed by an earlier run.
    pub fn done_before(&self) -> u64 {
        self.before.len() as u64
    }

    /// `rows` are those for the tables, in their order.
    pub fn commit<'a>(
        &mut self,
        mark: &Mark,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Stopped> {
        for (table, row) in self.tables.iter_mut().zip(rows) {
            table.write(row)?;
        }
        self.counts.done += 1;
        self.done.write(mark)
    }

    pub fn commit_error(&mut self, mark: &Mark, line: &[u8]) -> Result<(), Stopped> {
        self.errors.write(line)?;
        self.counts.failed += 1;
        self.done.write(mark)
    }

    /// All that was committed so far.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, Stopped> {
        let mut files = vec![];
        let mut lengths = vec![];
        for table in &mut self.tables {
            let (length, file) = table.flush()?;
            lengths.push(length);
            files.push(file);
        }
        let (errors, file) = self.errors.flush()?;
        files.push(file);
        let (done, file) = self.done.flush()?;
        files.push(file);
        let committed = done / size_of::<Mark>() as u64;
        let point = Point { committed, failed: self.counts.failed, errors, tables: lengths };
        let line = point.line();
        let path = self.folder.join(JOURNAL);
        let journal = self.journal.try_clone().map_err(Stopped::output(&path))?;
        let system = match self.record.run.folders.is_empty() {
            true => None,
            false => Some(File::open(&self.output).map_err(Stopped::output(&self.output))?),
        };
        Ok(Checkpoint { files, system, line, journal, path })
    }

    /// Puts everything in its place. REQUIRES that all items are committed.
    pub fn finish(mut self) -> Result<Counts, Stopped> {
        self.checkpoint()?.write()?;
        for table in &self.record.run.tables {
            table::publish(&self.folder, &self.output, table)?;
        }
        if self.counts.failed > 0 {
            table::publish(&self.folder, &self.output, errors::NAME)?;
        } else {
            table::remove(&self.folder.join(errors::NAME))?;
            table::remove(&self.output.join(errors::NAME))?;
        }
        finish_record(&self.folder, &self.record.run, self.counts, read_marks(&self.folder)?)?;
        Ok(self.counts)
    }
}

/// Leaves in the run's folder what a finished run leaves: the same for the same run, however it came about.
pub fn finish_record(
    folder: &Path,
    run: &Identity,
    counts: Counts,
    mut marks: Vec<Mark>,
) -> Result<(), Stopped> {
    marks.sort_unstable();
    write_whole(&folder.join(DONE), &marks.concat())?;
    write_record(folder, &Record { run: run.clone(), finished: Some(counts) })?;
    table::remove(&folder.join(JOURNAL))?;
    table::remove(&folder.join("lock"))?;
    match fs::remove_dir_all(folder.join(DRAFTS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Stopped::output(folder)(error)),
        _ => Ok(()),
    }
}

impl Checkpoint {
    /// Waits for the disk.
    pub fn write(mut self) -> Result<(), Stopped> {
        let mut write = || {
            match &self.system {
                #[cfg(target_os = "linux")]
                Some(folder) => rustix::fs::syncfs(folder)?,
                _ => self.files.iter().try_for_each(File::sync_data)?,
            }
            self.journal.write_all(&self.line)?;
            self.journal.sync_data()
        };
        write().map_err(Stopped::output(&self.path))
    }
}

/// One run an output.
pub fn lock(output: &Path, folder: &Path) -> Result<File, Stopped> {
    let path = folder.join("lock");
    let lock = File::create(&path).map_err(Stopped::output(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Stopped::Busy(output.to_owned())),
        // Some file systems know no locks.
        Err(TryLockError::Error(_)) => Ok(lock),
    }
}

fn write_record(folder: &Path, record: &Record) -> Result<(), Stopped> {
    let mut bytes = serde_json::to_vec_pretty(record).unwrap_or_default();
    bytes.push(b'\n');
    write_whole(&folder.join(RECORD), &bytes)
}

/// Begins it anew with the point that the run goes on from.
fn open_journal(path: &Path, point: &Point) -> io::Result<File> {
    let draft = path.with_extension("new");
    let mut journal = File::create(&draft)?;
    if point.committed > 0 {
        journal.write_all(&point.line())?;
        journal.sync_data()?;
    }
    fs::rename(&draft, path)?;
    Ok(journal)
}

impl Point {
    fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The last line that is whole.
fn last_point(folder: &Path) -> Result<Option<Point>, Stopped> {
    let path = folder.join(JOURNAL);
    let mut text = vec![];
    match File::open(&path).and_then(|mut file| file.read_to_end(&mut text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Stopped::output(&path))?,
    };
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = text[..whole].split(|byte| *byte == b'\n').rev();
    Ok(lines.find_map(|line| serde_json::from_slice(line).ok()))
}

/// Makes a finished run one that goes on.
fn taken_back(output: &Path, folder: &Path, run: &Identity, counts: Counts) -> Result<Point, Stopped> {
    let tables = run.tables.iter().map(|table| table::take_back(folder, output, table));
    let tables = tables.collect::<Result<_, _>>()?;
    let errors = match counts.failed {
        0 => 0,
        _ => table::take_back(folder, output, errors::NAME)?,
    };
    Ok(Point { committed: counts.done + counts.failed, failed: counts.failed, errors, tables })
}

/// Sorted.
pub fn read_marks(folder: &Path) -> Result<Vec<Mark>, Stopped> {
    let path = folder.join(DONE);
    let bytes = fs::read(&path).map_err(Stopped::output(&path))?;
    let mut marks: Vec<Mark> = bytes.as_chunks().0.to_vec();
    marks.sort_unstable();
    Ok(marks)
}
