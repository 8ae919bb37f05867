//! `batch`: one pipeline over folders, through the same flow as HTTP.

mod alone;
mod entry;

pub use alone::only;

use super::bring_up::stage_all;
use super::compile::Compiled;
use super::loader::EngineLoader;
use super::signals::{Signals, exit_at_once};
use super::via::Via;
use super::{Trouble, memory, watchdog};
use crate::diagnostic::nearest;
use crate::flow::{self, CodecThreads};
use crate::lifecycle::{Lifecycle, Precautions};
use crate::offline::{
    self, Begin, EarlierRun, Flow, Glob, Identity, Inputs, List, RunSpec, Selection, Shard, Stopped, Summary,
};
use crate::plan::{DecodePlan, Entry, Pipeline, Plan};
use alone::in_flight;
use entry::OfflineEntry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The run that is asked for: a pipeline over files.
#[derive(Clone, Debug)]
pub struct Batch {
    pub pipeline: String,
    pub inputs: Vec<PathBuf>,
    pub glob: Option<Glob>,
    /// What stands between the cells of tables, where it is not to be found out.
    pub delimiter: Option<u8>,
    /// `<pipeline>-output` where it is left out.
    pub output: Option<PathBuf>,
    pub begin: Begin,
    pub shard: Option<Shard>,
    pub limit: Option<u64>,
    pub max_errors: Option<u64>,
    /// Whether cells of CSV tables that a spreadsheet would take for formulas are marked as text.
    pub csv_safe: bool,
    /// The address of a running server that the items go through.
    pub via: Option<String>,
}

/// The result of a run.
#[derive(Debug)]
pub struct Done {
    pub what: What,
    pub summary: Summary,
    /// Why it ended before its end.
    pub ended: Result<(), Stopped>,
}

/// The subject of a run.
#[derive(Clone, Debug)]
pub struct What {
    pub pipeline: String,
    pub models: String,
    pub output: PathBuf,
    pub items: u64,
    /// The number of items that look like some and are none.
    pub misfits: u64,
    /// Files of other kinds, which are left alone.
    pub others: u64,
    pub shard: Option<Shard>,
}

/// A run that is described and not carried out.
#[derive(Clone, Debug)]
pub struct DryRun {
    pub what: What,
    /// The first few, each with the files that it would have.
    pub first: Vec<(String, Vec<PathBuf>)>,
    pub tables: Vec<PathBuf>,
    /// A run in the same output.
    pub before: Option<EarlierRun>,
    /// What is not as it was in the earlier run, of all that makes the two one run: a line each. Empty where that does
    /// not matter.
    pub changes: Vec<String>,
}

/// Threads that wait for the disk, beside one a core that decodes what is heavy. The allocator keeps memory
/// for each thread, so that their number is what a run takes.
const READERS: usize = 6;

const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);

/// A run whose items are known and whose models are not yet loaded.
struct Ready {
    pipeline: Arc<Pipeline>,
    list: List,
    output: PathBuf,
}

fn ready(compiled: &Compiled, batch: &Batch) -> Result<Ready, Trouble> {
    let pipeline = pipeline(&compiled.plan, &batch.pipeline)?;
    let output = batch.output.clone().unwrap_or_else(|| {
        let shard = batch.shard.map_or(String::new(), |s| format!("-{}-of-{}", s.index, s.of));
        format!("{}-output{shard}", pipeline.name).into()
    });
    let inputs = Inputs { paths: batch.inputs.clone(), glob: batch.glob.clone(), delimiter: batch.delimiter };
    let extensions = folders(&pipeline.offline).map(|encode| encode.encode.extension()).collect();
    let mut written = tables(&pipeline.offline);
    written.extend(folders(&pipeline.offline).map(|encode| encode.name.clone()));
    written.push(offline::ERRORS.to_owned());
    let wanted = Selection { shard: batch.shard, limit: batch.limit, extensions, written };
    let mut stdin = std::io::stdin().lock();
    let list = offline::find(&inputs, &output, &pipeline.offline.decodes, &wanted, &mut stdin)
        .map_err(|stopped| trouble(&stopped))?;
    if list.total == 0 && batch.shard.is_none() {
        return Err(Trouble::Given(nothing_to_do(batch, &pipeline, &list.without_rows)));
    }
    Ok(Ready { pipeline, list, output })
}

