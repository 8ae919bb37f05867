//! hyper: routes, bodies in, answers out, health, metrics, admin. Never sees the engine.
//!
//! A connection (`listener`, `socket`) hands each request to `server`, which finds its route (`routes`),
//! reads the body (`body`, `form`), has the host run it (`host`) and writes the answer (`answer`) or a
//! problem document (`problem`). What the rest of rserve must do for a request are the traits [`Handler`], which
//! speaks as `flow` does, and [`Host`], so that everything here can be tried without a model. What may change
//! while it serves is the [`DynamicConfig`].

mod accept;
mod admin;
mod answer;
mod body;
mod body_memory;
mod clients;
mod coding;
pub mod documents;
mod dynamic;
mod form;
mod frames;
mod framing;
mod guard;
mod health;
mod host;
mod limits;
mod listener;
mod metrics;
mod outgoing;
mod pace;
mod pages;
mod pins;
mod predict;
mod problem;
mod reading;
mod request_id;
mod routes;
mod server;
mod socket;
mod timeout;
mod token;
mod via;
mod via_protocol;

pub use admin::Admin;
pub use clients::ClientRules;
pub use dynamic::DynamicConfig;
pub use health::Health;
pub use host::{AdminCommand, BoxFuture, CommandOutcome, Handler, Host, Sample, SampleKind, Versions};
pub use limits::Limits;
pub use listener::{Listener, bind};
pub use metrics::Metrics;
pub use pages::curl;
pub use routes::Routes;
pub use server::Server;
pub use token::Token;
pub use via::{ViaAnswer, ViaClient, ViaError};

use crate::plan::{DecodePlan, Payload};
use bytes::Bytes;
use hyper::StatusCode;

/// Every answer is whole before it is sent.
type Response = hyper::Response<outgoing::Outgoing>;

/// A body as its `content-type` has it, to one payload for each decode; else the status that it is answered with.
pub fn payloads(content_type: &str, body: Bytes, decodes: &[DecodePlan]) -> Result<Vec<Payload>, StatusCode> {
    form::payloads(content_type, body, decodes).map_err(|problem| problem.status())
}
