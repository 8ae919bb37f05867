//! A run that goes on, in `.rserve/` within its output: enough to go on with it, or to see that it is
//! another.

use super::Stopped;
use super::errors;
use super::identity::{Identity, RunRecord, what_is_there, write_record};
use super::journal::{self, Checkpoint, JOURNAL, Point};
use super::names::{self, Mark};
use super::output::write_whole;
use super::run::Counts;
use super::table::{self, GrowingFile};
use super::unlinked;
use super::written::{self, WrittenFiles};
use crate::codec::tables;
use std::borrow::Cow;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

pub const FOLDER: &str = ".rserve";
const DONE: &str = "done";
const DRAFTS: &str = "drafts";

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
    /// Go on with it, and run again what failed: its files may have been mended, so that the list of items
    /// may have changed.
    RetryFailed,
}

/// A run that is going on.
pub struct State {
    output: PathBuf,
    folder: PathBuf,
    record: RunRecord,
    journal: File,
    tables: Vec<GrowingFile>,
    errors: GrowingFile,
    done: GrowingFile,
    written: WrittenFiles,
    pub counts: Counts,
    /// The marks of items that were done before, sorted.
    before: Vec<Mark>,
    /// Held for as long as the run lasts.
    _lock: File,
}

pub enum Opened {
    GoesOn(Box<State>),
    /// It had come to its end before.
    Finished(Counts),
}

/// An earlier run, as its output folder tells of it.
#[derive(Clone, Debug)]
pub struct EarlierRun {
    pub run: Identity,
    /// The items that are on the disk.
    pub counts: Counts,
    /// Whether it has come to its end.
    pub finished: bool,
}

pub fn earlier(output: &Path) -> Result<Option<EarlierRun>, Stopped> {
    let Some(RunRecord { run, finished }) = what_is_there(output)? else { return Ok(None) };
    let counts = match finished {
        Some(counts) => counts,
        None => journal::last_point(&output.join(FOLDER))?.unwrap_or_default().counts(),
    };
    Ok(Some(EarlierRun { run, counts, finished: finished.is_some() }))
}

impl State {
    /// Begins a run, or goes on with one. `headers` are what stands before the first row of each table.
    pub fn open(output: &Path, run: Identity, headers: &[Vec<u8>], begin: Begin) -> Result<Opened, Stopped> {
        let folder = output.join(FOLDER);
        if run.tables.iter().any(|table| table == errors::NAME) {
            let name = errors::NAME;
            return Err(Stopped::Input(format!(
                "an encode would write `{name}`, where the items that fail are listed; give it another name"
            )));
        }
        let drafts = folder.join(DRAFTS);
        let before = match begin {
            Begin::Restart => None,
            _ => what_is_there(output)?,
        };
        if let Some(record) = &before {
            let same_list = Identity { list: run.list.clone(), items: run.items, ..record.run.clone() };
            let changes = run.changes(if begin == Begin::RetryFailed { &same_list } else { &record.run });
            match (changes.is_empty(), record.finished) {
                (true, Some(counts))
                    if record.run == run && !(begin == Begin::RetryFailed && counts.failed > 0) =>
                {
                    return Ok(Opened::Finished(counts));
                }
                (false, _) if begin != Begin::ResumeAnyway => {
                    return Err(Stopped::Changed { output: output.to_owned(), changes });
                }
                (false, _) if run.tables != record.run.tables => {
                    let why = "it has other tables; `--restart` begins anew".to_owned();
                    return Err(Stopped::Damaged { output: output.to_owned(), why });
                }
                _ => {}
            }
        }
        own_folder(output)?;
        run.folders.iter().try_for_each(|name| {
            unlinked::check(&output.join(name)).map_err(Stopped::output(&output.join(name)))
        })?;
        let lock = lock(output, &folder)?;
        // Whatever was being written when an earlier run was cut off.
        match fs::remove_dir_all(&drafts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Stopped::output(&drafts)(error));
            }
            _ => fs::create_dir(&drafts).map_err(Stopped::output(&drafts))?,
        }
        let point = match &before {
            None => None,
            Some(RunRecord { finished: None, .. }) => journal::last_point(&folder)?,
            Some(RunRecord { finished: Some(counts), run }) => {
                Some(taken_back(output, &folder, run, *counts)?)
            }
        };
        let errors = folder.join(errors::NAME);
        if point.as_ref().is_some_and(|point| point.errors > 0) && !errors.exists() {
            // Cut off while the files were put in their places.
            table::take_back(&folder, output, errors::NAME)?;
        }
        let point = match point {
            Some(point) if begin == Begin::RetryFailed => Some(without_failed(&folder, point)?),
            point => point,
        };
        let resumes = point.is_some();
        let point = point.unwrap_or_else(|| Point { tables: vec![0; run.tables.len()], ..Point::default() });
        // Before the record, so that no old point is taken for one of this run.
        let journal = journal::open_journal(&folder, &point)?;
        let earlier = if begin == Begin::Restart { what_is_there(output).ok().flatten() } else { None };
        let record = RunRecord { run, finished: None };
        if before.as_ref() != Some(&record) {
            write_record(&folder, &record)?;
        }
        if begin == Begin::Restart {
            written::remove_earlier(output, &folder, earlier.as_ref().map(|e| &e.run), &record.run)?;
        }
        let mut tables = vec![];
        for (index, table) in record.run.tables.iter().enumerate() {
            let length = point.tables.get(index).copied().unwrap_or(0);
            let part = table::part(&folder, table);
            // Cut off while the tables were put in their places.
            if length > 0 && !part.exists() && output.join(table).exists() {
                table::take_back(&folder, output, table)?;
            }
            let mut growing = GrowingFile::open(part, length)?;
            if length == 0 {
                let header = headers.get(index).map_or(&[][..], Vec::as_slice);
                growing.write(&of_table(&record.run, table, header)?)?;
            }
            tables.push(growing);
        }
        let errors = GrowingFile::open(errors, point.errors)?;
        let done = GrowingFile::open(folder.join(DONE), point.committed * size_of::<Mark>() as u64)?;
        let before = if resumes { read_marks(&folder)? } else { vec![] };
        let written = WrittenFiles::open(&folder, &record.run.folders)?;
        let counts = point.counts();
        let output = output.to_owned();
        let state = Self {
            output,
            folder,
            record,
            journal,
            tables,
            errors,
            done,
            written,
            counts,
            before,
            _lock: lock,
        };
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

    /// Notes a file. To be called before the file of an item is written, so that a run that begins anew finds it.
    pub fn will_write(&mut self, file: &Path) -> Result<(), Stopped> {
        self.written.note(file.strip_prefix(&self.output).unwrap_or(file))
    }

    /// `rows` are those for the tables, in their order.
    pub fn commit<'a>(
        &mut self,
        mark: &Mark,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Stopped> {
        let Self { tables, record, .. } = self;
        for ((table, name), row) in tables.iter_mut().zip(&record.run.tables).zip(rows) {
            table.write(&of_table(&record.run, name, row)?)?;
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
        let files = written::read(&self.folder)?;
        finish_record(&self.folder, &self.record.run, self.counts, read_marks(&self.folder)?, files)?;
        Ok(self.counts)
    }
}

