//! One item's way through a plan: decode, steps, encode. HTTP and offline both end here.
//!
//! [`Pipeline::pin`] takes every model of the pipeline once; [`run`] takes one item through with what was
//! pinned, so that it never sees two versions. It knows neither HTTP nor folders: who calls it hands in
//! payloads and takes bytes.

mod calls;
mod codecs;
mod compute;
mod error;
mod item;
mod line;
mod pipeline;
mod run;
mod slots;
mod start;
mod steps;
mod together;

pub use crate::plan::Side;
pub use codecs::{CodecThreads, HEAVY};
pub use error::{AtStep, Error};
pub use pipeline::{Pinned, Pipeline};
pub use run::{Answer, Request, StepTiming, Timings, room, run};
