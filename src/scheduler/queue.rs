//! One instance's queue, and how a batch is taken from it. Pure: the time is an argument.
//!
//! Items go by their *turn*: when they came, and for those of lower priority a part of the time they are
//! allowed on top. So a higher priority goes first, and yet nobody is starved: an item that has waited for
//! that part of its time goes before all that come after it.

use super::Sender;
use crate::plan::{BatchPolicy, Priority};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The terms on which an item waits.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub deadline: Instant,
    pub priority: Priority,
    /// Device time was spent on its request already, at an earlier step. It may go into a queue that is
    /// full for newcomers, so that the time is not lost.
    pub begun: bool,
    /// Who sent it, where that is known.
    pub sender: Option<Sender>,
}

/// An item, as far as a queue has to know it.
pub trait Waiting {
    fn terms(&self) -> Terms;
    /// When it came.
    fn queued(&self) -> Instant;
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// Whether the two may run in one batch.
    fn joins(&self, other: &Self) -> bool;
}

impl Terms {
    /// A new item of normal priority.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, priority: Priority::Normal, begun: false, sender: None }
    }
}

/// What an item of the lowest priority gives way for, at most.
const LONGEST_YIELD: Duration = Duration::from_secs(10);

/// How long an item that is allowed so much gives way to those of the highest priority.
fn yields(priority: Priority, allowed: Duration) -> Duration {
    match priority {
        Priority::High => Duration::ZERO,
        Priority::Normal => (allowed / 4).min(LONGEST_YIELD / 2),
        Priority::Low => (allowed / 2).min(LONGEST_YIELD),
    }
}

/// Why an item is dropped and not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Nobody waits for it any more.
    Gone,
    Deadline,
}

/// The reason to drop an item, where there is one.
pub fn drop_reason(item: &impl Waiting, now: Instant) -> Option<DropReason> {
    // Whoever waits gives up at the deadline too, and does not count as gone for that.
    if item.terms().deadline <= now {
        Some(DropReason::Deadline)
    } else if item.is_abandoned() {
        Some(DropReason::Gone)
    } else {
        None
    }
}

/// When it is an item's turn, among those that wait.
fn turn(item: &impl Waiting) -> Instant {
    let Terms { deadline, priority, .. } = item.terms();
    item.queued() + yields(priority, deadline.saturating_duration_since(item.queued()))
}

/// The time at which a batch may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Nothing waits.
    Never,
    /// A batch may form as soon as the device can take it.
    Now,
    /// A batch forms not before then, unless more comes.
    At(Instant),
}

/// Waiting items, at most `limit` of them (twice as many with those that have begun). New ones of low priority
/// fill at most half of the places, so that they never cost another its own.
pub struct Queue<T> {
    /// The items by priority, the highest first; each in order of arrival.
    classes: [VecDeque<T>; CLASSES],
    limit: usize,
    batch: BatchPolicy,
}

const CLASSES: usize = 3;

fn class(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

/// The items that [`Queue::take`] took out.
pub struct Taken<T> {
    /// Items that may run in one batch. Empty where all that waited is to be dropped.
    pub rows: Vec<T>,
    pub dropped: Vec<(T, DropReason)>,
}

impl<T: Waiting> Queue<T> {
    /// `limit` items may wait. A batch has at most `batch.max` rows.
    pub fn new(limit: usize, batch: BatchPolicy) -> Self {
        Self { classes: std::array::from_fn(|_| VecDeque::new()), limit: limit.max(1), batch }
    }

    pub fn set(&mut self, limit: usize, batch: BatchPolicy) {
        self.limit = limit.max(1);
        self.batch = batch;
    }

    pub fn len(&self) -> usize {
        self.classes.iter().map(VecDeque::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(VecDeque::is_empty)
    }

    /// Puts an item in, or gives it back where the queue is full, even without those that need not be run, which
    /// are put into `dropped`.
    pub fn push(&mut self, item: T, now: Instant, dropped: &mut Vec<(T, DropReason)>) -> Result<(), T> {
        if !self.has_room(item.terms(), now, dropped) {
            return Err(item);
        }
        self.classes[class(item.terms().priority)].push_back(item);
        Ok(())
    }

    /// Whether an item on these terms would be taken in.
    pub fn has_room(&mut self, terms: Terms, now: Instant, dropped: &mut Vec<(T, DropReason)>) -> bool {
        let limit = if terms.begun { self.limit.saturating_mul(2) } else { self.limit };
        let full = |queue: &Self| {
            let low = terms.priority == Priority::Low && !terms.begun;
            queue.len() >= limit || (low && queue.classes[class(Priority::Low)].len() >= limit.div_ceil(2))
        };
        if full(self) {
            self.remove_dropped(now, dropped);
        }
        !full(self)
    }

    fn remove_dropped(&mut self, now: Instant, dropped: &mut Vec<(T, DropReason)>) {
        for items in &mut self.classes {
            if !items.iter().any(|item| drop_reason(item, now).is_some()) {
                continue;
            }
            for item in std::mem::take(items) {
                match drop_reason(&item, now) {
                    Some(why) => dropped.push((item, why)),
                    None => items.push_back(item),
                }
            }
        }
    }

    pub fn ready(&self, now: Instant) -> Ready {
        if self.batch.wait.is_zero() {
            return if self.is_empty() { Ready::Never } else { Ready::Now };
        }
        let Some(first) = self.first() else { return Ready::Never };
        // Each class is in order of arrival, so that its front has waited longest.
        let oldest = self.classes.iter().filter_map(VecDeque::front).map(Waiting::queued).min();
        let due = oldest.unwrap_or(now) + self.batch.wait;
        if due <= now || self.is_full(first) { Ready::Now } else { Ready::At(due) }
    }

    /// Whether as many wait together as a batch may have.
    pub fn holds_whole_batch(&self) -> bool {
        self.first().is_some_and(|first| self.is_full(first))
    }

    /// Whether a whole batch waits for which `first` goes first.
    fn is_full(&self, first: &T) -> bool {
        let max = self.batch.max.max(1);
        self.len() >= max
            && self.classes.iter().flatten().filter(|item| item.joins(first)).take(max).count() >= max
    }

    /// The item whose turn it is.
    fn first(&self) -> Option<&T> {
        self.classes[self.first_class()?].front()
    }

    fn first_class(&self) -> Option<usize> {
        let first = |class: usize| Some((turn(self.classes[class].front()?), class));
        (0..CLASSES).filter_map(first).min().map(|(_, class)| class)
    }

    /// Takes the item whose turn it is and, in their turn, those that may run with it.
    pub fn take(&mut self, now: Instant) -> Taken<T> {
        let mut taken = Taken { rows: vec![], dropped: vec![] };
        let mut others = vec![];
        while taken.rows.len() < self.batch.max.max(1) {
            let Some(class) = self.first_class() else { break };
            let Some(item) = self.classes[class].pop_front() else { break };
            if let Some(why) = drop_reason(&item, now) {
                taken.dropped.push((item, why));
            } else if taken.rows.first().is_none_or(|first| first.joins(&item)) {
                taken.rows.push(item);
            } else {
                others.push((class, item));
            }
        }
        while let Some((class, item)) = others.pop() {
            self.classes[class].push_front(item);
        }
        taken
    }
}

#[cfg(test)]
mod tests;
