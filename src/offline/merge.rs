//! The outputs of all shards to what one run would have written.

use super::Stopped;
use super::errors;
use super::identity::{Identity, RECORD, RunRecord, what_is_there};
use super::names::{self, Shard};
use super::run::Counts;
use super::state::{self, FOLDER};
use super::table;
use super::unlinked;
use super::written;
use crate::codec::tables::{self, TableRows};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

#[derive(Clone, Debug)]
pub struct Merged {
    pub counts: Counts,
    pub tables: Vec<String>,
    /// Files of items that were copied.
    pub files: u64,
}

/// REQUIRES nothing: that the shards belong together, are all there and finished is checked first.
pub fn merge(shards: &[PathBuf], output: &Path) -> Result<Merged, Stopped> {
    let (run, counts) = check(shards)?;
    let folder = output.join(FOLDER);
    if let Some(RunRecord { finished: None, .. }) = what_is_there(output)? {
        let why = "it is not finished".to_owned();
        return Err(Stopped::Damaged { output: output.to_owned(), why });
    }
    state::own_folder(output)?;
    let _lock = state::lock(output, &folder)?;
    // Until the end it is nothing that could be merged or gone on with.
    table::remove(&folder.join(RECORD))?;

    let mut files = 0;
    for shard in shards {
        for name in &run.folders {
            files += copy_folder(&shard.join(name), output, name, &folder.join("draft"))?;
        }
    }
    for name in &run.tables {
        gather(shards, name, run.csv_safe, &folder)?;
        table::publish(&folder, output, name)?;
    }
    if counts.failed > 0 {
        gather(shards, errors::NAME, false, &folder)?;
        table::publish(&folder, output, errors::NAME)?;
    } else {
        table::remove(&output.join(errors::NAME))?;
    }
    let (mut marks, mut written) = (vec![], vec![]);
    for shard in shards {
        marks.extend(state::read_marks(&shard.join(FOLDER))?);
        written.extend(written::read(&shard.join(FOLDER))?);
    }
    state::finish_record(&folder, &run, counts, marks, written)?;
    Ok(Merged { counts, tables: run.tables, files })
}

/// What one run of all would have been.
fn check(shards: &[PathBuf]) -> Result<(Identity, Counts), Stopped> {
    let wrong = |text: String| Err(Stopped::Input(text));
    let mut whole: Option<Identity> = None;
    let mut counts = Counts::default();
    let mut items = 0;
    let mut seen: Vec<Shard> = vec![];
    for path in shards {
        let shown = path.display();
        let Some(record) = what_is_there(path)? else {
            return wrong(format!("`{shown}` is no output of `rserve batch`"));
        };
        let Some(finished) = record.finished else {
            return wrong(format!("the run in `{shown}` is not finished"));
        };
        let shard = record.run.shard.as_deref().and_then(|shard| shard.parse::<Shard>().ok());
        let Some(shard) = shard else {
            return wrong(format!("`{shown}` is no shard: it was run without `--shard`"));
        };
        if seen.contains(&shard) {
            return wrong(format!("`{shown}` is shard {shard}, which is there already"));
        }
        items += record.run.items;
        counts.done += finished.done;
        counts.failed += finished.failed;
        let of_all = Identity { shard: None, items: 0, ..record.run };
        match (&whole, seen.first()) {
            (Some(whole), _) if *whole != of_all => {
                let differs = differs(whole, &of_all);
                return wrong(format!("`{shown}` does not belong to the others: {differs}"));
            }
            (_, Some(first)) if first.of != shard.of => {
                return wrong(format!("`{shown}` is shard {shard}, and there is a shard {first}"));
            }
            _ => whole = Some(of_all),
        }
        seen.push(shard);
    }
    let (Some(whole), Some(first)) = (whole, seen.first()) else {
        return wrong("there is nothing to merge".to_owned());
    };
    let missing = (0..first.of).map(|index| Shard { index, of: first.of }).filter(|s| !seen.contains(s));
    let missing: Vec<String> = missing.map(|shard| shard.to_string()).take(10).collect();
    if !missing.is_empty() {
        return wrong(format!("these shards are missing: {}", missing.join(", ")));
    }
    Ok((Identity { items, ..whole }, counts))
}

