//! Who waits for a thread to decode or encode on, and whose turn it is. Pure: what work took is an argument.
//!
//! Each pipeline has a place to wait of its own, so that a flood of one costs the others nothing but their turn: the
//! one that has got least of the threads is next, as with the models of a device. Large pictures wait apart from the
//! others of their pipeline, are held to a smaller part, and never have every thread.

use crate::scheduler::share::{AccountId, Charge, Rank, Shares};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What is to be done on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Decode,
    /// A decode that others would notice to wait for, or of which that is not known.
    LargeDecode,
    /// Time of a device was spent on it already, so that it is never turned away.
    Encode,
}

impl Kind {
    /// How many may wait for one pipeline.
    fn most(self) -> usize {
        match self {
            Self::Decode => 256,
            Self::LargeDecode => 64,
            Self::Encode => usize::MAX,
        }
    }

    /// The bytes that may wait for one pipeline, where more than one waits.
    fn most_bytes(self) -> usize {
        match self {
            Self::Decode | Self::LargeDecode => 256 << 20,
            Self::Encode => usize::MAX,
        }
    }

    fn share(self) -> f64 {
        match self {
            Self::Decode | Self::Encode => 1.0,
            Self::LargeDecode => 0.5,
        }
    }
}

/// As many wait as there is place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// When there should be place again, going by what work took of late.
    pub retry_after: Duration,
}

/// Work that has been given a thread, to be told to [`Line::ended`].
#[derive(Debug)]
pub struct Turn {
    place: (Arc<str>, Kind),
    charge: Charge,
}

/// All that wait.
pub struct Line<T> {
    threads: usize,
    running: usize,
    /// Large decodes among those that run.
    large: usize,
    /// Large decodes that may run at once.
    most_large: usize,
    shares: Shares,
    places: HashMap<(Arc<str>, Kind), Place<T>>,
}

/// Those of one kind that wait for one pipeline.
struct Place<T> {
    account: AccountId,
    waiting: VecDeque<(T, usize)>,
    /// Bytes that those who wait hold.
    bytes: usize,
    /// Seconds that one of them takes, by experience.
    seconds: f64,
}

impl<T> Line<T> {
    /// `spared` threads are left to what is no large decode, where there are more.
    pub fn new(threads: usize, spared: usize) -> Self {
        let (threads, shares, places) = (threads.max(1), Shares::default(), HashMap::new());
        let most_large = threads.saturating_sub(spared).max(1);
        Self { threads, running: 0, large: 0, most_large, shares, places }
    }

    /// Lets `who` wait, who holds so many bytes meanwhile. Those who are gone make place.
    pub fn enter(
        &mut self,
        pipeline: &Arc<str>,
        kind: Kind,
        who: T,
        bytes: usize,
        is_gone: impl Fn(&T) -> bool,
    ) -> Result<(), Crowded> {
        let place = self.places.entry((pipeline.clone(), kind)).or_insert_with(|| Place {
            account: self.shares.open(kind.share()),
            waiting: VecDeque::new(),
            bytes: 0,
            seconds: 0.0,
        });
        if place.is_full(kind, bytes) {
            let waited = !place.waiting.is_empty();
            place.waiting.retain(|(who, _)| !is_gone(who));
            place.bytes = place.waiting.iter().map(|(_, bytes)| bytes).sum();
            if waited && place.waiting.is_empty() {
                self.shares.queue_emptied(place.account);
            }
        }
        if place.is_full(kind, bytes) {
            let seconds = place.seconds * place.waiting.len() as f64 / self.threads as f64;
            return Err(Crowded { retry_after: Duration::from_secs_f64(seconds.clamp(0.01, 60.0)) });
        }
        if place.waiting.is_empty() {
            self.shares.queue_filled(place.account);
        }
        place.bytes += bytes;
        place.waiting.push_back((who, bytes));
        Ok(())
    }

    /// Whose turn it is, if a thread is free and anybody waits who is not gone.
    pub fn next(&mut self, is_gone: impl Fn(&T) -> bool) -> Option<(T, Turn)> {
        while self.running < self.threads {
            let may = |kind: Kind| kind != Kind::LargeDecode || self.large < self.most_large;
            let waiting =
                self.places.iter().filter(|((_, kind), place)| may(*kind) && !place.waiting.is_empty());
            let ranked = waiting.map(|(key, place)| (self.shares.rank(place.account), key));
            let least = |a: (Rank, _), b: (Rank, _)| if b.0.before(a.0) { b } else { a };
            let key = ranked.reduce(least)?.1.clone();
            let place = self.places.get_mut(&key)?;
            let (who, bytes) = place.waiting.pop_front()?;
            place.bytes = place.bytes.saturating_sub(bytes);
            let account = place.account;
            let is_last = place.waiting.is_empty();
            let gone = is_gone(&who);
            let charge = (!gone).then(|| self.shares.start(account));
            if is_last {
                self.shares.queue_emptied(account);
            }
            if let Some(charge) = charge {
                self.running += 1;
                self.large += usize::from(key.1 == Kind::LargeDecode);
                return Some((who, Turn { place: key, charge }));
            }
        }
        None
    }

