//! A device's streams: what is asked for on one stream happens in order, what is asked for on different ones may
//! happen at the same time. The CPU has none; there they are numbers that nobody looks at.
//!
//! CubeCL takes the stream of whatever is asked for from the thread that asks, unless told otherwise, and keeps
//! `id % 128` streams of the device, each with a pool of memory of its own.

use burn_std::id::StreamId;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A stream that nobody else has. Its number is given back when it is dropped, so that the memory that a device
/// keeps for it is used again.
#[derive(Debug)]
pub struct Stream(u64);

/// The numbers that are in use.
static TAKEN: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

impl Stream {
    pub fn open() -> Self {
        let mut taken = taken();
        let mut number = 0;
        while !taken.insert(number) {
            number += 1;
        }
        Self(number)
    }

    /// Whatever `f` asks of a device happens on this stream.
    pub fn on<T>(&self, f: impl FnOnce() -> T) -> T {
        self.id().executes(f)
    }

    /// The id of this stream. Those of threads count up from 0, these down from the end, so that they seldom meet.
    fn id(&self) -> StreamId {
        StreamId { value: u64::MAX - self.0 }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::open()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        taken().remove(&self.0);
    }
}

fn taken() -> MutexGuard<'static, BTreeSet<u64>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_while_they_live_and_their_numbers_are_used_again() {
        let streams: Vec<Stream> = (0..200).map(|_| Stream::open()).collect();
        let ids: BTreeSet<StreamId> = streams.iter().map(Stream::id).collect();
        assert_eq!(ids.len(), 200);
        drop(streams);
        assert!(Stream::open().0 < 200, "the least that is free");
    }
}
