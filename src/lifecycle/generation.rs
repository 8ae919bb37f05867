//! A loaded version.

use super::memory::{Occupancy, Presence};
use super::records::Track;
use super::state::State;
use crate::plan::memory::Need;
use crate::plan::{Declaration, DeviceId, VersionFacts};
use crate::scheduler::Replicas;
use crate::store::Digest;
use std::time::Duration;

/// A loaded version. It lives as long as somebody holds it; then it is taken off its device.
pub struct Generation {
    pub version: u64,
    pub digest: Digest,
    /// "surface@2".
    pub tag: String,
    /// Its signature, and its labels.
    pub facts: VersionFacts,
    /// What the pipeline file said of its batch axes when it was loaded.
    pub declaration: Declaration,
    /// Whether its items share batches.
    pub joined: bool,
    /// Loaded to be compared with others, not to answer.
    pub shadow: bool,
    /// How long reading, checking and placing it took.
    pub load: Duration,
    /// How long its first batches took.
    pub warm_up: Duration,
    /// Its instances with their queues, one a device.
    pub replicas: Replicas,
    pub(super) track: Track,
    /// Dropped last, so that whoever waits for the generation to go finds its memory free.
    pub(super) presence: Presence,
}

impl Occupancy for Generation {
    fn need(&self, device: DeviceId) -> Option<Need> {
        let here = self.replicas.iter().find(|instance| instance.device() == device)?;
        let memory = here.runner().memory();
        Some(Need { weights: memory.weights, batch: memory.batch })
    }

    fn drains(&self) -> bool {
        self.track.state() == Some(State::Draining)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.track.unloaded();
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.tag, self.digest)
    }
}
