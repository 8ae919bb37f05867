//! A batch on its way from its queue to a lane of the device.

use super::accounts::Hold;
use super::item::Item;
use super::lanes::RunId;
use super::runner::StagedBatch;
use super::running::RunningBatch;
use super::{Counters, Runner, StopFlag};
use crate::plan::BatchPolicy;
use std::sync::Arc;
use std::time::Duration;

/// A batch that was taken from its queue.
pub struct Formed {
    pub instance: u64,
    pub model: Arc<str>,
    pub runner: Arc<dyn Runner>,
    pub counters: Arc<Counters>,
    pub policy: BatchPolicy,
    pub items: Vec<Item>,
    /// Its inputs, where they are on the device already.
    pub staged: Option<Box<dyn StagedBatch>>,
    /// The flag that ends the batch; its inputs are staged with the same one.
    pub stop: StopFlag,
}

/// A batch whose turn has not come yet.
pub struct Next {
    pub formed: Formed,
    pub hold: Hold,
    pub max_run: Duration,
}

/// A batch whose turn it is.
pub struct Turn {
    /// The number that the state is told when the batch has ended.
    pub id: RunId,
    pub formed: Formed,
    /// Where its rows are while they run.
    pub running: Arc<RunningBatch>,
    /// It runs beside the lanes, all of which have been taken for long.
    pub in_relief: bool,
}

/// The next thing that a device has to do.
pub enum Work {
    /// It is this batch's turn.
    Run(Turn),
    /// Its inputs are brought to the device while others run there; then the state is told that they are staged.
    Stage(Next),
}
