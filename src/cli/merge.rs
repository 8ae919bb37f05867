//! `rserve merge`

use super::Exit;
use super::output::{give_up, say};
use crate::{app, offline};
use std::path::PathBuf;

/// Join the outputs of `rserve batch --shard` into what one run would have written
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve batch --pipeline landing-spot --input photos/ --shard 0/3 --output part-0
  rserve batch --pipeline landing-spot --input photos/ --shard 1/3 --output part-1
  rserve batch --pipeline landing-spot --input photos/ --shard 2/3 --output part-2
  rserve merge part-0 part-1 part-2 --output landing-spot-output

All shards must be there, finished, and of the same pipeline, models and list of items. They are
left as they are. Exits 4 where items had failed, as the one run would have.")]
pub struct Arguments {
    /// The outputs of all shards, in any order
    #[arg(value_name = "DIR", required = true)]
    shards: Vec<PathBuf>,
    /// Where the whole goes
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

pub fn run(arguments: &Arguments) -> Exit {
    match offline::merge(&arguments.shards, &arguments.output) {
        Ok(merged) => {
            let counts = merged.counts;
            let mut text = format!(
                "{} done, {} failed in {} shards",
                counts.done,
                counts.failed,
                arguments.shards.len()
            );
            if merged.files > 0 {
                text.push_str(&format!(", {} files", merged.files));
            }
            say(&format!("{text}\nresults in {}\n", arguments.output.display()));
            if counts.failed > 0 { Exit::ItemsFailed } else { Exit::Fine }
        }
        Err(stopped) => give_up(&app::trouble(&stopped)),
    }
}
