//! A device's streams: what is asked for on one stream happens in order, what is asked for on different ones may
//! happen at the same time. The CPU has none; there they are numbers that nobody looks at.
//!
//! CubeCL takes the stream of whatever is asked for from the thread that asks, unless told otherwise, and keeps
//! `id % 128` streams of the device, each with a pool of memory of its own.

use burn_std::id::StreamId;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

    /// Those of threads count up from 0, these down from the end, so that they seldom meet.
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

/// Tensors of a stream, to be freed on it: on a thread's own stream that would wait until the thread next asks
/// for something.
#[derive(Debug)]
pub struct Held<T: Default> {
    value: T,
    stream: Arc<Stream>,
}

impl<T: Default> Held<T> {
    pub fn new(value: T, stream: &Arc<Stream>) -> Self {
        Self { value, stream: stream.clone() }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }
}

impl<T: Default> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> Drop for Held<T> {
    fn drop(&mut self) {
        let value = std::mem::take(&mut self.value);
        self.stream.on(|| drop(value));
    }
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

    #[test]
    fn what_is_held_is_freed_on_its_stream() {
        #[derive(Default)]
        struct Tells(Option<Arc<Mutex<Vec<StreamId>>>>);
        impl Drop for Tells {
            fn drop(&mut self) {
                if let Some(told) = &self.0 {
                    told.lock().unwrap().push(StreamId::current());
                }
            }
        }
        let (stream, told) = (Arc::new(Stream::open()), Arc::<Mutex<Vec<StreamId>>>::default());
        drop(Held::new(Tells(Some(told.clone())), &stream));
        assert_eq!(*told.lock().unwrap(), [stream.id()]);
        assert_ne!(StreamId::current(), stream.id());
    }
}
