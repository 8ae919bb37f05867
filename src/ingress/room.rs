//! Memory for bodies: what all that are being read or answered may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a body that are never counted, so that small requests are served whatever large ones take.
/// Connections are limited too, and with them what this can come to.
pub const UNCOUNTED: usize = 64 << 10;

/// What there is. A clone shares it.
#[derive(Clone, Debug)]
pub struct Room {
    taken: Arc<AtomicUsize>,
    limit: Arc<AtomicUsize>,
}

/// One body's part of it, given back when dropped.
#[derive(Debug)]
pub struct Place {
    room: Room,
    bytes: usize,
}

impl Room {
    pub fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit: Arc::new(AtomicUsize::new(limit)) }
    }

    /// Makes it so large, if it is smaller.
    pub fn grow(&self, limit: usize) {
        self.limit.fetch_max(limit, Ordering::Relaxed);
    }

    pub fn place(&self) -> Place {
        Place { room: self.clone(), bytes: 0 }
    }
}

impl Place {
    /// Makes it large enough for a body of `length` bytes; false where there is no room for that.
    #[must_use]
    pub fn hold(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(UNCOUNTED).saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let Room { taken, limit } = &self.room;
        let limit = limit.load(Ordering::Relaxed);
        let grown = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= limit);
        let held = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if held {
            self.bytes += more;
        }
        held
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_room_until_it_is_dropped() {
        let room = Room::new(1000);
        let (mut one, mut two) = (room.place(), room.place());
        assert!(two.hold(UNCOUNTED), "small bodies take none");
        assert!(one.hold(UNCOUNTED + 600));
        assert!(one.hold(UNCOUNTED + 700));
        assert!(!two.hold(UNCOUNTED + 301));
        assert!(two.hold(UNCOUNTED + 300));
        assert!(!one.hold(usize::MAX));
        drop(one);
        assert!(two.hold(UNCOUNTED + 1000));
        drop(two);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