/// A row, or the header, as it is written to a table.
fn of_table<'a>(run: &Identity, table: &str, row: &'a [u8]) -> Result<Cow<'a, [u8]>, Stopped> {
    if !run.csv_safe {
        return Ok(row.into());
    }
    tables::table(table).for_spreadsheets(row).map_err(Stopped::output(Path::new(table)))
}

/// Leaves in the run's folder what a finished run leaves: the same for the same run, however it came about.
pub fn finish_record(
    folder: &Path,
    run: &Identity,
    counts: Counts,
    mut marks: Vec<Mark>,
    files: Vec<Mark>,
) -> Result<(), Stopped> {
    marks.sort_unstable();
    write_whole(&folder.join(DONE), &marks.concat())?;
    written::write(folder, files)?;
    write_record(folder, &RunRecord { run: run.clone(), finished: Some(counts) })?;
    table::remove(&folder.join(JOURNAL))?;
    table::remove(&folder.join("lock"))?;
    match fs::remove_dir_all(folder.join(DRAFTS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Stopped::output(folder)(error)),
        _ => Ok(()),
    }
}

/// Makes an output folder and the run's own folder in it.
pub fn own_folder(output: &Path) -> Result<(), Stopped> {
    fs::create_dir_all(output).map_err(Stopped::output(output))?;
    unlinked::folders(output, Path::new(FOLDER)).map_err(Stopped::output(&output.join(FOLDER)))
}

/// Takes the lock of an output folder, which one run at a time has.
pub fn lock(output: &Path, folder: &Path) -> Result<File, Stopped> {
    let path = folder.join("lock");
    let lock = unlinked::options().write(true).create(true).truncate(false).open(&path);
    let lock = lock.map_err(Stopped::output(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Stopped::Busy(output.to_owned())),
        // Some file systems know no locks.
        Err(TryLockError::Error(_)) => Ok(lock),
    }
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

/// The point with what failed left out, which is then run again.
fn without_failed(folder: &Path, point: Point) -> Result<Point, Stopped> {
    let path = folder.join(errors::NAME);
    let text = unlinked::read(&path).map_err(Stopped::output(&path))?;
    let text = text.get(..point.errors as usize).unwrap_or(&text);
    let mut failed: Vec<Mark> = errors::paths(text).map(|name| names::mark(&name)).collect();
    failed.sort_unstable();
    let path = folder.join(DONE);
    let bytes = unlinked::read(&path).map_err(Stopped::output(&path))?;
    let committed = bytes.as_chunks().0.iter().take(point.committed as usize);
    let (failed, mut marks): (Vec<Mark>, Vec<Mark>) =
        committed.partition(|mark| failed.binary_search(mark).is_ok());
    let done = marks.len() as u64;
    // Last, so that the file is right by the old point and by the new one.
    marks.extend(failed);
    write_whole(&path, &marks.concat())?;
    Ok(Point { committed: done, failed: 0, errors: 0, ..point })
}

/// The marks of all items that are done, sorted.
pub fn read_marks(folder: &Path) -> Result<Vec<Mark>, Stopped> {
    let path = folder.join(DONE);
    let bytes = unlinked::read(&path).map_err(Stopped::output(&path))?;
    let mut marks: Vec<Mark> = bytes.as_chunks().0.to_vec();
    marks.sort_unstable();
    Ok(marks)
}
