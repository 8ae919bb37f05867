//! Why an item has no answer: a variant a cause. What becomes of each is for the caller to say.

use crate::lifecycle::NotReady;
use crate::memory::Full;
use crate::plan::{DecodeError, EncodeError, OperationError};
use std::fmt;
use std::time::Duration;

/// A step of one item: "step `read`, 7 of 12" where it runs for the elements of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtStep {
    pub name: String,
    /// Which of how many elements, counted from 1.
    pub element: Option<(usize, usize)>,
}

impl From<String> for AtStep {
    fn from(name: String) -> Self {
        Self { name, element: None }
    }
}

impl fmt::Display for AtStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step `{}`", self.name)?;
        self.element.map_or(Ok(()), |(element, all)| write!(f, ", {element} of {all}"))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The item is at fault.
    #[error("decode `{decode}`: {error}")]
    Decode { decode: String, error: DecodeError },
    /// What was decoded is not what the step's model takes (dtype or shape).
    #[error("{step}: {reason}")]
    Input { step: AtStep, model: String, reason: String },
    /// An operation cannot be done.
    #[error("{step}: {error}")]
    Operation { step: AtStep, error: OperationError },
    /// The entry refuses what the steps found.
    #[error("{say}")]
    Refused { status: u16, say: String },
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
    #[error("{step}: model `{model}` ran for longer than its `max_run` allows")]
    TooLong { step: AtStep, model: String },
    /// There is no memory for what the model would take for the item: none now, or never.
    #[error("{step}: {reason}")]
    StepMemory { step: AtStep, model: String, reason: String, for_good: bool },
    /// The model or its device failed.
    #[error("{step}: {reason}")]
    Step { step: AtStep, model: String, reason: String },
    #[error("encode `{encode}`: {error}")]
    Encode { encode: String, error: EncodeError },
    /// A decode or an encode panicked: "encode `reply`".
    #[error("{at} panicked: {message}")]
    Panic { at: String, message: String },
    /// There are not as many payloads as decodes, or no such encode. The caller's mistake.
    #[error("{0}")]
    Request(String),
}
