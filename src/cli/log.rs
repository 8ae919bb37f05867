//! Logs: to stderr, as text or JSON.

use crate::cli::output::stderr_has_colours;
use clap::ValueEnum;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;

#[derive(Clone, Debug, clap::Args)]
pub struct Logging {
    /// What is logged: a level, or a filter such as "info,rserve::ingress=debug"
    #[arg(long, value_name = "LEVEL|FILTER", env = "RSERVE_LOG")]
    log: Option<String>,
    /// How it is logged
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What crates that are used here say to nobody's use: notify warns of each folder that is gone, which is known by then.
const OTHERS: &str = "notify=error";

/// Logs at `level` where the command line says nothing. An error is one of usage.
pub fn begin(arguments: &Logging, level: &str) -> Result<(), String> {
    let wanted = arguments.log.as_deref().unwrap_or(level);
    let filter = EnvFilter::builder()
        .parse(format!("{OTHERS},{wanted}"))
        .map_err(|e| format!("--log {wanted}: {e}; try \"debug\" or \"info,rserve::ingress=debug\""))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(stderr_has_colours())
        .with_target(false);
    let begun = match arguments.log_format {
        Format::Text => log.try_init(),
        Format::Json => log.json().flatten_event(true).with_target(true).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
    begun.map_err(|e| e.to_string())
}

/// A panic is contained where it happens, and logged as everything else is.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(at, %backtrace, "panicked: {message}"),
        _ => tracing::error!(at, "panicked: {message}"),
    }
}
