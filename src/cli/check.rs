//! `rserve check`

use super::output::{give_up, print, show};
use super::{Exit, Files};
use crate::app;
use crate::plan::{Entry, Plan};
use std::fmt::Write;

/// Compile pipelines and say what is wrong with them, all at once
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve check                                  every *.toml in pipelines/
  rserve check pipelines/road.toml

Needs no GPU. Exits 1 where anything is wrong.")]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
}

pub fn run(arguments: &Arguments) -> Exit {
    match app::compile(&arguments.files.paths) {
        Ok(compiled) => {
            show(&compiled.report);
            print(&summary(&compiled.plan))
        }
        Err(trouble) => give_up(&trouble),
    }
}

/// What was compiled, in a few lines.
fn summary(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for pipeline in &plan.pipelines {
        let _ = writeln!(text, "pipeline {} on POST {}", pipeline.name, pipeline.route);
        for (word, entry) in [("online", &pipeline.online), ("offline", &pipeline.offline)] {
            let _ = writeln!(text, "  {word:8} {}", line(entry));
        }
    }
    for model in &plan.models {
        let versions: Vec<String> = model.versions.iter().map(u64::to_string).collect();
        let device = plan.devices.get(model.device).map_or(String::new(), |d| d.id.to_string());
        let share =
            if model.share > 0.0 { format!("{} of", model.share) } else { "without a share on".into() };
        let _ = writeln!(
            text,
            "model {} version {}, {share} {device}, batches of up to {}",
            model.name,
            versions.join(", "),
            model.batch.max,
        );
    }
    text.push_str("no errors\n");
    text
}

/// "photo -> mask, surface -> reply, overlay"
fn line(entry: &Entry) -> String {
    let decodes: Vec<&str> = entry.decodes.iter().map(|d| d.name.as_str()).collect();
    let steps: Vec<&str> = entry.steps.iter().map(|s| s.name.as_str()).collect();
    let encodes: Vec<&str> = entry.encodes.iter().map(|e| e.name.as_str()).collect();
    [decodes.join(", "), steps.join(", "), encodes.join(", ")].join(" -> ")
}
