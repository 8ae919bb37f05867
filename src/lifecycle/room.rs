//! Whether a generation finds memory beside those of its model that are there already: until the swap, and
//! until the last request lets go of the old one, both take from the model's share of the device. Whether
//! there is room is decided by a pure function.
//!
//! What one takes is an estimate until it has run, then what its warm-up and its batches since measured. Each
//! counts for itself, so that what the old one does meanwhile is not taken for the new one's.

use super::cell::Generation;
use super::model::lock;
use super::state::State;
use crate::plan::DeviceId;
use crate::plan::memory::{Allowed, Need};
use std::sync::{Arc, Mutex, Weak};

/// A generation that is on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub version: u64,
    pub need: Need,
    /// It serves no more, and goes with the last request that holds it.
    pub drains: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Once those that drain are gone.
    Later(String),
    /// Not beside those that serve.
    Crowded(String),
    /// Not even alone.
    TooLarge(String),
}

/// `allowed` is `None` where the device does not say what it has, or the generation is held to no share.
pub(super) fn room(allowed: Option<Allowed>, new: Need, there: &[Tenant]) -> Room {
    let Some(allowed) = allowed else { return Room::Enough };
    if let Err(reason) = allowed.hold(new) {
        return Room::TooLarge(reason);
    }
    let stay: Vec<&Tenant> = there.iter().filter(|tenant| !tenant.drains).collect();
    let all: Vec<&Tenant> = there.iter().collect();
    let over = |others: &[&Tenant]| {
        let sum = others.iter().fold(new, |sum, tenant| sum.and(tenant.need));
        let said = |t: &&Tenant| format!("version {} beside it {}", t.version, t.need);
        let list: Vec<String> = others.iter().map(said).collect();
        (sum.total() > allowed.bytes()).then(|| format!("it takes {new}, {}, and {allowed}", list.join(", ")))
    };
    match (over(&stay), over(&all)) {
        (Some(reason), _) => Room::Crowded(reason),
        (None, Some(reason)) => Room::Later(reason),
        (None, None) => Room::Enough,
    }
}

/// All generations of one model that are loaded, under whatever plan.
#[derive(Clone, Default)]
pub(super) struct Living(Arc<Mutex<Vec<Weak<Generation>>>>);

impl Living {
    pub(super) fn add(&self, generation: &Arc<Generation>) {
        let mut all = lock(&self.0);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(generation));
    }

    /// Those that the model's share of a device has to hold: not the shadows, which have a place of their own.
    pub(super) fn on(&self, device: DeviceId) -> Vec<Tenant> {
        let living: Vec<Arc<Generation>> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        let tenant = |generation: &Arc<Generation>| {
            let here = generation.replicas.iter().find(|instance| instance.device() == device)?;
            let memory = here.runner().memory();
            let need = Need { weights: memory.weights, batch: memory.batch };
            let drains = generation.track.state() == Some(State::Draining);
            Some(Tenant { version: generation.version, need, drains })
        };
        living.iter().filter(|generation| !generation.shadow).filter_map(tenant).collect()
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
            let tenant = |(version, bytes, drains): &(u64, u64, bool)| Tenant {
                version: *version,
                need: need(*bytes),
                drains: *drains,
            };
            let there: Vec<Tenant> = others.iter().map(tenant).collect();
            let found = match room(allowed, need(new), &there) {
                Room::Enough => "enough",
                Room::Later(_) => "later",
                Room::Crowded(_) => "crowded",
                Room::TooLarge(_) => "too large",
            };
            assert_eq!(found, expected, "{new} beside {others:?}");
            assert_eq!(room(None, need(new), &there), Room::Enough, "nothing is known of the device");
        }
    }

    #[test]
    fn what_is_in_the_way_is_named_with_its_numbers() {
        let (old, leaving) = (Need { weights: 500, batch: 100 }, need(300));
        let there = [
            Tenant { version: 1, need: leaving, drains: true },
            Tenant { version: 2, need: old, drains: false },
        ];
        let of = |new| room(Allowed::new(Some(2000), 0.5), need(new), &there);
        let share = "and its share of the device's memory is 1000 B (0.5 of 2.0 KiB)";
        assert_eq!(
            of(401),
            Room::Crowded(format!(
                "it takes 401 B (401 B of weights, 0 B for its largest batch), version 2 beside it 600 B (500 B of \
                 weights, 100 B for its largest batch), {share}"
            ))
        );
        let Room::Later(reason) = of(400) else { panic!("both fit once version 1 is gone") };
        assert!(reason.contains("version 1 beside it 300 B") && reason.contains("version 2"), "{reason}");
    }
}