impl Ready {
    fn what(&self, batch: &Batch, models: String) -> What {
        What {
            pipeline: self.pipeline.name.clone(),
            models,
            output: self.output.clone(),
            items: self.list.total,
            misfits: self.list.misfits,
            others: self.list.others,
            shard: batch.shard,
        }
    }
}

/// Says what [`batch`] would do, and does nothing.
pub fn dry_run(compiled: &Compiled, batch: &Batch) -> Result<DryRun, Trouble> {
    let mut ready = ready(compiled, batch)?;
    let plan = only(&compiled.plan, &ready.pipeline);
    let tag = |model: &crate::plan::Model| {
        format!("{}@{}", model.name, model.versions.last().copied().unwrap_or_default())
    };
    let tags: Vec<String> = plan.models.iter().map(tag).collect();
    let before = offline::earlier(&ready.output).map_err(|e| trouble(&e))?;
    let changes = match &before {
        Some(EarlierRun { run, .. }) if batch.begin == Begin::Resume => {
            // No model is loaded, so that versions are compared and their files are not.
            let then = |tag: &String| run.models.iter().find(|(name, _)| name == tag);
            let digest = |tag: &String| then(tag).map_or(String::new(), |(_, digest)| digest.clone());
            let models = tags.iter().map(|tag| (tag.clone(), digest(tag))).collect();
            identity(&ready.pipeline, models, batch.csv_safe).with_list(&ready.list, batch.shard).changes(run)
        }
        _ => vec![],
    };
    let what = ready.what(batch, tags.join(", "));
    let entry = ready.pipeline.offline.clone();
    let mut first = vec![];
    for item in ready.list.items(&entry.decodes).map_err(|e| trouble(&e))?.take(SHOWN) {
        let item = item.map_err(|e| trouble(&e))?;
        let file = |encode: &crate::plan::EncodePlan| {
            offline::file_of(&ready.output, &encode.name, &item.output, encode.encode.extension())
        };
        first.push((item.name.clone(), folders(&entry).map(file).collect()));
    }
    let tables = tables(&entry).into_iter().map(|table| ready.output.join(table)).collect();
    Ok(DryRun { what, first, tables, before, changes })
}

/// Items that [`dry_run`] names.
const SHOWN: usize = 3;

pub fn batch(compiled: &Compiled, batch: &Batch) -> Result<Done, Trouble> {
    let ready = ready(compiled, batch)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("rserve-batch")
        .max_blocking_threads(cores + READERS)
        .build()
        .map_err(|e| Trouble::CouldNotRun(format!("cannot start threads: {e}")))?;
    if let Some(at) = &batch.via {
        let via = runtime.block_on(Via::new(at, ready.pipeline.clone()))?;
        let what = ready.what(batch, via.models().to_owned());
        // Of the files behind them only the server knows.
        let models = via.models().split(", ").map(|tag| (tag.to_owned(), String::new())).collect();
        let in_flight = in_flight(&only(&compiled.plan, &ready.pipeline));
        let pipeline = ready.pipeline.clone();
        return go(runtime, job(ready, &pipeline, models, in_flight, batch), Arc::new(via), what);
    }
    let mut plan = only(&compiled.plan, &ready.pipeline);
    let in_flight = in_flight(&plan);
    alone::fill_batches(&mut plan, in_flight);
    let budget = memory::budget(&plan);
    let loader = EngineLoader { budget: budget.clone() };
    let lifecycle = Lifecycle::new(Arc::new(loader)).with_precautions(Precautions::within(&budget));
    let lifecycle = Arc::new(lifecycle);
    runtime.spawn(watchdog::keep(lifecycle.clone()));
    let staged = stage_all(&lifecycle, &plan, None)?;
    let cells = staged.cells();
    lifecycle.commit(staged);
    let Some(pipeline) = plan.pipelines.first() else {
        return Err(Trouble::CouldNotRun("the plan lost its pipeline".into()));
    };
    // Held to the end, whatever comes into the store meanwhile.
    let pinned = flow::Pipeline::new(pipeline.clone(), &cells, CodecThreads::for_one(&budget))
        .pin()
        .map_err(|e| Trouble::CouldNotRun(e.to_string()))?;
    let what = ready.what(batch, pinned.models_of_entry(&pipeline.offline).to_string());
    let models = pinned.generations().iter().map(|g| (g.tag.clone(), g.digest.to_string())).collect();
    let offline = OfflineEntry::new(pinned, &plan);
    let job = job(ready, pipeline, models, in_flight, batch);
    go(runtime, job, Arc::new(offline), what)
}

