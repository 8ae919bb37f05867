//! `rserve batch`

use super::output::{complain, give_up, say, show};
use super::{Exit, log};
use crate::app::{self, Batch, Done};
use std::path::PathBuf;

/// Run a pipeline over folders of files
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve batch --pipeline landing-spot --input photos/
  rserve batch --pipeline landing-spot --input a.jpg b.png --output results
  rserve batch pipelines/road.toml --pipeline road-classification --input photos/

Items are the files that the pipeline's decode takes, or, with several decodes, the files that
share a stem. Rows (csv, jsonl) become one table, in the order of the paths; other encodes write
a file an item. Items that fail are listed in errors.jsonl, and the exit code is 4.")]
pub struct Arguments {
    /// The pipeline to run, by its name
    #[arg(long, value_name = "NAME")]
    pipeline: String,
    /// Folders (searched through) and files
    #[arg(long, value_name = "DIR|FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Where results go [default: NAME-output]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Where the pipeline is declared: files, or folders of them [default: pipelines]
    #[arg(value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The same, by name
    #[arg(long, value_name = "FILE|DIR")]
    config: Vec<PathBuf>,
    #[command(flatten)]
    log: log::Logging,
}

pub fn run(arguments: Arguments) -> Exit {
    if let Err(error) = log::begin(&arguments.log, "warn") {
        complain(&error);
        return Exit::Usage;
    }
    let mut files = [arguments.files, arguments.config].concat();
    if files.is_empty() {
        files.push("pipelines".into());
    }
    let batch = Batch { pipeline: arguments.pipeline, inputs: arguments.input, output: arguments.output };
    let done = app::compile(&files).and_then(|compiled| {
        show(&compiled.report);
        app::batch(&compiled, &batch)
    });
    match done {
        Ok(done) => {
            say(&summary(&done));
            if done.summary.failed > 0 { Exit::ItemsFailed } else { Exit::Fine }
        }
        Err(trouble) => give_up(&trouble),
    }
}

fn summary(done: &Done) -> String {
    let summary = &done.summary;
    let output = done.output.display();
    let rate = (summary.done + summary.failed) as f64 / summary.took.as_secs_f64().max(1e-9);
    let mut text = format!(
        "{} done, {} failed in {:.1} s ({rate:.0}/s) by {}\nresults in {output}\n",
        summary.done,
        summary.failed,
        summary.took.as_secs_f64(),
        done.models,
    );
    if summary.failed > 0 {
        text.push_str(&format!("what failed and why: {}\n", done.output.join("errors.jsonl").display()));
    }
    if done.others > 0 {
        let files = if done.others == 1 { "file of another kind was" } else { "files of other kinds were" };
        text.push_str(&format!("{} {files} left alone\n", done.others));
    }
    text
}
