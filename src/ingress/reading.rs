//! A body that has come whole, to the payloads of its item: unpacked, split and measured. Where that is more than a
//! moment's work it is done on the threads of the decodes, in their line.

use super::body_memory::BodyMemory;
use super::clients::RequestMemory;
use super::coding::Coding;
use super::dynamic::DynamicConfig;
use super::form;
use super::problem::Problem;
use super::routes::Route;
use crate::flow::{CodecThreads, HEAVY, Side};
use crate::plan::{Entry, Payload};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What packed bytes become, as a rule. They are taken to be heavy however few they are.
const UNPACKED: usize = 4;

/// The settings and threads that bodies are read with.
pub struct BodyReader {
    pub config: Arc<DynamicConfig>,
    /// How long a body may stand still.
    pub idle: Duration,
    /// Where bodies are unpacked and split, in one line with what is decoded.
    pub threads: CodecThreads,
}

impl BodyReader {
    /// The bytes that a body may have at this moment.
    pub fn max_body(&self) -> usize {
        self.config.max_body()
    }
}

/// A body as it came.
pub struct Arrived {
    pub coding: Coding,
    pub bytes: Bytes,
    declared: Option<HeaderValue>,
    /// The bytes that it may have once it is unpacked.
    max_body: usize,
}

/// A body as an item reads it.
pub struct Read {
    /// One for each decode of the entry, in its order.
    pub payloads: Vec<Payload>,
    /// Whether it looks like a file that lost its line ends on the way.
    pub has_lost_line_ends: bool,
}

impl Arrived {
    pub fn new(headers: &HeaderMap, coding: Coding, bytes: Bytes, max_body: usize) -> Self {
        Self { coding, bytes, declared: headers.get(CONTENT_TYPE).cloned(), max_body }
    }

    /// Reads it for the entry on this `side` of a route, until the deadline. `reserved` holds its memory and what it
    /// becomes, also while the work goes on for a caller who has left.
    pub async fn read(
        self,
        threads: &CodecThreads,
        route: &Route,
        side: Side,
        deadline: Instant,
        memory: &RequestMemory,
        reserved: &mut BodyMemory,
    ) -> Result<Read, Problem> {
        let weight = self.weight(route.pipeline.entry(side));
        let pipeline = route.pipeline.clone();
        let mut held = std::mem::replace(reserved, BodyMemory::nothing(memory));
        let work = move || {
            let read = self.read_now(pipeline.entry(side), &mut held);
            (read, held)
        };
        let (read, held) = threads.prepare(&route.name, "the body", weight, deadline, work).await?;
        *reserved = held;
        read
    }

    /// How much there is to do, in bytes.
    fn weight(&self, entry: &Entry) -> usize {
        let length = self.bytes.len();
        if self.coding != Coding::Identity {
            return length.saturating_mul(UNPACKED).max(HEAVY);
        }
        let declared = self.declared();
        let goes_through = form::is_copied(declared, &entry.decodes)
            || form::may_have_lost_line_ends(declared)
            || entry.decodes.iter().any(|plan| plan.decode.json().is_some());
        if goes_through { length } else { 0 }
    }

    fn read_now(mut self, entry: &Entry, reserved: &mut BodyMemory) -> Result<Read, Problem> {
        let bytes = self.coding.unpack(std::mem::take(&mut self.bytes), self.max_body, reserved)?;
        let declared = self.declared();
        let length = bytes.len();
        let copied = if form::is_copied(declared, &entry.decodes) { length } else { 0 };
        let length = length.saturating_add(copied);
        reserved.hold(length)?;
        let has_lost_line_ends = form::has_lost_line_ends(declared, &bytes);
        let payloads = form::payloads(declared, bytes, &entry.decodes)?;
        let unfolded =
            entry.decodes.iter().zip(&payloads).map(|(plan, payload)| plan.decode.unfolded(payload));
        reserved.hold(unfolded.fold(length, usize::saturating_add))?;
        Ok(Read { payloads, has_lost_line_ends })
    }

    fn declared(&self) -> &str {
        self.declared.as_ref().and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}
