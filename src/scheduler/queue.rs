//! One instance's queue, and how a batch is taken from it. Pure: the time is an argument.

use super::ticket::{ItemError, Outcome};
use super::{Value, Want};
use crate::plan::BatchPolicy;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// What waits: one row.
pub struct Item {
    /// In the order of the model's signature.
    pub inputs: Vec<Value>,
    /// For each output of the model.
    pub wants: Arc<[Want]>,
    pub deadline: Instant,
    pub queued: Instant,
    pub(super) reply: oneshot::Sender<Outcome>,
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
        if self.reply.is_closed() {
            Some(Dead::Gone)
        } else if self.deadline <= now {
            Some(Dead::Deadline)
        } else {
            None
        }
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

pub struct Queue {
    items: VecDeque<Item>,
    limit: usize,
    batch: BatchPolicy,
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
        Self { items: VecDeque::new(), limit: limit.max(1), batch }
    }

    pub fn set(&mut self, limit: usize, batch: BatchPolicy) {
        self.limit = limit.max(1);
        self.batch = batch;
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Gives the item back where the queue is full, even without its dead, which are put into `dead`.
    pub fn push(&mut self, item: Item, now: Instant, dead: &mut Vec<(Item, Dead)>) -> Result<(), Item> {
        if self.items.len() >= self.limit {
            self.remove_dead(now, dead);
            if self.items.len() >= self.limit {
                return Err(item);
            }
        }
        self.items.push_back(item);
        Ok(())
    }

    fn remove_dead(&mut self, now: Instant, dead: &mut Vec<(Item, Dead)>) {
        if !self.items.iter().any(|item| item.dead(now).is_some()) {
            return;
        }
        for item in std::mem::take(&mut self.items) {
            match item.dead(now) {
                Some(why) => dead.push((item, why)),
                None => self.items.push_back(item),
            }
        }
    }

    pub fn ready(&self, now: Instant) -> Ready {
        let Some(oldest) = self.items.front() else { return Ready::Never };
        let due = oldest.queued + self.batch.wait;
        if due <= now || self.is_full(oldest) { Ready::Now } else { Ready::At(due) }
    }

    /// Whether a whole batch waits.
    fn is_full(&self, oldest: &Item) -> bool {
        self.items.len() >= self.batch.max
            && self.items.iter().filter(|item| item.joins(oldest)).take(self.batch.max).count()
                >= self.batch.max
    }

    /// Takes the oldest item and, in order, those that may run with it.
    pub fn take(&mut self, now: Instant) -> Taken {
        let mut taken = Taken::default();
        let mut others = VecDeque::new();
        while taken.rows.len() < self.batch.max.max(1) {
            let Some(item) = self.items.pop_front() else { break };
            if let Some(why) = item.dead(now) {
                taken.dead.push((item, why));
            } else if taken.rows.first().is_none_or(|first| first.joins(&item)) {
                taken.rows.push(item);
            } else {
                others.push_back(item);
            }
        }
        while let Some(item) = others.pop_back() {
            self.items.push_front(item);
        }
        taken
    }

    pub fn drain(&mut self) -> impl Iterator<Item = Item> + '_ {
        self.items.drain(..)
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
