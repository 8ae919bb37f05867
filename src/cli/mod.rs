//! The command line: a file a command.

mod admin;
mod batch;
mod check;
mod completions;
mod graph;
mod inspect;
mod log;
mod merge;
mod models;
mod output;
mod reload;
mod run;
mod status;

use crate::app;
use clap::error::{ContextKind, ErrorKind};
use clap::{ColorChoice, Parser, Subcommand, ValueHint};
use std::path::PathBuf;
use std::process::ExitCode;

/// The end of a command, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Fine = 0,
    /// What was given is wrong; the diagnostics have said so.
    Wrong = 1,
    /// It was called wrongly.
    Usage = 2,
    /// It could not run: a port is taken, a file unreadable.
    CouldNotRun = 3,
    /// A batch ran to its end, and some items failed.
    ItemsFailed = 4,
    /// A device did not come back from a batch.
    Lost = app::LOST as isize,
    /// A batch was stopped by a signal.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Serve machine-learning pipelines from one TOML file, over HTTP and over folders of files.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 fine, 1 what was given is wrong, 2 usage, 3 could not run, \
                        4 some items of a batch failed, 5 a device did not come back: start it again, 130 a batch was \
                        interrupted.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Batch(batch::Arguments),
    Merge(merge::Arguments),
    Check(check::Arguments),
    Graph(graph::Arguments),
    Inspect(inspect::Arguments),
    Status(status::Arguments),
    Models(models::Arguments),
    Reload(reload::Arguments),
    Completions(completions::Arguments),
    /// Print the version
    Version,
}

/// The pipelines that a command is about.
#[derive(Clone, Debug, clap::Args)]
struct Files {
    /// Pipeline files, or folders of them (every *.toml within)
    #[arg(value_name = "FILE|DIR", default_value = app::DEFAULT_PATH, value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
}

pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(mut error) => {
            // clap proposes to give an unknown flag as a value, which is never what was meant.
            if error.kind() == ErrorKind::UnknownArgument {
                error.remove(ContextKind::Suggested);
            }
            // Help goes to stdout, which may be a pipe that is closed already.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() };
        }
    };
    let exit = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Batch(arguments) => batch::run(arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Version => output::print(&command().render_version()),
    };
    exit.into()
}

/// The command line, with the colours that the terminal, `NO_COLOR` and `CLICOLOR_FORCE` ask for.
fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command().color(ColorChoice::Auto)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_well_formed() {
        super::command().debug_assert();
    }

    /// Help is wrapped at 100 columns, so that a longer line would leave a word alone on the next.
    #[test]
    fn no_line_of_the_examples_is_too_long() {
        for command in super::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
        }
    }
}
