//! Queues, forming batches, holding shares, the device's own threads.
//!
//! It runs whatever implements [`Runner`]; it does not know the engine. What decides is pure and takes
//! the time as an argument ([`share`], [`queue`], `state`); the threads around it are thin ([`device`],
//! [`executor`]).
//!
//! A request's item goes `Instance::submit` -> queue -> batch -> [`Runner::run`] -> [`Ticket`].

mod accounts;
mod blame;
pub mod counters;
pub mod device;
pub mod executor;
mod formed;
mod item;
mod lanes;
mod pace;
mod policy;
pub mod queue;
mod replicas;
mod run;
pub mod runner;
mod running;
pub mod share;
#[cfg(all(test, feature = "shuttle"))]
mod shuttle_tests;
pub mod simulator;
mod state;
pub mod stop;
pub mod ticket;
mod usage;
mod watch;

pub use accounts::{ModelUsage, Usage};
pub use blame::Sender;
pub use counters::{Counters, Snapshot};
pub use device::{Device, Instance};
pub use executor::{Executor, OwnThreads, SharedPool};
pub use lanes::{Patience, Stuck};
pub use policy::Policy;
pub use queue::Terms;
pub use replicas::{Replicas, RoomMade};
pub(crate) use run::panic_message;
pub use runner::{Batch, Memory, Resident, RunError, Runner, StagedBatch, Value, Want};
pub use stop::{StopFlag, Stopped, Stopping, is_stopped};
pub use ticket::{Done, ItemError, Rejected, Ticket, Timing};
