//! The only room that wires the others.

mod allocator;
mod banner;
mod batch;
mod bring_up;
mod compile;
mod facts;
mod fit;
mod handler;
mod host;
mod listening;
mod loader;
mod memory;
mod notify;
mod orders;
mod overrides;
mod running;
mod samples;
mod serve;
mod signals;
mod state;
mod token;
mod trouble;
mod via;
mod watchdog;
mod watching;

/// All formats and operations of rserve.
fn registries() -> crate::plan::Registries<'static> {
    crate::plan::Registries { codecs: crate::codec::registry(), operations: crate::steps::registry() }
}

pub use batch::{Batch, Done, DryRun, What, batch, dry_run, only, trouble};
pub use compile::{Compiled, DEFAULT_PATH, compile};
pub use overrides::{Listen, Overrides};
pub use serve::serve;
pub use state::StateFolder;
pub use trouble::Trouble;
pub use watchdog::LOST;
