//! The memory of the process: how much there is of it, and what it holds beside what was reserved.

use super::allocator::{Tidying, give_back};
use crate::lifecycle::Lifecycle;
use crate::memory::{Budget, process_limit};
use crate::plan::Plan;
use std::collections::VecDeque;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two measurements.
const TICK: Duration = Duration::from_secs(1);

/// The margin that is left free at least, where nothing says how much memory the process may take.
const LEAST_MARGIN: u64 = 256 << 20;

/// The budget of a process that serves `plan`.
pub fn budget(plan: &Plan) -> Budget {
    Budget::new(limit(plan))
}

/// The bytes that the process may take: what the plan says, else what the system lets it take less a margin.
pub fn limit(plan: &Plan) -> u64 {
    plan.server.memory.or_else(|| process_limit().map(less_margin)).unwrap_or(u64::MAX)
}

/// An eighth is left for what nobody reserves, and at least 256 MiB where that is less than half.
fn less_margin(machine: u64) -> u64 {
    machine - (machine / 8).max(LEAST_MARGIN).min(machine / 2)
}

/// Measures the process every so often, tells the budget what it holds beside what was reserved, and has memory given
/// back that is free. Never returns.
pub async fn keep(memory: Budget, lifecycle: Arc<Lifecycle>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unreserved = Unreserved::default();
    let mut tidying = Tidying::default();
    let mut asked = 0;
    loop {
        ticks.tick().await;
        let Some(resident) = resident() else { continue };
        let usage = memory.usage();
        memory.set_other(unreserved.measured(resident, usage.reserved()));
        if tidying.is_due(lifecycle.population(), resident, usage.reserved()) {
            // One that fails has given nothing back.
            let _ = tokio::task::spawn_blocking(give_back).await;
            asked = WAKES;
        }
        if asked > 0 {
            asked -= 1;
            wake_all();
        }
    }
}

/// The times that the threads which serve connections are woken, so that each of them gives back what it has free.
const WAKES: u32 = 3;

/// Wakes threads of the runtime that wait, as work for all of them does.
fn wake_all() {
    for _ in 0..2 * tokio::runtime::Handle::current().metrics().num_workers() {
        tokio::spawn(tokio::task::yield_now());
    }
}

/// The memory of the process that is not a part of some file, in bytes; `None` where the system does not say.
pub fn resident() -> Option<u64> {
    resident_of(&fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_of(status: &str) -> Option<u64> {
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kilobytes("RssAnon:")? + kilobytes("RssShmem:").unwrap_or(0)) * 1024)
}

/// What the process held beside what was reserved, at the last few measurements.
#[derive(Default)]
struct Unreserved(VecDeque<u64>);

impl Unreserved {
    /// The number of measurements of which the smallest counts: what is only on its way from a reservation to its
    /// memory, or back to the system, is no lasting burden.
    const KEPT: usize = 10;

    /// Takes in a measurement; the smallest of the last few.
    fn measured(&mut self, resident: u64, reserved: u64) -> u64 {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(resident.saturating_sub(reserved));
        self.0.iter().copied().min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_left_free() {
        assert_eq!(less_margin(16 << 30), 14 << 30);
        assert_eq!(less_margin(1 << 30), (1 << 30) - (256 << 20));
        assert_eq!(less_margin(256 << 20), 128 << 20);
        assert_eq!(less_margin(0), 0);
    }

    #[test]
    fn files_that_are_mapped_are_not_counted() {
        let status =
            "VmRSS:\t   9000 kB\nRssAnon:\t    5000 kB\nRssFile:\t    4000 kB\nRssShmem:\t       8 kB\n";
        assert_eq!(resident_of(status), Some(5008 * 1024));
        assert_eq!(resident_of("VmRSS: 9000 kB"), None);
        assert!(resident().is_none_or(|bytes| bytes > 0));
    }

    #[test]
    fn a_peak_that_passes_is_no_lasting_burden() {
        let mut unreserved = Unreserved::default();
        assert_eq!(unreserved.measured(100, 30), 70);
        assert_eq!(unreserved.measured(1000, 30), 70, "a peak that may be reserved a moment later");
        for _ in 0..8 {
            assert_eq!(unreserved.measured(1000, 30), 70);
        }
        assert_eq!(unreserved.measured(1000, 30), 970, "it lasts");
        assert_eq!(unreserved.measured(40, 50), 0);
    }
}
