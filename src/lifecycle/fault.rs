//! Why a version does not come to serve.

use crate::diagnostic::shortened;
use serde::{Deserialize, Serialize};

/// Why a version does not come to serve, as a metric counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its files cannot be read.
    Unreadable,
    /// It is not a model, or not one that can be run.
    Invalid,
    /// A pipeline that uses the model could not work with it.
    Misfit,
    /// It takes more of its device's memory than its share allows.
    Memory,
    /// It could not be placed on its device.
    Load,
    /// Its first batches failed.
    WarmUp,
    /// It took longer than `load_timeout`.
    Timeout,
    /// An earlier load of it took the process down, or did not come back.
    Fatal,
    /// A newer one, or other content under its number, came before it was ready.
    Overtaken,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Invalid => "invalid",
            Self::Misfit => "misfit",
            Self::Memory => "memory",
            Self::Load => "load",
            Self::WarmUp => "warm-up",
            Self::Timeout => "timeout",
            Self::Fatal => "fatal",
            Self::Overtaken => "overtaken",
        }
    }
}

/// Why a generation does not come to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub cause: Cause,
    /// The reasons, one a line.
    pub reason: String,
}

impl Fault {
    pub(super) fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause, reason: shortened(&reason.into()).into_owned() }
    }
}
