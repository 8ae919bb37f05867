//! The run itself: items in flight within bounds, committed in the order of the list.

use super::Stopped;
use super::errors;
use super::identity::Identity;
use super::items::{Input, Item, List};
use super::journal::Checkpoint;
use super::names::Mark;
use super::output::{OutputFolder, Unwritten};
use super::progress::{Progress, TimeSpent};
use super::state::{Begin, Opened, State, earlier};
use crate::plan::{EncodePlan, Entry, Payload};
use crate::sync::Mutex;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The most bytes of files that are held at once, unless a single item has more.
const BYTES_IN_FLIGHT: u64 = 256 << 20;

/// The most errors that a summary quotes.
const QUOTED: usize = 3;

/// Runs one item through the offline entry. Implemented over `flow`, or by a test.
pub trait Flow: Send + Sync + 'static {
    /// `payloads` are in the order of the decodes.
    fn run<'a>(
        &'a self,
        item: &'a str,
        payloads: Vec<Payload>,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;

    /// No item comes after those that are on their way.
    fn ends(&self) {}
}

/// How an item ended.
#[derive(Debug)]
pub enum Ended<T = Answer> {
    Answered(T),
    /// It has no result, which is its own affair.
    Refused(Refused),
    /// Nothing more can be run.
    Stopped(Stopped),
}

impl<T> From<Refused> for Ended<T> {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl<T> From<Stopped> for Ended<T> {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The answers in the order of the encodes: a row where the encode has rows, else a whole file.
    pub encoded: Vec<Bytes>,
    pub spent: TimeSpent,
}

/// An item has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The decode, step or encode at which it failed.
    pub step: String,
    pub reason: String,
}

pub struct RunSpec {
    pub entry: Arc<Entry>,
    pub list: List,
    pub identity: Identity,
    pub output: PathBuf,
    pub begin: Begin,
    /// The number of items that are read, run and encoded at the same time.
    pub in_flight: usize,
    /// More failed items than that end the run.
    pub max_errors: Option<u64>,
    /// How much is done again at most after a power cut.
    pub checkpoint_every: Duration,
}

/// How items ended, those of earlier runs included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub done: u64,
    pub failed: u64,
}

#[derive(Clone, Debug)]
pub struct Summary {
    pub counts: Counts,
    /// Items that an earlier run had ended.
    pub before: u64,
    pub took: Duration,
    pub spent: TimeSpent,
    /// The first errors of this run: the item and why.
    pub errors: Vec<(String, Refused)>,
}

/// The rows of one item for the tables, and where its time went.
struct WrittenRows {
    rows: Vec<Bytes>,
    spent: TimeSpent,
}

