//! The one integration binary: every further one would link Burn again.

mod cli;
mod codec;
mod engine;
mod fakes;
mod flow;
mod fuzz;
mod ingress;
mod lang;
mod layering;
mod lifecycle;
mod lists;
mod scheduler;
