//! The frames of a connection of HTTP/2 that ask for nothing: pings, settings, priorities, updates of windows, resets.
//! Each costs the server more than the client, so that there may be few beside requests and answers. Pure.

use std::time::{Duration, Instant};

/// The frames that may come at once.
const MOST: f64 = 1000.0;
/// Those that may come in a second for long.
const EACH_SECOND: f64 = 100.0;
/// Those that a request may bring: its window, and its reset.
const EACH_REQUEST: f64 = 3.0;
/// The bytes of answers after which a client may send one that says that it has taken them.
const BYTES_EACH: f64 = 256.0;

const HEAD: usize = 9;

/// Reads the heads of frames from the bytes of a connection, and counts.
#[derive(Debug)]
pub struct FrameMeter {
    head: [u8; HEAD],
    /// The bytes of a head that have come.
    seen: usize,
    /// The bytes of a frame that are still to come.
    rest: usize,
    left: f64,
    at: Instant,
}

impl FrameMeter {
    pub fn new(now: Instant) -> Self {
        Self { head: [0; HEAD], seen: 0, rest: 0, left: MOST, at: now }
    }

    /// Takes in what the client sent; false once it has sent too many frames that ask for nothing.
    #[must_use]
    pub fn read(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.at);
        self.at = now;
        self.earn(passed.as_secs_f64() * EACH_SECOND);
        while !bytes.is_empty() {
            if self.rest > 0 {
                let passed_over = self.rest.min(bytes.len());
                self.rest -= passed_over;
                bytes = &bytes[passed_over..];
                continue;
            }
            let taken = bytes.len().min(HEAD - self.seen);
            self.head[self.seen..self.seen + taken].copy_from_slice(&bytes[..taken]);
            self.seen += taken;
            bytes = &bytes[taken..];
            if self.seen == HEAD {
                self.seen = 0;
                self.count();
            }
        }
        self.left >= 0.0
    }

    /// The client has taken so many bytes of answers.
    pub fn wrote(&mut self, bytes: usize) {
        self.earn(bytes as f64 / BYTES_EACH);
    }

    fn earn(&mut self, frames: f64) {
        self.left = (self.left + frames).min(MOST);
    }

    fn count(&mut self) {
        let [a, b, c, kind, ..] = self.head;
        self.rest = u32::from_be_bytes([0, a, b, c]) as usize;
        match kind {
            // DATA, unless it brings nothing.
            0 if self.rest > 0 => {}
            // HEADERS
            1 => self.earn(EACH_REQUEST),
            _ => self.left -= 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        [&[a, b, c, kind, 0, 0, 0, 0, 1][..], &vec![0xff; length]].concat()
    }

    /// Whether so many rounds of frames are taken, a tenth of a second apart.
    fn takes(rounds: usize, frames: &[(u8, usize)]) -> bool {
        let mut now = Instant::now();
        let mut meter = FrameMeter::new(now);
        (0..rounds).all(|_| {
            now += Duration::from_millis(100);
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, length)| frame(*kind, *length)).collect();
            // In pieces, as they come.
            bytes.chunks(7).all(|piece| meter.read(piece, now))
        })
    }

    #[test]
    fn floods_are_told_from_requests() {
        let (data, headers, reset, settings, ping, window) = (0, 1, 3, 4, 6, 8);
        assert!(takes(10_000, &[(headers, 200), (data, 16384), (window, 4), (window, 4), (reset, 4)]));
        assert!(takes(10_000, &[(ping, 8), (settings, 0)]));
        assert!(takes(1000, &[(data, 16384); 10]));
        for flood in [(ping, 8), (settings, 36), (window, 4), (data, 0), (2, 5), (9, 0), (77, 3)] {
            assert!(!takes(500, &[flood; 20]), "{flood:?}");
        }
    }

    #[test]
    fn who_takes_answers_may_say_so() {
        let now = Instant::now();
        let mut meter = FrameMeter::new(now);
        for _ in 0..10_000 {
            meter.wrote(16384);
            assert!(meter.read(&frame(8, 4).repeat(8), now));
        }
    }
}
