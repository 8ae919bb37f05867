//! rserve compiles one TOML file into a server for machine-learning pipelines.
//!
//! The rooms are the phases that the file goes through, read from top to bottom. A room may use
//! those above it, never those below (`tests/layering.rs` holds the walls).
//!
//! | room | what it is for | what it must not know |
//! |---|---|---|
//! | [`diagnostic`] | one kind of report about what the user gave | anything else of rserve |
//! | [`memory`] | one budget of the memory of the process | anything else of rserve |
//! | [`random`] | numbers that follow from a seed | anything else of rserve |
//! | `sync` | the locks of what is tried by shuttle | anything else of rserve |
//! | [`tensor`] | a tensor on the host: dtype, shape, bytes | Burn |
//! | [`spec`] | TOML text to a typed `Spec`, every value with its place | models, codecs |
//! | [`plan`] | specs, signatures and capacity to a checked plan. Pure | files, clocks, Burn |
//! | [`store`] | the model store on disk: layout, versions, digests | what a model computes |
//! | [`picture`] | pictures of all formats to upright RGB, resized and cut; pixels to numbers; what is found in them and drawn on them | requests, steps |
//! | [`codec`] | bytes to tensors and back, a file a format | HTTP, folders |
//! | [`steps`] | operations: what steps do that call no model, a file an operation | models, HTTP, folders |
//! | [`scheduler`] | queues, forming batches, the device's own threads | the engine |
//! | [`engine`] | an ONNX graph on Burn tensors. The only room that knows Burn | requests |
//! | [`lifecycle`] | a version's states, what to load and drop, the swap | HTTP |
//! | [`flow`] | one item's way through a plan, online and offline alike | HTTP, folders |
//! | [`ingress`] | hyper: routes, bodies in, answers out | the engine |
//! | [`offline`] | folders in, tables and files out | HTTP |
//! | [`watch`] | paths that changed, settled. Decides nothing | everyone |
//! | [`app`] | wires the others | |
//! | [`cli`] | a file a command | |
#![deny(unsafe_code)]

#[cfg(not(unix))]
compile_error!("rserve runs on Unix: it tells files apart by their inodes, and reads a file at an offset");

pub mod diagnostic;
pub mod memory;
pub mod random;
mod sync;
pub mod tensor;

pub mod spec;

pub mod plan;

pub mod picture;
pub mod store;

pub mod codec;
pub mod steps;

pub mod scheduler;

pub mod engine;

pub mod lifecycle;

pub mod flow;

pub mod ingress;
pub mod offline;
pub mod watch;

pub mod app;
pub mod cli;
