//! `rserve batch`

use super::output::{complain, give_up, print, say, show};
use super::{Exit, log};
use crate::app::{self, Batch, Done, DryRun, What};
use crate::offline::{Begin, EarlierRun, Glob, Shard, Stopped};
use clap::ValueHint;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Run a pipeline over folders of files
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve batch --pipeline landing-spot --input photos/
  rserve batch --pipeline landing-spot --input photos/ --glob '2024/**/*.jpg' --limit 100
  rserve batch --pipeline landing-spot --input a.jpg b.png --output results
  find photos -name '*.jpg' -print0 | rserve batch --pipeline landing-spot --input -
  rserve batch --pipeline tabular --input measurements.csv
  rserve batch --pipeline landing-spot --input photos/ --shard 0/8     # and 1/8 ... 7/8 elsewhere
  rserve batch --pipeline landing-spot --input photos/ --via http://127.0.0.1:8080

Items are the files that the pipeline's decode takes, or, with several decodes, the files that
share a stem. Of a .jsonl, .csv or .npy that is named itself, each row is an item: a line is what
the online route takes as JSON; columns are called as the decodes, with values or paths; the first
axis of an array counts its items. Rows (jsonl, csv, parquet) become one table, in the order of the
paths; other encodes write a file an item. Items that fail are listed in errors.jsonl.

The same command again goes on where a run was stopped, by SIGINT, SIGKILL or a power cut, and ends
with the same bytes as a run that was not. What it needs for that is in .rserve/ in the output.

Exit codes: 0 all done, 4 done and some items failed, 3 could not go on (the output cannot be
written, too many errors), 130 interrupted; 1 and 2 where what was given is wrong.")]
pub struct Arguments {
    /// The pipeline to run, by its name
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pipeline: String,
    /// Folders (searched through), files, or "-" for a list on stdin (ended by newlines or NULs)
    #[arg(long, value_name = "DIR|FILE|-", value_hint = ValueHint::AnyPath, required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Take only files in folders that match: "*.jpg", "2024/**"
    #[arg(long, value_name = "PATTERN", value_hint = ValueHint::Other)]
    glob: Option<Glob>,
    /// What stands between the cells of tables (.csv, .tsv): one character, or "tab" [default: by the header,
    /// one of , ; tab |]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Where results go [default: NAME-output]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
    /// Where the pipeline is declared: files, or folders of them [default: pipelines]
    #[arg(value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The same, by name
    #[arg(long, value_name = "FILE|DIR")]
    config: Vec<PathBuf>,
    /// Run only the part INDEX (from 0) of COUNT parts; `rserve merge` joins them
    #[arg(long, value_name = "INDEX/COUNT", value_hint = ValueHint::Other)]
    shard: Option<Shard>,
    /// Run only the first N items
    #[arg(long, value_name = "N", value_hint = ValueHint::Other)]
    limit: Option<u64>,
    /// Give up once more than N items have failed
    #[arg(long, value_name = "N", value_hint = ValueHint::Other)]
    max_errors: Option<u64>,
    /// For CSV tables that are opened in a spreadsheet: put ' before texts that it would take for formulas
    #[arg(long)]
    csv_safe: bool,
    /// Send the items through a running `rserve run`, at low priority, so that its shares hold
    #[arg(long, value_name = "http://HOST:PORT", value_hint = ValueHint::Url)]
    via: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Write a summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Begin anew, and remove what an earlier run has written to the output
    #[arg(long)]
    restart: bool,
    /// Run the items of errors.jsonl again, once what was wrong with them is mended; what is done stays. In
    /// tables their rows come last
    #[arg(long, conflicts_with_all = ["restart", "resume_anyway"])]
    retry_failed: bool,
    /// Go on although the pipeline, a model or the list of items has changed: items that are done stay as
    /// they are
    #[arg(long, conflicts_with = "restart")]
    resume_anyway: bool,
    #[command(flatten)]
    log: log::Logging,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err("it is one character, such as `;`, or `tab`".to_owned()),
    }
}

