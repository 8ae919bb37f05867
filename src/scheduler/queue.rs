//! One instance's queue, and how a batch is taken from it. Pure: the time is an argument.
//!
//! Items go by their *turn*: when they came, and for those of lower priority a part of the time they are
//! allowed on top. So a higher priority goes first, and yet nobody is starved: an item that has waited for
//! that part of its time goes before all that come after it.

use super::ticket::{ItemError, Outcome};
use super::{Value, Want};
use crate::plan::{BatchPolicy, Priority};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// On what terms an item waits.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub deadline: Instant,
    pub priority: Priority,
    /// Device time was spent on its request already, at an earlier step. It may go into a queue that is
    /// full for newcomers, so that the time is not lost.
    pub begun: bool,
}

/// What waits: one row.
pub struct Item {
    /// In the order of the model's signature.
    pub inputs: Vec<Value>,
    /// For each output of the model.
    pub wants: Arc<[Want]>,
    pub terms: Terms,
    pub queued: Instant,
    /// The request's, for what is logged while the item runs.
    pub(super) span: tracing::Span,
    pub(super) reply: oneshot::Sender<Outcome>,
}

impl Terms {
    /// A new item of normal priority.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, priority: Priority::Normal, begun: false }
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

/// Why an item need not be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Nobody waits for it any more.
    Gone,
    Deadline,
}

impl Item {
    pub fn dead(&self, now: Instant) -> Option<Dead> {
        // Whoever waits gives up at the deadline too, and does not count as gone for that.
        if self.terms.deadline <= now {
            Some(Dead::Deadline)
        } else if self.reply.is_closed() {
            Some(Dead::Gone)
        } else {
            None
        }
    }

    /// When it is its turn, among those that wait.
    fn turn(&self) -> Instant {
        let allowed = self.terms.deadline.saturating_duration_since(self.queued);
        self.queued + yields(self.terms.priority, allowed)
    }

    /// Whether the two may run in one batch.
    fn joins(&self, other: &Item) -> bool {
        self.inputs.len() == other.inputs.len()
            && self
                .inputs
                .iter()
                .zip(&other.inputs)
                .all(|(a, b)| a.dtype() == b.dtype() && a.shape() == b.shape())
    }

    pub(super) fn answer(self, outcome: Outcome) {
        // Whoever waited may be gone, which is theirs to choose.
        let _ = self.reply.send(outcome);
    }
}

/// When a batch may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Nothing waits.
    Never,
    /// As soon as the device can take it.
    Now,
    /// Not before then, unless more comes.
    At(Instant),
}

/// Waiting items, at most `limit` of them (twice as many with those that have begun). New ones of low priority
/// fill at most half of the places, so that they never cost another its own.
pub struct Queue {
    /// By priority, the highest first; each in order of arrival.
    classes: [VecDeque<Item>; CLASSES],
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

/// What [`Queue::take`] took out.
#[derive(Default)]
pub struct Taken {
    /// They agree in the dtype and shape of every input. Empty where all that waited was dead.
    pub rows: Vec<Item>,
    pub dead: Vec<(Item, Dead)>,
}

impl Queue {
    /// `limit` items may wait. A batch has at most `batch.max` rows.
    pub fn new(limit: usize, batch: BatchPolicy) -> Self {
        Self { classes: Default::default(), limit: limit.max(1), batch }
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

    /// Puts an item in, or gives it back where the queue is full, even without its dead, which are put into
    /// `dead`.
    #[expect(
        clippy::result_large_err,
        reason = "the item is moved back; to box it would cost each an allocation"
    )]
    pub fn push(&mut self, item: Item, now: Instant, dead: &mut Vec<(Item, Dead)>) -> Result<(), Item> {
        if !self.has_room(item.terms, now, dead) {
            return Err(item);
        }
        self.classes[class(item.terms.priority)].push_back(item);
        Ok(())
    }

    /// Whether an item on these terms would be taken in.
    pub fn has_room(&mut self, terms: Terms, now: Instant, dead: &mut Vec<(Item, Dead)>) -> bool {
        let limit = if terms.begun { self.limit.saturating_mul(2) } else { self.limit };
        let full = |queue: &Self| {
            let low = terms.priority == Priority::Low && !terms.begun;
            queue.len() >= limit || (low && queue.classes[class(Priority::Low)].len() >= limit.div_ceil(2))
        };
        if full(self) {
            self.remove_dead(now, dead);
        }
        !full(self)
    }

    fn remove_dead(&mut self, now: Instant, dead: &mut Vec<(Item, Dead)>) {
        for items in &mut self.classes {
            if !items.iter().any(|item| item.dead(now).is_some()) {
                continue;
            }
            for item in std::mem::take(items) {
                match item.dead(now) {
                    Some(why) => dead.push((item, why)),
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
        let oldest = self.classes.iter().filter_map(VecDeque::front).map(|item| item.queued).min();
        let due = oldest.unwrap_or(now) + self.batch.wait;
        if due <= now || self.is_full(first) { Ready::Now } else { Ready::At(due) }
    }

    /// Whether as many wait together as a batch may have.
    pub fn holds_whole_batch(&self) -> bool {
        self.first().is_some_and(|first| self.is_full(first))
    }

    /// Whether a whole batch waits for which `first` goes first.
    fn is_full(&self, first: &Item) -> bool {
        let max = self.batch.max.max(1);
        self.len() >= max
            && self.classes.iter().flatten().filter(|item| item.joins(first)).take(max).count() >= max
    }

    /// The item whose turn it is.
    fn first(&self) -> Option<&Item> {
        self.classes[self.first_class()?].front()
    }

    fn first_class(&self) -> Option<usize> {
        let turn = |class: usize| Some((self.classes[class].front()?.turn(), class));
        (0..CLASSES).filter_map(turn).min().map(|(_, class)| class)
    }

    /// Takes the item whose turn it is and, in their turn, those that may run with it.
    pub fn take(&mut self, now: Instant) -> Taken {
        let mut taken = Taken::default();
        let mut others = vec![];
        while taken.rows.len() < self.batch.max.max(1) {
            let Some(class) = self.first_class() else { break };
            let Some(item) = self.classes[class].pop_front() else { break };
            if let Some(why) = item.dead(now) {
                taken.dead.push((item, why));
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

impl Dead {
    pub fn error(self) -> ItemError {
        match self {
            Self::Gone => ItemError::Closed,
            Self::Deadline => ItemError::Deadline,
        }
    }
}

#[cfg(test)]
mod tests;
