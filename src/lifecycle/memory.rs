//! Whether a generation finds memory beside those of its model that are there already: until the swap, and
//! until the last request lets go of the old one, both take from the model's share of the device.
//!
//! What a generation takes is an estimate until it has run, then what its warm-up and its batches since measured.
//! Each counts for itself, so that what the old one does meanwhile is not taken for the new one's.

use crate::plan::DeviceId;
use crate::plan::memory::{Allowed, Need};
use crate::sync::{Condvar, Mutex, lock};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The memory that one generation has of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occupant {
    pub version: u64,
    pub need: Need,
    /// It serves no more, and goes with the last request that holds it.
    pub drains: bool,
}

/// Whether there is memory for a generation; where not, the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Enough,
    /// There will be enough once those that drain are gone.
    Later(String),
    /// There is not enough beside those that serve.
    Crowded(String),
    /// There is not enough for it alone.
    TooLarge(String),
}

/// A generation that is on its devices, as far as its memory there goes.
pub(super) trait Occupancy: Send + Sync {
    /// What it has of a device at this moment; `None` where it is not on it.
    fn need(&self, device: DeviceId) -> Option<Need>;

    /// Whether it serves no more, and goes with the last request that holds it.
    fn drains(&self) -> bool;
}

/// All generations of one model that are on devices, under whatever plan, until their memory is free.
#[derive(Clone, Default)]
pub(super) struct LoadedGenerations(Arc<Shared>);

#[derive(Default)]
struct Shared {
    registry: Mutex<Registry>,
    /// Told when a generation has gone.
    gone: Condvar,
}

#[derive(Default)]
struct Registry {
    next_id: u64,
    /// The number of generations that have gone.
    departures: u64,
    entries: Vec<Entry>,
}

/// A version, its generation where somebody holds it still, and what is held for it.
type Found = (u64, Option<Arc<dyn Occupancy>>, Option<Need>);

struct Entry {
    id: u64,
    version: u64,
    shadow: bool,
    generation: Weak<dyn Occupancy>,
    /// What it held when it was loaded: all that is known of one that is just being freed.
    held: Vec<(DeviceId, Need)>,
}

/// Stands for a generation in [`LoadedGenerations`] until it is dropped.
pub(super) struct Presence {
    loaded: LoadedGenerations,
    id: u64,
}

/// Judges by what the others of the model hold. Pure. `allowed` is `None` where the device does not say what it
/// has, or the generation is held to no share.
pub(super) fn judge(allowed: Option<Allowed>, new: Need, there: &[Occupant]) -> Verdict {
    let Some(allowed) = allowed else { return Verdict::Enough };
    if let Err(reason) = allowed.hold(new) {
        return Verdict::TooLarge(reason);
    }
    let stay: Vec<&Occupant> = there.iter().filter(|occupant| !occupant.drains).collect();
    let all: Vec<&Occupant> = there.iter().collect();
    let over = |others: &[&Occupant]| {
        let sum = others.iter().fold(new, |sum, occupant| sum.and(occupant.need));
        let text = |o: &&Occupant| format!("version {} beside it {}", o.version, o.need);
        let list: Vec<String> = others.iter().map(text).collect();
        (sum.total() > allowed.bytes()).then(|| format!("it takes {new}, {}, and {allowed}", list.join(", ")))
    };
    match (over(&stay), over(&all)) {
        (Some(reason), _) => Verdict::Crowded(reason),
        (None, Some(reason)) => Verdict::Later(reason),
        (None, None) => Verdict::Enough,
    }
}

// === impl LoadedGenerations ===

impl LoadedGenerations {
    /// Enters a generation that now holds this much of each device.
    pub(super) fn enter(
        &self,
        generation: Weak<dyn Occupancy>,
        version: u64,
        shadow: bool,
        held: Vec<(DeviceId, Need)>,
    ) -> Presence {
        let mut registry = lock(&self.0.registry);
        let id = registry.next_id;
        registry.next_id += 1;
        registry.entries.push(Entry { id, version, shadow, generation, held });
        Presence { loaded: self.clone(), id }
    }

