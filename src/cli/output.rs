//! Writing to people: colours where they are wanted, and no panic where nobody reads.

use crate::app::Trouble;
use crate::cli::Exit;
use crate::diagnostic::{Report, render};
pub use crate::diagnostic::{harmless, shown};
use std::io::{self, IsTerminal, Write};

/// Writes to stdout. A reader that has gone (`| head`) is the end of the output, not an error.
pub fn print(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(harmless(text).as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Fine,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => {
            complain(&format!("cannot write the output: {error}"));
            Exit::CouldNotRun
        }
    }
}

/// One line about why a command could not do its work.
pub fn complain(text: &str) {
    let (red, plain) = if stderr_has_colours() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    say(&format!("{red}error{plain}: {}\n", harmless(text)));
}

/// Writes to stderr; where that is closed nobody is told.
pub fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes every diagnostic to stderr.
pub fn show(report: &Report) {
    if !report.diagnostics.is_empty() {
        say(&render(report, stderr_has_colours()));
    }
}

pub fn stderr_has_colours() -> bool {
    has_colours(io::stderr().is_terminal())
}

/// Whether to write in colours, by the rules of no-color.org.
fn has_colours(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    if set("NO_COLOR") { false } else { set("CLICOLOR_FORCE") || (terminal && !dumb) }
}

/// Says what kept a command from its work, and how it ends.
pub fn give_up(trouble: &Trouble) -> Exit {
    match trouble {
        Trouble::Wrong(report) => {
            show(report);
            Exit::Wrong
        }
        Trouble::StoreUnreadable(report) => {
            show(report);
            Exit::CouldNotRun
        }
        Trouble::Given(text) => {
            complain(text);
            Exit::Wrong
        }
        Trouble::CouldNotRun(text) => {
            complain(text);
            Exit::CouldNotRun
        }
    }
}