fn differs(a: &Identity, b: &Identity) -> &'static str {
    if a.pipeline != b.pipeline {
        "it is of another pipeline"
    } else if a.models != b.models {
        "it was run with other models"
    } else if a.list != b.list {
        "its list of items was another"
    } else {
        "the pipeline was declared otherwise, or rserve another"
    }
}

/// Copies what one shard wrote for each item; says how many files that was.
fn copy_folder(from: &Path, output: &Path, name: &str, draft: &Path) -> Result<u64, Stopped> {
    let mut count = 0;
    if fs::symlink_metadata(from).is_err() {
        return Ok(0);
    }
    for entry in WalkDir::new(from).follow_root_links(false) {
        let entry = entry.map_err(|e| Stopped::Input(format!("cannot read `{}`: {e}", from.display())))?;
        let below = Path::new(name).join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let place = output.join(&below);
        let failed = || Stopped::output(&place);
        if entry.file_type().is_dir() {
            unlinked::folders(output, &below).map_err(failed())?;
            continue;
        }
        let mut file = unlinked::open(entry.path()).map_err(|e| unreadable(entry.path(), &e))?;
        let copied = unlinked::create(draft).and_then(|mut draft| io::copy(&mut file, &mut draft));
        copied.and_then(|_| fs::rename(draft, &place)).map_err(failed())?;
        count += 1;
    }
    Ok(count)
}

fn unreadable(path: &Path, error: &io::Error) -> Stopped {
    Stopped::Input(format!("cannot read `{}`: {error}", path.display()))
}

// --- tables

/// The rows of all shards in the order of the items.
fn gather(shards: &[PathBuf], table: &str, csv_safe: bool, folder: &Path) -> Result<(), Stopped> {
    let part = table::part(folder, table);
    let mut sources = vec![];
    for shard in shards {
        let path = shard.join(table);
        if table == errors::NAME && fs::symlink_metadata(&path).is_err() {
            continue;
        }
        let source = open(&path, table, folder);
        sources.push(source.map_err(|e| unreadable(&path, &e))?);
    }
    let plain = |name: String| match name.strip_prefix('\'') {
        Some(plain) if csv_safe && table.ends_with(".csv") => plain.to_owned(),
        _ => name,
    };
    write_rows(sources, &part, &plain).map_err(Stopped::output(&part))
}

/// `plain` makes what a table calls an item into its name.
fn write_rows(
    mut sources: Vec<Box<dyn TableRows>>,
    part: &Path,
    plain: &dyn Fn(String) -> String,
) -> io::Result<()> {
    let mut out = BufWriter::new(unlinked::create(part)?);
    if let Some(first) = sources.first() {
        out.write_all(first.header())?;
    }
    let mut heads = BinaryHeap::new();
    for (index, source) in sources.iter_mut().enumerate() {
        heads.extend(source.next()?.map(|(name, row)| Head { name: plain(name), row, source: index }));
    }
    while let Some(head) = heads.pop() {
        out.write_all(&head.row)?;
        if let Some(source) = sources.get_mut(head.source) {
            let next = source.next()?;
            heads.extend(next.map(|(name, row)| Head { name: plain(name), row, source: head.source }));
        }
    }
    out.into_inner().map_err(|e| e.into_error())?.sync_data()
}

struct Head {
    name: String,
    row: Vec<u8>,
    source: usize,
}

impl Ord for Head {
    /// The first item is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        names::order(&other.name, &self.name).then_with(|| other.source.cmp(&self.source))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// The rows of a table, whether they are the table or lie within it.
fn open(path: &Path, name: &str, folder: &Path) -> io::Result<Box<dyn TableRows>> {
    let (format, file) = (tables::table(name), unlinked::open(path)?);
    if !format.is_sealed() {
        return format.rows(file);
    }
    let mut gathered = BufWriter::new(tempfile::tempfile_in(folder)?);
    format.unseal(file, &mut gathered)?;
    let mut gathered = gathered.into_inner().map_err(|e| e.into_error())?;
    gathered.rewind()?;
    format.rows(gathered)
}