/// A task that is given up with whoever waits for it.
struct Running {
    item: String,
    mark: Mark,
    bytes: u64,
    task: JoinHandle<Ended<WrittenRows>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs every item. Ends early where the output cannot be written, where too many items fail, or when
/// `interrupted` resolves: then what is in flight is finished first. The summary says how far it came.
pub async fn run(
    job: RunSpec,
    flow: Arc<dyn Flow>,
    interrupted: impl Future<Output = ()>,
) -> (Summary, Result<(), Stopped>) {
    let begun = Instant::now();
    let mut summary = Summary {
        counts: Counts::default(),
        before: 0,
        took: Duration::ZERO,
        spent: TimeSpent::default(),
        errors: vec![],
    };
    let ended = all(job, flow, interrupted, &mut summary).await;
    summary.took = begun.elapsed();
    (summary, ended)
}

async fn all(
    job: RunSpec,
    flow: Arc<dyn Flow>,
    interrupted: impl Future<Output = ()>,
    summary: &mut Summary,
) -> Result<(), Stopped> {
    let RunSpec { entry, mut list, identity, output, begin, in_flight, max_errors, checkpoint_every } = job;
    let header = |encode: &EncodePlan| {
        let header = encode.encode.rows()?.header();
        Some(header.map_err(|error| Stopped::Input(format!("encode `{}`: {error}", encode.name))))
    };
    let headers = entry.encodes.iter().filter_map(header).collect::<Result<Vec<_>, _>>()?;
    let mut state = match State::open(&output, identity, &headers, begin) {
        Err(stopped) => {
            if matches!(stopped, Stopped::Output { .. }) {
                summary.counts = kept(&output);
            }
            return Err(stopped);
        }
        Ok(Opened::GoesOn(state)) => state,
        Ok(Opened::Finished(counts)) => {
            summary.counts = counts;
            summary.before = counts.done + counts.failed;
            return Ok(());
        }
    };
    summary.before = state.done_before();
    summary.counts = state.counts;
    let total = list.total;
    let progress = Progress::new(total, state.done_before());
    let mut run = Run {
        place: Arc::new(OutputFolder {
            output: output.clone(),
            drafts: state.drafts(),
            known: Mutex::default(),
        }),
        entry: entry.clone(),
        flow,
        in_flight: in_flight.max(1),
        max_errors,
        checkpoint_every,
        running: VecDeque::new(),
        bytes: 0,
        syncing: None,
        synced: Instant::now(),
        progress,
    };
    let ended = run.go(&mut list, &mut state, interrupted, summary).await;
    // Files of these items may be written still, which does no harm.
    run.running.clear();
    let synced = run.wait_for_disk().await;
    run.progress.end();
    summary.counts = state.counts;
    match ended.and(synced) {
        Ok(()) => state.finish().map(|_| ()),
        Err(stopped) => {
            // As much as there is room for.
            if state.checkpoint().and_then(Checkpoint::write).is_err() {
                summary.counts = kept(&output);
            }
            Err(stopped)
        }
    }
}

/// What the next run will find.
fn kept(output: &Path) -> Counts {
    earlier(output).ok().flatten().map_or(Counts::default(), |earlier| earlier.counts)
}

struct Run {
    place: Arc<OutputFolder>,
    entry: Arc<Entry>,
    flow: Arc<dyn Flow>,
    in_flight: usize,
    max_errors: Option<u64>,
    checkpoint_every: Duration,
    running: VecDeque<Running>,
    bytes: u64,
    /// A checkpoint that is on its way to the disk.
    syncing: Option<JoinHandle<Result<(), Stopped>>>,
    synced: Instant,
    progress: Progress,
}

impl Run {
    async fn go(
        &mut self,
        list: &mut List,
        state: &mut State,
        interrupted: impl Future<Output = ()>,
        summary: &mut Summary,
    ) -> Result<(), Stopped> {
        let entry = self.entry.clone();
        let mut waiting = list.items(&entry.decodes)?.peekable();
        let mut interrupted = std::pin::pin!(interrupted);
        let mut stopping = false;
        let mut ended = false;
        loop {
            while !stopping && self.running.len() < self.in_flight {
                let fits =
                    |item: &Item| self.running.is_empty() || self.bytes + item.bytes <= BYTES_IN_FLIGHT;
                match waiting.next_if(|item| item.as_ref().map_or(true, fits)) {
                    None => break,
                    Some(item) => {
                        let item = item?;
                        if !state.is_done(&item.mark) {
                            self.begin(item, state)?;
                        }
                    }
                }
            }
            if !ended && (stopping || waiting.peek().is_none()) {
                ended = true;
                self.flow.ends();
            }
            // The oldest first, so that rows stand in the order of the input.
            let Some(mut oldest) = self.running.pop_front() else { break };
            let outcome = tokio::select! {
                biased;
                () = &mut interrupted, if !stopping => {
                    stopping = true;
                    self.running.push_front(oldest);
                    continue;
                }
                ended = &mut oldest.task => ended.unwrap_or_else(|broken| {
                    Ended::Refused(Refused { step: "flow".into(), reason: broken.to_string() })
                }),
            };
            self.bytes -= oldest.bytes;
            self.commit(&oldest, outcome, state, summary)?;
            self.progress.at(state.counts, &summary.spent);
            if self.synced.elapsed() >= self.checkpoint_every {
                self.wait_for_disk().await?;
                let checkpoint = state.checkpoint()?;
                self.syncing = Some(tokio::task::spawn_blocking(|| checkpoint.write()));
                self.synced = Instant::now();
            }
        }
        if stopping { Err(Stopped::Interrupted) } else { Ok(()) }
    }

