//! The only room that wires the others.

mod allocator;
mod banner;
mod batch;
mod compile;
mod facts;
mod fit;
mod handler;
mod host;
mod loader;
mod running;
mod samples;
mod serve;
mod token;
mod trouble;
mod via;
mod watching;

pub use batch::{Batch, Done, Foreseen, What, batch, foresee, only, trouble};
pub use compile::{Compiled, compile};
pub use serve::{Overrides, serve};
pub use trouble::Trouble;
