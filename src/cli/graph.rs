//! `rserve graph`

use super::output::{complain, give_up, print, show};
use super::{Exit, Files};
use crate::app;
use crate::diagnostic::nearest;
use crate::plan::graph;
use clap::{ValueEnum, ValueHint};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// Draw what pipelines compile to
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve graph                                  as text, every *.toml in pipelines/
  rserve graph pipelines/road.toml --format mermaid
  rserve graph pipelines/ --pipeline landing-spot --format svg -o landing-spot.svg
  rserve graph --format dot | dot -Tpdf > pipelines.pdf")]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
    /// How it is drawn
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// One pipeline alone
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pipeline: Option<String>,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Mermaid,
    Dot,
    Svg,
}

pub fn run(arguments: &Arguments) -> Exit {
    let compiled = match app::compile(&arguments.files.paths) {
        Ok(compiled) => compiled,
        Err(trouble) => return give_up(&trouble),
    };
    show(&compiled.report);
    let mut plan = compiled.plan;
    if let Some(wanted) = &arguments.pipeline {
        plan = match plan.pipelines.iter().find(|p| p.name == *wanted) {
            Some(pipeline) => Arc::new(app::only(&plan, pipeline)),
            None => {
                let names: Vec<&str> = plan.pipelines.iter().map(|p| p.name.as_str()).collect();
                let near = nearest(wanted, names.iter().copied());
                let hint = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
                complain(&format!(
                    "there is no pipeline `{wanted}`{hint}\n  there are: {}",
                    names.join(", ")
                ));
                return Exit::Wrong;
            }
        };
    }
    let drawn = match arguments.format {
        Format::Text => graph::text(&plan),
        Format::Mermaid => graph::mermaid(&plan),
        Format::Dot => graph::dot(&plan),
        Format::Svg => graph::svg(&plan),
    };
    match &arguments.output {
        None => print(&drawn),
        Some(file) => match fs::write(file, drawn) {
            Ok(()) => Exit::Fine,
            Err(error) => {
                complain(&format!("cannot write `{}`: {error}", file.display()));
                Exit::CouldNotRun
            }
        },
    }
}
