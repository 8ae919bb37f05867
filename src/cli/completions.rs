//! `rserve completions`

use super::output::print;
use super::{Exit, command};
use clap_complete::{Shell, generate};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve completions bash > ~/.local/share/bash-completion/completions/rserve
  rserve completions zsh > ~/.zfunc/_rserve
  rserve completions fish > ~/.config/fish/completions/rserve.fish")]
pub struct Arguments {
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Exit {
    let mut script = vec![];
    generate(arguments.shell, &mut command(), "rserve", &mut script);
    print(&String::from_utf8_lossy(&script))
}
