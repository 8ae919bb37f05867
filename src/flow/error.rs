//! Why an item has no answer: a variant a cause. What becomes of each is for the caller to say.

use crate::lifecycle::NotReady;
use crate::memory::Full;
use crate::plan::{DecodeError, EncodeError};
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The item is at fault.
    #[error("decode `{decode}`: {error}")]
    Decode { decode: String, error: DecodeError },
    /// What was decoded is not what the step's model takes (dtype or shape).
    #[error("step `{step}`: {reason}")]
    Input { step: String, model: String, reason: String },
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The model's queue is full.
    #[error("the queue of `{model}` is full")]
    Full { model: String, retry_after: Duration },
    /// The model was taken out of service while the item waited.
    #[error("the model `{model}` was taken out of service")]
    Closed { model: String },
    /// As many items of the pipeline wait to be decoded as may.
    #[error("too many wait at {at}")]
    Crowded { at: String, retry_after: Duration },
    /// There is no memory for what is decoded, or for what a step gave: none now, or never.
    #[error("{at}: {full}")]
    NoMemory { at: String, full: Full },
    /// "step `surface`"
    #[error("the deadline passed at {at}")]
    Deadline { at: String },
    /// The batch that the item was in ran for longer than the model's `max_run`, and was ended.
    #[error("step `{step}`: model `{model}` ran for longer than its `max_run` allows")]
    TooLong { step: String, model: String },
    /// There is no memory for what the model would take for the item: none now, or never.
    #[error("step `{step}`: {reason}")]
    StepMemory { step: String, model: String, reason: String, for_good: bool },
    /// The model or its device failed.
    #[error("step `{step}`: {reason}")]
    Step { step: String, model: String, reason: String },
    #[error("encode `{encode}`: {error}")]
    Encode { encode: String, error: EncodeError },
    /// A decode or an encode panicked: "encode `reply`".
    #[error("{at} panicked: {message}")]
    Panic { at: String, message: String },
    /// There are not as many payloads as decodes, or no such encode. The caller's mistake.
    #[error("{0}")]
    Request(String),
}