/// Where what is in the output is of another run.
const CHOICE: &str = "`--restart` begins anew; `--resume-anyway` keeps what is done and runs what is not";

pub fn run(arguments: Arguments) -> Exit {
    if let Err(error) = log::begin(&arguments.log, "warn") {
        complain(&error);
        return Exit::Usage;
    }
    let mut files = [arguments.files, arguments.config].concat();
    if files.is_empty() {
        files.push(app::DEFAULT_PATH.into());
    }
    let batch = Batch {
        pipeline: arguments.pipeline,
        inputs: arguments.input,
        glob: arguments.glob,
        delimiter: arguments.delimiter,
        output: arguments.output,
        begin: match (arguments.restart, arguments.resume_anyway, arguments.retry_failed) {
            (true, _, _) => Begin::Restart,
            (_, true, _) => Begin::ResumeAnyway,
            (_, _, true) => Begin::RetryFailed,
            _ => Begin::Resume,
        },
        shard: arguments.shard,
        limit: arguments.limit,
        max_errors: arguments.max_errors,
        csv_safe: arguments.csv_safe,
        via: arguments.via,
    };
    let compiled = match app::compile(&files) {
        Ok(compiled) => compiled,
        Err(trouble) => return give_up(&trouble),
    };
    show(&compiled.report);
    if arguments.dry_run {
        return match app::dry_run(&compiled, &batch) {
            Ok(dry_run) => print(&plan(&dry_run)),
            Err(trouble) => give_up(&trouble),
        };
    }
    let done = match app::batch(&compiled, &batch) {
        Ok(done) => done,
        Err(trouble) => return give_up(&trouble),
    };
    let exit = told(&done, batch.begin);
    match &arguments.summary {
        None => exit,
        Some(file) => match fs::write(file, format!("{:#}\n", as_json(&done))) {
            Ok(()) => exit,
            Err(error) => {
                complain(&format!("cannot write `{}`: {error}", file.display()));
                if exit == Exit::Fine { Exit::CouldNotRun } else { exit }
            }
        },
    }
}

/// Says how it went.
fn told(done: &Done, begin: Begin) -> Exit {
    let counts = done.summary.counts;
    let again = match begin {
        Begin::Restart => "the same command without `--restart`",
        _ => "the same command",
    };
    let output = done.what.output.display();
    match &done.ended {
        Ok(()) => {
            say(&summary(done));
            if counts.failed > 0 { Exit::ItemsFailed } else { Exit::Fine }
        }
        Err(Stopped::Interrupted) => {
            let left = done.what.items.saturating_sub(counts.done + counts.failed);
            say(&format!(
                "interrupted: {} done, {} failed, {left} left\n\
                 {again} goes on from there; what is done so far is kept in {output}/.rserve\n",
                counts.done, counts.failed
            ));
            Exit::Interrupted
        }
        Err(stopped @ Stopped::Changed { .. }) => {
            complain(&format!("{stopped}\n  {CHOICE}"));
            Exit::CouldNotRun
        }
        Err(stopped @ (Stopped::Busy(_) | Stopped::Damaged { .. })) => {
            complain(&stopped.to_string());
            Exit::CouldNotRun
        }
        Err(stopped) => {
            say(&quoted(done));
            complain(&format!(
                "{stopped}\n  {} done and {} failed are kept; {again} goes on from there once that is mended",
                counts.done, counts.failed
            ));
            Exit::CouldNotRun
        }
    }
}

