//! `rserve check`

use super::output::{give_up, print, show};
use super::{Exit, Files};
use crate::app;
use crate::plan::{Entry, Plan, Side};
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
        for side in Side::BOTH {
            let _ = writeln!(text, "  {side:8} {}", line(pipeline.entry(side)));
        }
    }
    for model in &plan.models {
        let versions: Vec<String> = model.versions.iter().map(u64::to_string).collect();
        let on: Vec<String> = model.devices.iter().map(|device| device.to_string()).collect();
        let replicas = if on.len() > 1 { format!("{} replicas, each ", on.len()) } else { String::new() };
        let share =
            if model.share > 0.0 { format!("{} of", model.share) } else { "without a share on".into() };
        let batches = match &*model.batch.sizes {
            [] => format!("batches of up to {}", model.batch.max),
            sizes => {
                let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
                format!("batches of {}", sizes.join(", "))
            }
        };
        let alone = model.signature.batching.alone.as_ref();
        let batches = alone.map_or(batches, |alone| format!("one item at a time: {}", alone.why));
        let _ = writeln!(
            text,
            "model {} version {}, {replicas}{share} {}, {batches}",
            model.name,
            versions.join(", "),
            on.join(", "),
        );
    }
    for device in &plan.devices {
        let held: Vec<String> =
            device
                .held
                .iter()
                .filter_map(|(m, share)| Some((plan.models.get(*m)?.name.as_str(), *share)))
                .map(|(name, share)| {
                    if share > 0.0 {
                        format!("{name} {}", rounded(share))
                    } else {
                        format!("{name} idle time")
                    }
                })
                .collect();
        let left = 1.0 - device.held.iter().map(|(_, share)| share).sum::<f64>();
        let held = if held.is_empty() { "nobody".to_owned() } else { held.join(", ") };
        let _ = writeln!(text, "device {}: {held}; {} left", device.id, rounded(left));
    }
    text.push_str("no errors\n");
    text
}

/// Rounds away the last digits that sums of shares leave.
fn rounded(share: f64) -> f64 {
    ((share * 1e6).round() / 1e6).max(0.0)
}

/// "photo -> mask, surface -> reply, overlay"
fn line(entry: &Entry) -> String {
    let decodes: Vec<&str> = entry.decodes.iter().map(|d| d.name.as_str()).collect();
    let steps: Vec<&str> = entry.steps.iter().map(|s| s.name.as_str()).collect();
    let encodes: Vec<&str> = entry.encodes.iter().map(|e| e.name.as_str()).collect();
    [decodes.join(", "), steps.join(", "), encodes.join(", ")].join(" -> ")
}
