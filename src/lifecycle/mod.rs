//! A version's states, what to load and drop, and the swap.
//!
//! A generation is a version with its content's digest. It is loaded, checked against what the plan was
//! compiled with, and warmed up, all off the serving threads; then one pointer is swapped ([`cell`]).
//! Requests that hold the old one finish on it, and the last of them frees it. What to do is decided by a
//! pure function ([`decide`]); starting is the same as reloading, from nothing.
//!
//! It knows neither HTTP nor the engine: models are loaded through [`Loader`].

pub mod cell;
pub mod check;
pub mod decide;
mod load;
mod model;
mod models;
pub mod state;
mod warm;

pub use cell::{Cell, Generation, NotReady};
pub use load::{Loaded, Loader};
pub use model::{Failure, Reload};
pub use models::{Lifecycle, Unknown};
pub use state::{DeviceStatus, GenerationStatus, InstanceStatus, ModelStatus, PlaceStatus, State};