    /// The work has ended, having taken so long.
    pub fn ended(&mut self, turn: Turn, took: Duration) {
        self.running = self.running.saturating_sub(1);
        if turn.place.1 == Kind::LargeDecode {
            self.large = self.large.saturating_sub(1);
        }
        self.shares.finish(turn.charge, took);
        if let Some(place) = self.places.get_mut(&turn.place) {
            let gain = if place.seconds == 0.0 { 1.0 } else { 0.25 };
            place.seconds += gain * (took.as_secs_f64() - place.seconds);
        }
    }
}

impl<T> Place<T> {
    fn is_full(&self, kind: Kind, bytes: usize) -> bool {
        let too_much = self.bytes.saturating_add(bytes) > kind.most_bytes() && !self.waiting.is_empty();
        self.waiting.len() >= kind.most() || too_much
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Who(usize, bool);

    fn is_gone(who: &Who) -> bool {
        who.1
    }

    fn enter(line: &mut Line<Who>, pipeline: &str, kind: Kind, number: usize) -> Result<(), Crowded> {
        line.enter(&pipeline.into(), kind, Who(number, false), 1 << 10, is_gone)
    }

    fn next(line: &mut Line<Who>) -> Option<(usize, Turn)> {
        line.next(is_gone).map(|(who, turn)| (who.0, turn))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_flood_of_one_pipeline_costs_another_no_more_than_its_turn() {
        let mut line = Line::new(1, 1);
        (0..100).for_each(|number| enter(&mut line, "flood", Kind::Decode, number).unwrap());
        let (first, mut turn) = next(&mut line).unwrap();
        assert_eq!(first, 0);
        enter(&mut line, "other", Kind::Decode, 1000).unwrap();
        enter(&mut line, "other", Kind::Decode, 1001).unwrap();
        let mut order = vec![];
        for _ in 0..4 {
            line.ended(turn, SECOND);
            let (who, next) = next(&mut line).unwrap();
            order.push(who);
            turn = next;
        }
        assert_eq!(order, [1000, 1, 1001, 2]);
        assert!(next(&mut line).is_none(), "the thread is taken");
    }

    #[test]
    fn large_pictures_leave_a_thread_to_others_and_give_way_to_them() {
        let mut line = Line::new(2, 1);
        (0..4).for_each(|number| enter(&mut line, "one", Kind::LargeDecode, number).unwrap());
        let (_, large) = next(&mut line).unwrap();
        assert!(next(&mut line).is_none(), "the other thread is left to what is not large");
        (10..30).for_each(|number| enter(&mut line, "one", Kind::Decode, number).unwrap());
        let (who, small) = next(&mut line).unwrap();
        assert_eq!(who, 10);
        line.ended(large, 4 * SECOND);
        line.ended(small, SECOND / 100);
        let turns: Vec<_> = std::iter::from_fn(|| next(&mut line)).collect();
        assert_eq!(turns.iter().map(|(who, _)| *who).collect::<Vec<_>>(), [11, 12]);
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_bytes_and_an_answer_is_never_turned_away() {
        let mut line = Line::new(2, 1);
        for number in 0..64 {
            enter(&mut line, "one", Kind::LargeDecode, number).unwrap();
        }
        assert!(enter(&mut line, "one", Kind::LargeDecode, 64).is_err());
        enter(&mut line, "other", Kind::LargeDecode, 0).unwrap();
        enter(&mut line, "one", Kind::Decode, 0).unwrap();
        (0..1000).for_each(|number| enter(&mut line, "one", Kind::Encode, number).unwrap());
        let large = |line: &mut Line<Who>| {
            line.enter(&"bytes".into(), Kind::Decode, Who(0, false), 200 << 20, is_gone)
        };
        assert!(large(&mut line).is_ok() && large(&mut line).is_err());
        let turn = next(&mut line).unwrap().1;
        line.ended(turn, SECOND);
        let crowded = (0..).find_map(|n| enter(&mut line, "other", Kind::LargeDecode, n).err()).unwrap();
        assert!(crowded.retry_after > Duration::ZERO);
    }

    #[test]
    fn who_is_gone_is_passed_over_and_makes_place() {
        let mut line = Line::new(1, 1);
        let gone =
            |line: &mut Line<Who>| line.enter(&"one".into(), Kind::LargeDecode, Who(0, true), 1, is_gone);
        (0..64).for_each(|_| gone(&mut line).unwrap());
        enter(&mut line, "one", Kind::LargeDecode, 7).unwrap();
        (0..3).for_each(|_| gone(&mut line).unwrap());
        assert_eq!(next(&mut line).unwrap().0, 7);
        let mut line = Line::new(1, 1);
        gone(&mut line).unwrap();
        assert!(next(&mut line).is_none());
        enter(&mut line, "one", Kind::LargeDecode, 8).unwrap();
        assert_eq!(next(&mut line).unwrap().0, 8);
    }
}
