//! The ingress over real sockets, with a host that only pretends: what a client sees, without any model.

mod answers;
mod client;
mod connections;
mod fairness;
mod forms;
mod memory;
mod pretend;
