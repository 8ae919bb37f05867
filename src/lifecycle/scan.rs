//! Looks at a version's files: reads no more than has changed, and nothing that is still being written.

use super::access::StoreAccess;
use super::decide::Snapshot;
use super::fault::{Cause, Fault};
use super::still::{Observation, ReadStep, step};
use crate::store::{COARSEST, Digest, Stamp, VersionFiles};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

/// Looks at one model's versions, and remembers what it saw from one look to the next.
#[derive(Default)]
pub(super) struct Scanner {
    /// Files as they were when they were last read whole, and their digest: so that a look does not read
    /// again what has not changed.
    known: BTreeMap<u64, (Stamp, Digest)>,
    /// The names of the files in which a version keeps weights, as it was last read.
    weights: BTreeMap<u64, BTreeSet<String>>,
    /// Files that have changed lately.
    settling: BTreeMap<u64, Observation>,
    /// The stamp under which a version was last taken.
    taken: BTreeMap<u64, Stamp>,
    /// How often in a row a version was refused: what is copied in fits and starts is waited for longer.
    refusals: BTreeMap<u64, u32>,
}

pub(super) struct Scan {
    pub snapshot: Snapshot,
    /// Where they may have to be loaded.
    pub files: Option<VersionFiles>,
    pub again_in: Option<Duration>,
}

/// A version that fails again and again is waited for up to so many times as long.
const LONGEST: u32 = 4;

/// Beyond the time that is to be waited, so that it is over when it is looked at again.
const MARGIN: Duration = Duration::from_millis(5);

impl Scanner {
    /// Reads everything again.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    pub(super) fn took(&mut self, version: u64) {
        self.refusals.remove(&version);
    }

    pub(super) fn refused(&mut self, version: u64) {
        *self.refusals.entry(version).or_default() += 1;
    }

    /// `is_known` says of a digest that it need not be loaded.
    pub(super) fn scan(
        &mut self,
        access: &StoreAccess<'_>,
        version: u64,
        settle: Duration,
        is_known: &dyn Fn(Digest) -> bool,
    ) -> Result<Scan, Fault> {
        let weights = self.weights(version);
        let before = match access.stamp(version, &weights) {
            Ok(stamp) => stamp,
            Err(error) => {
                self.settling.remove(&version);
                return Err(error);
            }
        };
        if let Some((stamp, digest)) = self.known.get(&version)
            && *stamp == before
            && is_known(*digest)
        {
            self.taken.insert(version, before);
            return Ok(Scan { snapshot: Snapshot::Is(*digest), files: None, again_in: None });
        }
        let settle = settle * (1 + self.refusals.get(&version).copied().unwrap_or(0)).min(LONGEST);
        let now = Instant::now();
        let observation = self.settling.entry(version).or_insert_with(|| fresh(&before, now));
        if observation.stamp != before {
            *observation = fresh(&before, now);
        }
        let age = before.age(SystemTime::now());
        let next = step(Some(observation), age, settle, now);
        if let ReadStep::Wait(pause) = next {
            return Ok(unsettled(pause));
        }
        let still = age.unwrap_or_default().max(now.saturating_duration_since(observation.since)) >= settle;
        let began = SystemTime::now();
        let Some(files) = read_whole(access, version, &before, &weights, still)? else {
            return Ok(unsettled(settle / 2));
        };
        let digest = files.digest;
        match next {
            // What is known already may be taken at once: nothing will be loaded.
            _ if is_known(digest) => {}
            ReadStep::Take => {}
            ReadStep::Confirm(earlier) if earlier == digest => {}
            ReadStep::Peek | ReadStep::Confirm(_) | ReadStep::Wait(_) => {
                observation.digest = Some((digest, now));
                let rest = settle.saturating_sub(age.unwrap_or_default());
                return Ok(unsettled(rest.max(settle / 2)));
            }
        }
        let named: BTreeSet<String> = files.data.keys().cloned().collect();
        if named == weights {
            self.take(version, before, digest);
        } else {
            // Weights may lie where nobody looked before they were read.
            let stamp = access.stamp(version, &named)?;
            self.weights.insert(version, named);
            match stamp.age(began).is_some_and(|age| age >= COARSEST) {
                true => self.take(version, stamp, digest),
                false => self.take_for_now(version, stamp),
            }
        }
        // What will not be loaded need not be held.
        let files = (!is_known(digest)).then_some(files);
        Ok(Scan { snapshot: Snapshot::Is(digest), files, again_in: None })
    }

    /// The files are taken as they are, and known where they are old enough to tell another writing from this one.
    fn take(&mut self, version: u64, stamp: Stamp, digest: Digest) {
        if stamp.is_old(SystemTime::now()) {
            self.known.insert(version, (stamp.clone(), digest));
            self.settling.remove(&version);
            self.taken.insert(version, stamp);
        } else {
            self.take_for_now(version, stamp);
        }
    }

    /// The files are taken as they are, and read again at the next look.
    fn take_for_now(&mut self, version: u64, stamp: Stamp) {
        self.known.remove(&version);
        self.taken.insert(version, stamp);
    }

    fn weights(&self, version: u64) -> BTreeSet<String> {
        self.weights.get(&version).cloned().unwrap_or_default()
    }

    /// Whether the files are those that were last taken, as far as can be told without reading them.
    pub(super) fn is_as_it_was(&self, access: &StoreAccess<'_>, version: u64) -> bool {
        let now = access.stamp(version, &self.weights(version)).ok();
        self.taken.get(&version).is_some_and(|taken| Some(taken) == now.as_ref())
    }
}

/// Reads a version's files. `None` where they changed meanwhile, or may be half written; where they are still, what is
/// wrong with them is.
fn read_whole(
    access: &StoreAccess<'_>,
    version: u64,
    before: &Stamp,
    weights: &BTreeSet<String>,
    still: bool,
) -> Result<Option<VersionFiles>, Fault> {
    let read = access.read(version);
    let unchanged = access.stamp(version, weights).is_ok_and(|after| after == *before);
    match read {
        Ok(files) if unchanged => Ok(Some(files)),
        Err(fault) if fault.cause == Cause::Timeout || (unchanged && still) => Err(fault),
        _ => Ok(None),
    }
}

fn fresh(stamp: &Stamp, now: Instant) -> Observation {
    Observation { stamp: stamp.clone(), since: now, digest: None }
}

fn unsettled(pause: Duration) -> Scan {
    Scan { snapshot: Snapshot::Unsettled, files: None, again_in: Some(pause + MARGIN) }
}