fn job(
    ready: Ready,
    pipeline: &Pipeline,
    models: Vec<(String, String)>,
    in_flight: usize,
    batch: &Batch,
) -> RunSpec {
    RunSpec {
        identity: identity(pipeline, models, batch.csv_safe).with_list(&ready.list, batch.shard),
        entry: pipeline.offline.clone(),
        list: ready.list,
        output: ready.output,
        begin: batch.begin,
        in_flight,
        max_errors: batch.max_errors,
        checkpoint_every: CHECKPOINT_EVERY,
    }
}

fn go(runtime: Runtime, job: RunSpec, flow: Arc<dyn Flow>, what: What) -> Result<Done, Trouble> {
    let (summary, ended) = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let interrupted = async move {
            signals.next().await;
            // What was committed is safe, so a second one need not wait.
            tokio::spawn(async move {
                signals.next().await;
                exit_at_once();
            });
        };
        Ok(offline::run(job, flow, interrupted).await)
    })?;
    runtime.shutdown_background();
    Ok(Done { what, summary, ended })
}

/// What this run has in common with no other: the pipeline as its offline entry runs it, and its models.
fn identity(pipeline: &Pipeline, models: Vec<(String, String)>, csv_safe: bool) -> Identity {
    let entry = &pipeline.offline;
    Identity {
        rserve: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: pipeline.name.clone(),
        plan: entry.digest(),
        models,
        list: String::new(),
        items: 0,
        shard: None,
        tables: tables(entry),
        folders: folders(entry).map(|encode| encode.name.clone()).collect(),
        csv_safe,
    }
}

/// "rows.jsonl"
fn tables(entry: &Entry) -> Vec<String> {
    let tables = entry.encodes.iter().filter(|encode| encode.encode.rows().is_some());
    tables.map(|encode| format!("{}.{}", encode.name, encode.encode.extension())).collect()
}

/// The encodes that write a file for each item.
fn folders(entry: &Entry) -> impl Iterator<Item = &crate::plan::EncodePlan> {
    entry.encodes.iter().filter(|encode| encode.encode.rows().is_none())
}

pub fn trouble(stopped: &Stopped) -> Trouble {
    match stopped {
        Stopped::Input(text) => Trouble::Given(text.clone()),
        other => Trouble::CouldNotRun(other.to_string()),
    }
}

fn pipeline(plan: &Plan, name: &str) -> Result<Arc<Pipeline>, Trouble> {
    let names = || plan.pipelines.iter().map(|p| p.name.as_str());
    plan.pipelines.iter().find(|p| p.name == name).cloned().ok_or_else(|| {
        let hint = nearest(name, names()).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        let list: Vec<String> = names().map(|n| format!("`{n}`")).collect();
        Trouble::Given(format!("there is no pipeline `{name}`{hint}\n  there are: {}", list.join(", ")))
    })
}

fn nothing_to_do(batch: &Batch, pipeline: &Pipeline, without_rows: &[String]) -> String {
    let inputs: Vec<String> = batch.inputs.iter().map(|p| format!("`{}`", p.display())).collect();
    let why: Vec<String> = match without_rows {
        [] => {
            let takes =
                |d: &DecodePlan| format!("decode `{}` takes .{}", d.name, d.decode.extensions().join(", ."));
            pipeline.offline.decodes.iter().map(takes).collect()
        }
        names => names.iter().map(|name| format!("`{name}` has no rows")).collect(),
    };
    format!("nothing to do in {}: {}", inputs.join(", "), why.join("; "))
}