    fn begin(&mut self, item: Item, state: &mut State) -> Result<(), Stopped> {
        if !matches!(item.input, Input::Misfit(_)) {
            for encode in self.entry.encodes.iter().filter(|encode| encode.encode.rows().is_none()) {
                state.will_write(&self.place.file(encode, &item.output))?;
            }
        }
        self.bytes += item.bytes;
        self.running.push_back(Running {
            item: item.name.clone(),
            mark: item.mark,
            bytes: item.bytes,
            task: tokio::spawn(one(item, self.entry.clone(), self.flow.clone(), self.place.clone())),
        });
        Ok(())
    }

    fn commit(
        &self,
        item: &Running,
        ended: Ended<WrittenRows>,
        state: &mut State,
        summary: &mut Summary,
    ) -> Result<(), Stopped> {
        let refused = match ended {
            Ended::Answered(WrittenRows { rows, spent }) => {
                summary.spent.add(&spent);
                return state.commit(&item.mark, rows.iter().map(Bytes::as_ref));
            }
            Ended::Refused(refused) => refused,
            Ended::Stopped(stopped) => return Err(stopped),
        };
        state.commit_error(&item.mark, &errors::line(&item.item, &refused))?;
        if summary.errors.len() < QUOTED {
            summary.errors.push((item.item.clone(), refused));
        }
        let failed = state.counts.failed;
        match self.max_errors {
            Some(most) if failed > most => Err(Stopped::TooManyErrors { failed, most }),
            _ => Ok(()),
        }
    }

    async fn wait_for_disk(&mut self) -> Result<(), Stopped> {
        match self.syncing.take() {
            None => Ok(()),
            Some(task) => task.await.unwrap_or_else(|broken| {
                Err(Stopped::output(&self.place.output)(std::io::Error::other(broken)))
            }),
        }
    }
}

/// Reads, runs and writes one item; gives back the rows for the tables.
async fn one(
    item: Item,
    entry: Arc<Entry>,
    flow: Arc<dyn Flow>,
    place: Arc<OutputFolder>,
) -> Ended<WrittenRows> {
    let broken = |step: &str| {
        let step = step.to_owned();
        move |error: tokio::task::JoinError| Refused { step, reason: error.to_string() }
    };
    let Item { name, mark, output, input, .. } = item;
    let reading = entry.clone();
    let read = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        (input.payloads(&reading.decodes), begun.elapsed())
    })
    .await;
    let (payloads, read) = match read.map_err(broken("read")) {
        Ok((Ok(payloads), took)) => (payloads, took),
        Ok((Err(refused), _)) | Err(refused) => return refused.into(),
    };
    let Answer { encoded, mut spent } = match flow.run(&name, payloads).await {
        Ended::Answered(answer) => answer,
        Ended::Refused(refused) => return refused.into(),
        Ended::Stopped(stopped) => return stopped.into(),
    };
    spent.read += read;
    let mut rows = Vec::with_capacity(encoded.len());
    for (index, (encode, answer)) in entry.encodes.iter().zip(encoded).enumerate() {
        if encode.encode.rows().is_some() {
            rows.push(answer);
            continue;
        }
        let place = place.clone();
        let file = place.file(encode, &output);
        let draft = format!("{:032x}-{index}", u128::from_be_bytes(mark));
        let written = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            place.write(&file, &draft, &answer).map(|()| begun.elapsed())
        })
        .await;
        match written.map_err(broken(&encode.name)) {
            Ok(Ok(took)) => spent.write += took,
            Ok(Err(Unwritten::Stopped(stopped))) => return stopped.into(),
            Ok(Err(Unwritten::Name(error))) => {
                let reason = format!("its file cannot be called so: {error}");
                return Refused { step: encode.name.clone(), reason }.into();
            }
            Err(refused) => return refused.into(),
        }
    }
    Ended::Answered(WrittenRows { rows, spent })
}
