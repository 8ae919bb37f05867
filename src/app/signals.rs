//! The signals that ask a command to end.

use super::Trouble;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, as a process manager sends it.
    Terminate,
    /// SIGINT: somebody at a terminal, who waits.
    Interrupt,
}

pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> Result<Self, Trouble> {
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }
}

/// SIGHUP, which asks for a look at everything.
pub fn hang_up() -> Result<Signal, Trouble> {
    on(SignalKind::hangup())
}

fn on(kind: SignalKind) -> Result<Signal, Trouble> {
    signal(kind).map_err(|e| Trouble::CouldNotRun(format!("cannot wait for signals: {e}")))
}

#[expect(clippy::disallowed_methods, reason = "the second signal asks not to wait for what could be dropped")]
pub fn exit_at_once() {
    std::process::exit(130);
}
