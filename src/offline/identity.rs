//! What a run is about, as `.rserve/run.json` keeps it.

use super::Stopped;
use super::items::List;
use super::names::Shard;
use super::output::write_whole;
use super::run::Counts;
use super::state::FOLDER;
use super::unlinked;
use crate::plan::are_comparable;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

pub const RECORD: &str = "run.json";

/// What is run: two runs with the same have the same results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub rserve: String,
    pub pipeline: String,
    /// The digest of the offline entry: of its decodes, steps and encodes.
    pub plan: String,
    /// "surface@2", each with the digest of its files where that is known.
    pub models: Vec<(String, String)>,
    /// The digest of all items' names and sizes.
    pub list: String,
    /// The number of items of this shard and within the limit.
    pub items: u64,
    pub shard: Option<String>,
    /// "rows.jsonl"
    pub tables: Vec<String>,
    /// Folders with a file for each item: "map".
    pub folders: Vec<String>,
    /// Whether cells of CSV tables that a spreadsheet would take for formulas are marked as text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub csv_safe: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    pub run: Identity,
    pub finished: Option<Counts>,
}

impl Identity {
    /// The identity with what the list of items adds to it.
    pub fn with_list(mut self, list: &List, shard: Option<Shard>) -> Self {
        self.list = list.digest.to_hex().to_string();
        self.items = list.total;
        self.shard = shard.map(|shard| shard.to_string());
        self
    }

    /// What has changed since an earlier run, a line each.
    pub fn changes(&self, before: &Self) -> Vec<String> {
        let mut changes = vec![];
        if !are_comparable(&self.plan, &before.plan) {
            changes.push(
                "it was begun by an rserve that compared pipelines by another rule, so that it cannot be told \
                 whether this is the same"
                    .to_owned(),
            );
        } else if self.pipeline != before.pipeline {
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
pub fn what_is_there(output: &Path) -> Result<Option<RunRecord>, Stopped> {
    let folder = output.join(FOLDER);
    unlinked::check(&folder).map_err(Stopped::output(&folder))?;
    let path = folder.join(RECORD);
    match unlinked::read(&path) {
        Ok(bytes) => match read(&bytes) {
            // Whoever handed the folder over may have written it.
            Ok(record)
                if record
                    .run
                    .tables
                    .iter()
                    .chain(&record.run.folders)
                    .any(|name| !unlinked::is_name(name)) =>
            {
                let why = "run.json names what no run writes".to_owned();
                Err(Stopped::Damaged { output: output.to_owned(), why })
            }
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                let why = format!("run.json: {error}; `--restart` begins anew");
                Err(Stopped::Damaged { output: output.to_owned(), why })
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Stopped::output(&path)(error)),
    }
}

/// A record as it is written, or as it was before what is run stood apart in it.
fn read(bytes: &[u8]) -> Result<RunRecord, serde_json::Error> {
    #[derive(Deserialize)]
    struct End {
        finished: Option<Counts>,
    }
    serde_json::from_slice(bytes).or_else(|error| {
        let (run, end) = (serde_json::from_slice(bytes), serde_json::from_slice::<End>(bytes));
        run.and_then(|run| Ok(RunRecord { run, finished: end?.finished })).map_err(|_| error)
    })
}

pub fn write_record(folder: &Path, record: &RunRecord) -> Result<(), Stopped> {
    let path = folder.join(RECORD);
    let mut bytes =
        serde_json::to_vec_pretty(record).map_err(|error| Stopped::output(&path)(error.into()))?;
    bytes.push(b'\n');
    write_whole(&path, &bytes)
}
