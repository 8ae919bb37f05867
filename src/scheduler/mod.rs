//! Queues, forming batches, the device's own threads.
//!
//! It runs whatever implements [`Runner`]; it does not know the engine. What decides is pure and takes
//! the time as an argument; the threads around it are thin.

pub mod runner;

pub use runner::{Batch, Resident, RunError, Runner, Value, Want};
