//! The run itself: items in flight within bounds, results in the order of the input.

use super::errors::Errors;
use super::output::write_whole;
use super::progress::Progress;
use super::table::Table;
use super::{Found, Item, Stopped};
use crate::plan::{Entry, Payload};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Bytes of files that are held at once, unless a single item has more.
const BYTES_IN_FLIGHT: u64 = 256 << 20;

/// Runs one item through the offline entry. Implemented over `flow`, or by a test.
pub trait Flow: Send + Sync + 'static {
    /// `payloads` are in the order of the decodes. The answer is in the order of the encodes: a row where
    /// the encode has rows, else a whole file.
    fn run<'a>(
        &'a self,
        item: &'a str,
        payloads: Vec<Payload>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Refused>> + Send + 'a>>;
}

/// For each encode, what it wrote.
pub type Answer = Vec<Bytes>;

/// An item has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The decode, step or encode at which it failed.
    pub step: String,
    pub reason: String,
}

pub struct Job {
    pub entry: Arc<Entry>,
    pub found: Found,
    pub output: PathBuf,
    /// Items that are read, run and encoded at the same time.
    pub in_flight: usize,
}

#[derive(Clone, Debug)]
pub struct Summary {
    pub done: u64,
    pub failed: u64,
    pub took: Duration,
}

/// The rows for the tables (`None` for an encode that wrote a file), or why there are none.
type Outcome = Result<Result<Vec<Option<Bytes>>, Refused>, Stopped>;

/// A task that is given up with whoever waits for it.
struct Running {
    item: String,
    bytes: u64,
    task: JoinHandle<Outcome>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs every item. Ends early only where the output cannot be written, or `interrupted` resolves.
pub async fn run(
    job: Job,
    flow: Arc<dyn Flow>,
    interrupted: impl Future<Output = ()>,
) -> Result<Summary, Stopped> {
    tokio::select! {
        biased;
        () = interrupted => Err(Stopped::Interrupted),
        summary = all(job, flow) => summary,
    }
}

async fn all(job: Job, flow: Arc<dyn Flow>) -> Result<Summary, Stopped> {
    let begun = Instant::now();
    let Job { entry, found, output, in_flight } = job;
    let mut tables = vec![];
    for encode in &entry.encodes {
        tables.push(Table::begin(&output, encode)?);
    }
    let mut errors = Errors::new(&output);
    for misfit in &found.misfits {
        errors.add(&misfit.name, "read", &misfit.reason)?;
    }
    let mut progress = Progress::new(found.items.len() as u64);
    let place = Arc::new(Place { entry, output: output.clone() });
    let mut waiting = found.items.into_iter().peekable();
    let mut running: VecDeque<Running> = VecDeque::new();
    let mut bytes = 0;
    let mut done = 0;
    let mut failed = 0;
    loop {
        while let Some(item) = waiting.next_if(|next| {
            running.len() < in_flight.max(1) && (running.is_empty() || bytes + next.bytes <= BYTES_IN_FLIGHT)
        }) {
            bytes += item.bytes;
            running.push_back(Running {
                item: item.name.clone(),
                bytes: item.bytes,
                task: tokio::spawn(one(item, flow.clone(), place.clone())),
            });
        }
        // The oldest first, so that rows stand in the order of the input.
        let Some(mut oldest) = running.pop_front() else { break };
        let result = match (&mut oldest.task).await {
            Ok(result) => result?,
            Err(broken) => Err(Refused { step: "flow".into(), reason: broken.to_string() }),
        };
        bytes -= oldest.bytes;
        match result {
            Ok(rows) => {
                for (table, row) in tables.iter_mut().zip(rows) {
                    if let (Some(table), Some(row)) = (table, row) {
                        table.add(&row)?;
                    }
                }
            }
            Err(refused) => {
                failed += 1;
                errors.add(&oldest.item, &refused.step, &refused.reason)?;
            }
        }
        done += 1;
        progress.at(done, failed);
    }
    for table in tables.into_iter().flatten() {
        table.finish()?;
    }
    let failed = errors.count;
    errors.finish()?;
    progress.end();
    Ok(Summary { done: done + found.misfits.len() as u64 - failed, failed, took: begun.elapsed() })
}

/// Where the answers go.
struct Place {
    entry: Arc<Entry>,
    output: PathBuf,
}

/// Reads, runs and writes one item; gives back the rows for the tables.
async fn one(item: Item, flow: Arc<dyn Flow>, place: Arc<Place>) -> Outcome {
    let mut payloads = Vec::with_capacity(item.files.len());
    for file in &item.files {
        match tokio::fs::read(file).await {
            Ok(bytes) => payloads.push(Payload::Bytes(Bytes::from(bytes))),
            Err(error) => return Ok(Err(Refused { step: "read".into(), reason: error.to_string() })),
        }
    }
    let answers = match flow.run(&item.name, payloads).await {
        Ok(answers) => answers,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut rows = Vec::with_capacity(answers.len());
    for (encode, answer) in place.entry.encodes.iter().zip(answers) {
        if encode.encode.rows().is_some() {
            rows.push(Some(answer));
            continue;
        }
        rows.push(None);
        let path = file_of(&place.output, &encode.name, &item.output, encode.encode.extension());
        let written = tokio::task::spawn_blocking(move || write_whole(path, &answer)).await;
        match written {
            Ok(written) => written?,
            Err(broken) => return Ok(Err(Refused { step: encode.name.clone(), reason: broken.to_string() })),
        }
    }
    Ok(Ok(rows))
}

/// `<output>/<encode>/<the item's path>.<extension>`
fn file_of(output: &Path, encode: &str, item: &str, extension: &str) -> PathBuf {
    output.join(encode).join(format!("{item}.{extension}"))
}
