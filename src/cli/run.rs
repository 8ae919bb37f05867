//! `rserve run`

use super::output::{complain, give_up, print, show};
use super::{Exit, Files, log};
use crate::app::{self, Listen, Overrides, StateFolder};
use crate::spec::{Address, NotAnAddress};
use clap::ValueHint;

/// Serve pipelines over HTTP
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve run                                    every *.toml in pipelines/
  rserve run pipelines/road.toml
  rserve run pipelines/ --listen 0.0.0.0:80 --admin off
  rserve run pipelines/ --log info,rserve::ingress=debug --log-format json

New versions in the model store and edits of the files are taken up while it runs; SIGHUP, or
`rserve reload`, has it look at once.
SIGTERM says no to health checks and takes requests for `grace` (5 s) more; then, or at once on
SIGINT, the requests in flight are finished, and it exits 0. A second signal exits at once.")]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Listen there, whatever the file says
    #[arg(long, value_name = "HOST:PORT", value_hint = ValueHint::Other)]
    listen: Option<Address>,
    /// Have the admin listener there, or "off"
    #[arg(long, value_name = "HOST:PORT|off", value_parser = admin, value_hint = ValueHint::Other)]
    admin: Option<Listen>,
    /// Keep notes there of models that take rserve down while they are loaded, which are then not tried again by
    /// themselves; or "off". Where left out: $STATE_DIRECTORY, $XDG_STATE_HOME/rserve or ~/.local/state/rserve
    #[arg(long, value_name = "FOLDER|off", env = "RSERVE_STATE", hide_env_values = true, default_value = "", hide_default_value = true, value_parser = state, value_hint = ValueHint::DirPath)]
    state: StateFolder,
    #[command(flatten)]
    log: log::Logging,
}

fn state(text: &str) -> Result<StateFolder, std::convert::Infallible> {
    if text.is_empty() { Ok(StateFolder::Usual) } else { text.parse() }
}

fn admin(text: &str) -> Result<Listen, String> {
    match text {
        "off" => Ok(Listen::Off),
        _ => text.parse().map(Listen::At).map_err(|error: NotAnAddress| format!("{error}, or \"off\"")),
    }
}

pub fn run(arguments: Arguments) -> Exit {
    if let Err(error) = log::begin(&arguments.log, "info") {
        complain(&error);
        return Exit::Usage;
    }
    let overrides = Overrides { listen: arguments.listen, admin: arguments.admin.unwrap_or_default() };
    let announce = |text: &str| _ = print(text);
    let served = app::serve(&arguments.files.paths, &overrides, &arguments.state, show, announce);
    match served {
        Ok(()) => Exit::Fine,
        Err(trouble) => give_up(&trouble),
    }
}
