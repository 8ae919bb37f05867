//! `errors.jsonl`: a line for each item that has no result.

use super::Refused;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    pub path: std::borrow::Cow<'a, str>,
    /// The decode, step or encode at which it failed; "read" where its files could not be read.
    pub step: std::borrow::Cow<'a, str>,
    pub reason: std::borrow::Cow<'a, str>,
}

pub const NAME: &str = "errors.jsonl";

/// The line of an error, its end included.
pub fn line(path: &str, refused: &Refused) -> Vec<u8> {
    let line = Line { path: path.into(), step: (&refused.step).into(), reason: (&refused.reason).into() };
    let mut line = serde_json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The items that the lines are about.
pub fn paths(lines: &[u8]) -> impl Iterator<Item = String> {
    let lines = lines.split(|byte| *byte == b'\n');
    lines.filter_map(|line| Some(serde_json::from_slice::<Line<'_>>(line).ok()?.path.into_owned()))
}
