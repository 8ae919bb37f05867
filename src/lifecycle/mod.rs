//! A version's states, what to load and drop, and the swap.
//!
//! A generation is a version with its content's digest. It is loaded, checked against every pipeline of the
//! plan, and warmed up, all off the serving threads; then one pointer is swapped ([`cell`]). Requests that
//! hold the old one finish on it, and the last of them frees it. What to do is decided by pure functions
//! ([`decide`], [`still`], [`choose`], [`align`]); starting is the same as reloading, from nothing.
//!
//! Another plan is staged beside the one that serves and then takes its place ([`Lifecycle::stage`],
//! [`Lifecycle::commit`]): a model of which it asks something else gets a cell of its own, so that requests
//! that came under the old plan end under it.
//!
//! It knows neither HTTP nor the engine: models are loaded through [`Loader`].

mod access;
pub mod align;
mod aside;
pub mod cell;
pub mod choose;
mod config;
pub mod decide;
mod fault;
mod generation;
mod given;
mod load;
mod loader;
mod looks;
mod memory;
mod model;
mod models;
mod notes;
mod pass;
mod precautions;
mod proof;
mod records;
mod samples;
mod scan;
mod shadow;
#[cfg(all(test, feature = "shuttle"))]
mod shuttle_tests;
pub mod state;
mod status;
pub mod still;
pub mod units;
mod warm;
mod work;

pub use align::Align;
pub use cell::{Answering, Cell, NotReady, Picked, Served};
pub use config::{Fit, Serving};
pub use fault::Cause;
pub use generation::Generation;
pub use loader::{Loadable, Loader, OpenError, Opened, PlaceError};
pub use looks::{BRIEF, LookError, Looks};
pub use model::{Failure, Reload};
pub use models::{Lifecycle, Population, Refused, Staged, Unknown};
pub use notes::{LoadNote, LoadNotes, Remembered};
pub use precautions::Precautions;
pub use shadow::{Copied, Shadow};
pub use state::State;
pub use status::{
    Comparison, DeviceStatus, GenerationStatus, InstanceStatus, Loads, ModelStatus, PlaceStatus,
};
pub use warm::Joining;
