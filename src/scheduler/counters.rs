//! What is counted of an instance: plain atomics, and a snapshot of them to be shown.

use super::Stopped;
use super::queue::DropReason;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Upper bounds of the histogram's buckets, in rows; one more bucket holds what is larger.
pub const BATCH_BUCKETS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Upper bounds of the histogram's buckets, in seconds; one more bucket holds what waited longer.
pub const WAIT_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Counts since the instance began. Times are in nanoseconds.
#[derive(Debug, Default)]
pub struct Counters {
    queue: AtomicU64,
    /// Told whenever items leave the queue.
    left: Notify,
    limit: AtomicU64,
    running: AtomicU64,
    submitted: AtomicU64,
    batches: AtomicU64,
    rows: AtomicU64,
    sizes: [AtomicU64; BATCH_BUCKETS.len() + 1],
    padding: AtomicU64,
    device: AtomicU64,
    queued: AtomicU64,
    waits: [AtomicU64; WAIT_BUCKETS.len() + 1],
    rejected: AtomicU64,
    expired: AtomicU64,
    gone: AtomicU64,
    failed: AtomicU64,
    undivided: AtomicU64,
    stopped_abandoned: AtomicU64,
    stopped_too_long: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Items that wait now.
    pub queue: u64,
    /// Items in the batches that are on the way now.
    pub running: u64,
    /// Items taken into the queue.
    pub submitted: u64,
    pub batches: u64,
    pub rows: u64,
    /// Batches by size: as many as [`BATCH_BUCKETS`] and one more, not cumulative.
    pub batch_sizes: Vec<u64>,
    /// Rows that were added to bring batches to one of `sizes`.
    pub padding: u64,
    pub device_seconds: f64,
    /// The sum over all rows that were run.
    pub queue_seconds: f64,
    /// Rows by how long they waited: as many as [`WAIT_BUCKETS`] and one more, not cumulative.
    pub waits: Vec<u64>,
    /// Items refused because the queue was full.
    pub rejected: u64,
    /// Items whose deadline passed while they waited.
    pub expired: u64,
    /// Items whose client left while they waited.
    pub gone: u64,
    /// Rows that were run and failed.
    pub failed: u64,
    /// Batches whose outputs did not have a row for each item, so that the items were run again one by one.
    pub undivided: u64,
    /// Batches that were ended because nobody waited for any of their rows any more.
    pub stopped_abandoned: u64,
    /// Batches that were ended because they ran for longer than the model's `max_run`.
    pub stopped_too_long: u64,
}

impl Counters {
    pub(super) fn queue_is(&self, len: usize) {
        let before = self.queue.swap(len as u64, Relaxed);
        if (len as u64) < before {
            self.left.notify_waiters();
        }
    }

    /// Ends once an item has left the queue after this was called.
    pub(super) fn left(&self) -> Notified<'_> {
        self.left.notified()
    }

    pub(super) fn limit_is(&self, limit: usize) {
        self.limit.store(limit as u64, Relaxed);
    }

    /// Whether a new item finds room, as far as is known without a look at the queue.
    pub(super) fn has_room(&self) -> bool {
        self.queue.load(Relaxed) < self.limit.load(Relaxed)
    }

    /// Items that wait or run.
    pub(super) fn load(&self) -> u64 {
        self.queue.load(Relaxed) + self.running.load(Relaxed)
    }

    pub(super) fn starts(&self, rows: usize) {
        self.running.fetch_add(rows as u64, Relaxed);
    }

    pub(super) fn ends(&self, rows: usize) {
        self.running.fetch_sub(rows as u64, Relaxed);
    }

    pub(super) fn submitted(&self) {
        self.submitted.fetch_add(1, Relaxed);
    }

    pub(super) fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self, why: DropReason) {
        match why {
            DropReason::Gone => self.gone.fetch_add(1, Relaxed),
            DropReason::Deadline => self.expired.fetch_add(1, Relaxed),
        };
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// A batch could not be taken apart into its rows. Says how many there were before.
    pub(super) fn undivided(&self) -> u64 {
        self.undivided.fetch_add(1, Relaxed)
    }

    /// A batch was ended before it was done.
    pub(super) fn stopped(&self, why: Stopped) {
        match why {
            Stopped::Abandoned => self.stopped_abandoned.fetch_add(1, Relaxed),
            Stopped::TooLong => self.stopped_too_long.fetch_add(1, Relaxed),
        };
    }

    /// A row left the queue and is run.
    pub(super) fn waited(&self, queued: Duration) {
        let bucket = WAIT_BUCKETS.partition_point(|bound| *bound < queued.as_secs_f64());
        self.waits[bucket].fetch_add(1, Relaxed);
        self.queued.fetch_add(nanos(queued), Relaxed);
    }

    /// A batch of so many rows was run, and so many were added to it.
    pub(super) fn batch(&self, rows: usize, padding: usize, device: Duration) {
        let bucket = BATCH_BUCKETS.partition_point(|bound| *bound < rows);
        self.sizes[bucket].fetch_add(1, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.rows.fetch_add(rows as u64, Relaxed);
        self.padding.fetch_add(padding as u64, Relaxed);
        self.device.fetch_add(nanos(device), Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            queue: self.queue.load(Relaxed),
            running: self.running.load(Relaxed),
            submitted: self.submitted.load(Relaxed),
            batches: self.batches.load(Relaxed),
            rows: self.rows.load(Relaxed),
            batch_sizes: self.sizes.iter().map(|size| size.load(Relaxed)).collect(),
            padding: self.padding.load(Relaxed),
            device_seconds: self.device.load(Relaxed) as f64 / 1e9,
            queue_seconds: self.queued.load(Relaxed) as f64 / 1e9,
            waits: self.waits.iter().map(|count| count.load(Relaxed)).collect(),
            rejected: self.rejected.load(Relaxed),
            expired: self.expired.load(Relaxed),
            gone: self.gone.load(Relaxed),
            failed: self.failed.load(Relaxed),
            undivided: self.undivided.load(Relaxed),
            stopped_abandoned: self.stopped_abandoned.load(Relaxed),
            stopped_too_long: self.stopped_too_long.load(Relaxed),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