fn summary(done: &Done) -> String {
    let Done { what, summary, .. } = done;
    let counts = summary.counts;
    let ended = counts.done + counts.failed;
    let fresh = ended.saturating_sub(summary.before);
    let output = &what.output;
    let mut text = format!("{} done, {} failed", counts.done, counts.failed);
    if fresh == 0 && ended > 0 {
        text.push_str(", all of them before; `--restart` does it again\n");
    } else {
        let seconds = summary.took.as_secs_f64();
        let before = match summary.before {
            0 => String::new(),
            before => format!(" ({before} of them before)"),
        };
        let rate = fresh as f64 / seconds.max(1e-9);
        text.push_str(&format!("{before} in {seconds:.1} s ({rate:.0}/s) by {}\n", what.models));
        if let Some(fill) = summary.spent.batch_fill() {
            text.push_str(&format!("batches {fill:.0}% full; time by stage: {}\n", summary.spent.shares()));
        }
    }
    text.push_str(&format!("results in {}\n", output.display()));
    if counts.failed > 0 {
        text.push_str(&quoted(done));
        let errors = output.join("errors.jsonl");
        text.push_str(&format!(
            "what failed and why: {}; `--retry-failed` runs it again\n",
            errors.display()
        ));
    }
    text.push_str(&others(what));
    text
}

/// The first errors.
fn quoted(done: &Done) -> String {
    let line = |(item, why): &(String, crate::offline::Refused)| {
        format!("  {}: {}: {}\n", item.escape_debug(), why.step, why.reason)
    };
    let more = done.summary.counts.failed.saturating_sub(done.summary.errors.len() as u64);
    let mut text: String = done.summary.errors.iter().map(line).collect();
    if more > 0 && !text.is_empty() {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}

fn others(what: &What) -> String {
    match what.others {
        0 => String::new(),
        1 => "1 file of another kind was left alone\n".to_owned(),
        others => format!("{others} files of other kinds were left alone\n"),
    }
}

fn plan(dry_run: &DryRun) -> String {
    let what = &dry_run.what;
    let mut text = format!("{} items would be run by {}\n", what.items, what.models);
    if let Some(shard) = what.shard {
        text.push_str(&format!("these are shard {shard} of all\n"));
    }
    for (item, files) in &dry_run.first {
        text.push_str(&format!("  {}\n", item.escape_debug()));
        files.iter().for_each(|file| text.push_str(&format!("    {}\n", file.display())));
    }
    let more = what.items.saturating_sub(dry_run.first.len() as u64);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    for table in &dry_run.tables {
        text.push_str(&format!("a row for each would be in {}\n", table.display()));
    }
    if what.misfits > 0 {
        text.push_str(&format!("{} look like items and cannot be read\n", what.misfits));
    }
    if let Some(EarlierRun { counts, finished, .. }) = &dry_run.before {
        let ended = counts.done + counts.failed;
        text.push_str(&match finished {
            false => format!("a run that was begun there has ended {ended} of its items\n"),
            true => format!("a run of {ended} items has finished there\n"),
        });
        if !dry_run.changes.is_empty() {
            text.push_str("it is another run, so that this one would do nothing unless told how to begin:\n");
            dry_run.changes.iter().for_each(|change| text.push_str(&format!("  {change}\n")));
            text.push_str(&format!("  {CHOICE}\n"));
        }
    }
    text.push_str(&others(what));
    text
}

fn as_json(done: &Done) -> Value {
    let Done { what, summary, ended } = done;
    let seconds = summary.took.as_secs_f64();
    let counts = summary.counts;
    let fresh = (counts.done + counts.failed).saturating_sub(summary.before);
    json!({
        "pipeline": what.pipeline,
        "models": what.models,
        "output": path(&what.output),
        "shard": what.shard.map(|shard| shard.to_string()),
        "finished": ended.is_ok(),
        "stopped": ended.as_ref().err().map(ToString::to_string),
        "items": what.items,
        "done": counts.done,
        "failed": counts.failed,
        "done_or_failed_before": summary.before,
        "others": what.others,
        "seconds": seconds,
        "items_per_second": fresh as f64 / seconds.max(1e-9),
        "batch_fill_percent": summary.spent.batch_fill(),
        "seconds_by_stage": summary.spent,
    })
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