    /// The generations that the model's share of a device has to hold: not the shadows, which have a share of their
    /// own.
    pub(super) fn on(&self, device: DeviceId) -> Vec<Occupant> {
        // A generation may be held by nobody else any more. It is then dropped below, outside the lock, which its
        // drop takes.
        let there: Vec<Found> = lock(&self.0.registry)
            .entries
            .iter()
            .filter(|entry| !entry.shadow)
            .map(|entry| (entry.version, entry.generation.upgrade(), entry.on(device)))
            .collect();
        let occupant = |(version, generation, held): &Found| {
            let Some(generation) = generation else {
                return held.map(|need| Occupant { version: *version, need, drains: true });
            };
            let need = generation.need(device)?;
            Some(Occupant { version: *version, need, drains: generation.drains() })
        };
        there.iter().filter_map(occupant).collect()
    }

    /// Whether a generation's memory is free.
    pub(super) fn is_gone(&self, id: u64) -> bool {
        !lock(&self.0.registry).entries.iter().any(|entry| entry.id == id)
    }

    /// Waits until something holds, which is looked at again whenever a generation has gone; no longer than `limit`.
    pub(super) fn wait_until(&self, limit: Duration, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + limit;
        loop {
            // Read before the look, so that what goes during it is not missed.
            let seen = lock(&self.0.registry).departures;
            if holds() {
                return;
            }
            let mut registry = lock(&self.0.registry);
            while registry.departures == seen {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                registry = self.0.gone.wait_timeout(registry, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl Entry {
    fn on(&self, device: DeviceId) -> Option<Need> {
        self.held.iter().find(|(on, _)| *on == device).map(|(_, need)| *need)
    }
}

// === impl Presence ===

impl Presence {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut registry = lock(&self.loaded.0.registry);
        registry.entries.retain(|entry| entry.id != self.id);
        registry.departures += 1;
        drop(registry);
        self.loaded.0.gone.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(total: u64) -> Need {
        Need { weights: total, batch: 0 }
    }

    #[test]
    fn every_case() {
        #[rustfmt::skip]
        let table = [
            // What the new one takes; the others: version, bytes, whether it drains -> of 1000 bytes
            (400, vec![], "enough"),
            (1000, vec![], "enough"),
            (1001, vec![], "too large"),
            (1001, vec![(1, 10, false)], "too large"),
            (400, vec![(1, 600, false)], "enough"),
            (401, vec![(1, 600, false)], "crowded"),
            (400, vec![(1, 300, false), (2, 300, false)], "enough"),
            (400, vec![(1, 300, false), (2, 301, false)], "crowded"),
            (400, vec![(1, 600, true)], "enough"),
            (400, vec![(1, 601, true)], "later"),
            (400, vec![(1, 500, false), (2, 500, true)], "later"),
            (501, vec![(1, 500, false), (2, 500, true)], "crowded"),
        ];
        let allowed = Allowed::new(Some(2000), 0.5);
        for (new, others, expected) in table {
            let occupant = |(version, bytes, drains): &(u64, u64, bool)| Occupant {
                version: *version,
                need: need(*bytes),
                drains: *drains,
            };
            let there: Vec<Occupant> = others.iter().map(occupant).collect();
            let found = match judge(allowed, need(new), &there) {
                Verdict::Enough => "enough",
                Verdict::Later(_) => "later",
                Verdict::Crowded(_) => "crowded",
                Verdict::TooLarge(_) => "too large",
            };
            assert_eq!(found, expected, "{new} beside {others:?}");
            assert_eq!(judge(None, need(new), &there), Verdict::Enough, "nothing is known of the device");
        }
    }

    #[test]
    fn what_is_in_the_way_is_named_with_its_numbers() {
        let (old, leaving) = (Need { weights: 500, batch: 100 }, need(300));
        let there = [
            Occupant { version: 1, need: leaving, drains: true },
            Occupant { version: 2, need: old, drains: false },
        ];
        let of = |new| judge(Allowed::new(Some(2000), 0.5), need(new), &there);
        let share = "and its share of the device's memory is 1000 B (0.5 of 2.0 KiB)";
        assert_eq!(
            of(401),
            Verdict::Crowded(format!(
                "it takes 401 B (401 B of weights, 0 B for its largest batch), version 2 beside it 600 B (500 B of \
                 weights, 100 B for its largest batch), {share}"
            ))
        );
        let Verdict::Later(reason) = of(400) else { panic!("both fit once version 1 is gone") };
        assert!(reason.contains("version 1 beside it 300 B") && reason.contains("version 2"), "{reason}");
    }
}
