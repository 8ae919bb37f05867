//! The record of each generation: where it stands, since when, and what its loads came to.

use super::fault::{Cause, Fault};
use super::state::State;
use super::status::{GenerationStatus, Loads};
use super::warm::Joining;
use crate::store::Digest;
use crate::sync::{Mutex, MutexGuard, lock};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The generations of one model, shared by whoever moves one on.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    generations: Vec<Record>,
    next: u64,
    loads: Loads,
}

#[derive(Debug)]
struct Record {
    id: u64,
    status: GenerationStatus,
    /// The number of cells that serve it: that of the plan, and that of a plan which is staged.
    cells: usize,
}

/// The number of generations that are over and still shown.
const HISTORY: usize = 8;

/// Moves one generation's record from state to state.
#[derive(Clone, Debug)]
pub(super) struct Track {
    records: Records,
    id: u64,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        lock(&self.0)
    }

    pub(super) fn track(&self, version: u64, digest: Option<Digest>) -> Track {
        let mut recorded = self.lock();
        let id = recorded.next;
        recorded.next += 1;
        let status = GenerationStatus {
            version,
            digest,
            state: State::New,
            cause: None,
            since: SystemTime::now(),
            load: Duration::ZERO,
            warm_up: Duration::ZERO,
            batching: None,
        };
        recorded.generations.push(Record { id, status, cells: 0 });
        drop(recorded);
        Track { records: self.clone(), id }
    }

    pub(super) fn all(&self) -> Vec<GenerationStatus> {
        self.lock().generations.iter().map(|record| record.status.clone()).collect()
    }

    /// The generations there are, each with its state.
    pub(super) fn standing(&self) -> Vec<(u64, State)> {
        self.lock().generations.iter().map(|record| (record.id, record.status.state.clone())).collect()
    }

    /// Shows no more the generations that failed of versions that are gone.
    pub(super) fn forget_failures(&self, is_gone: impl Fn(u64) -> bool) {
        let failed = |state: &State| matches!(state, State::Failed(_));
        self.lock()
            .generations
            .retain(|Record { status, .. }| !failed(&status.state) || !is_gone(status.version));
    }

    pub(super) fn loads(&self) -> Loads {
        self.lock().loads.clone()
    }

    pub(super) fn swapped(&self) {
        self.lock().loads.swaps += 1;
    }

    /// A version whose files cannot be read. Recorded once for as long as the reason stays the same; whether
    /// it is new.
    pub(super) fn unreadable(&self, version: u64, fault: &Fault) -> bool {
        let last = self.all().into_iter().rfind(|status| status.version == version);
        let is_new = last.is_none_or(|last| last.state != State::Failed(fault.reason.clone()));
        if is_new {
            self.track(version, None).failed(fault.cause, &fault.reason);
        }
        is_new
    }
}

impl Recorded {
    fn record(&mut self, id: u64) -> Option<&mut Record> {
        self.generations.iter_mut().find(|record| record.id == id)
    }

    /// Drops the oldest of those that are over, but for the latest few.
    fn prune(&mut self) {
        let over = self.generations.iter().filter(|record| record.status.state.is_over()).count();
        let mut surplus = over.saturating_sub(HISTORY);
        self.generations.retain(|record| {
            let drop = surplus > 0 && record.status.state.is_over();
            surplus -= usize::from(drop);
            !drop
        });
    }
}

impl Record {
    /// Whether the generation is in the state now; it is not where it cannot come to it from where it stood.
    fn enter(&mut self, state: State) -> bool {
        let may = self.status.state.may_become(&state);
        if may {
            self.status.state = state;
            self.status.since = SystemTime::now();
        }
        may
    }
}

impl Track {
    /// Moves the generation on; whether it could come to this state from where it stood. A load that goes on after
    /// it was given up moves nothing.
    pub(super) fn to(&self, state: State) -> bool {
        self.records.lock().record(self.id).is_some_and(|record| record.enter(state))
    }

    pub(super) fn state(&self) -> Option<State> {
        self.records.lock().record(self.id).map(|record| record.status.state.clone())
    }

    /// One more cell serves the generation.
    pub(super) fn serves(&self) {
        if let Some(record) = self.records.lock().record(self.id) {
            record.cells += 1;
            record.enter(State::Ready);
        }
    }

    /// A cell serves the generation no more. It drains once none does.
    pub(super) fn serves_no_more(&self) {
        if let Some(record) = self.records.lock().record(self.id) {
            record.cells = record.cells.saturating_sub(1);
            if record.cells == 0 {
                record.enter(State::Draining);
            }
        }
    }

    /// The generation is gone. One that never served was overtaken; one that failed stays so.
    pub(super) fn unloaded(&self) {
        self.failed(Cause::Overtaken, "it was given up before it served");
        let mut recorded = self.records.lock();
        if let Some(record) = recorded.record(self.id) {
            record.enter(State::Draining);
            record.enter(State::Unloaded);
        }
        recorded.prune();
    }

    /// Does nothing where the generation has been ready, or has failed already.
    pub(super) fn failed(&self, cause: Cause, reason: &str) {
        let mut recorded = self.records.lock();
        let Some(record) = recorded.record(self.id) else { return };
        if record.enter(State::Failed(reason.to_owned())) {
            record.status.cause = Some(cause);
            *recorded.loads.failed.entry(cause).or_default() += 1;
            recorded.prune();
        }
    }

    /// It is loaded and warm, and may serve.
    pub(super) fn took(&self, load: Duration, warm_up: Duration, batching: &Joining) {
        let mut recorded = self.records.lock();
        recorded.loads.ready += 1;
        recorded.loads.load_seconds += load.as_secs_f64();
        recorded.loads.warm_up_seconds += warm_up.as_secs_f64();
        if let Some(record) = recorded.record(self.id) {
            (record.status.load, record.status.warm_up) = (load, warm_up);
            record.status.batching = Some(batching.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_live_are_shown_and_the_latest_of_those_that_are_over() {
        let records = Records::default();
        let live = records.track(1, None);
        assert!(live.to(State::Reserved));
        for version in 2..20 {
            records.track(version, None).failed(Cause::Invalid, "no");
        }
        let shown: Vec<u64> = records.all().iter().map(|status| status.version).collect();
        assert_eq!(shown, [1, 12, 13, 14, 15, 16, 17, 18, 19]);
        let json = serde_json::to_value(&records.all()[0]).unwrap();
        assert_eq!(json["state"], "reserved");
        assert!(json["since"].as_f64().unwrap() > 1.7e9);
        records.forget_failures(|version| version != 15);
        let shown: Vec<u64> = records.all().iter().map(|status| status.version).collect();
        assert_eq!(shown, [1, 15], "what lives is shown, whatever the store has");
    }

    #[test]
    fn a_generation_drains_when_no_cell_serves_it_and_is_ready_again_where_one_does() {
        let records = Records::default();
        let track = records.track(1, None);
        for state in [State::Reserved, State::Loading, State::Warming] {
            assert!(track.to(state));
        }
        track.serves();
        track.serves();
        track.serves_no_more();
        assert_eq!(track.state(), Some(State::Ready), "a staged plan serves it too");
        track.serves_no_more();
        assert_eq!(track.state(), Some(State::Draining));
        track.serves();
        assert_eq!(track.state(), Some(State::Ready));
        track.failed(Cause::Misfit, "too late");
        track.serves_no_more();
        track.unloaded();
        assert_eq!(track.state(), Some(State::Unloaded));
        assert_eq!(records.loads().failed.len(), 0);
    }

    #[test]
    fn what_never_served_is_shown_as_failed_with_its_own_reason() {
        let records = Records::default();
        let (given_up, refused) = (records.track(1, None), records.track(2, None));
        refused.failed(Cause::Misfit, "it does not fit");
        assert!(!refused.to(State::Reserved), "a load that goes on after it failed changes nothing");
        given_up.unloaded();
        refused.unloaded();
        let reasons: Vec<State> = records.all().into_iter().map(|status| status.state).collect();
        assert_eq!(
            reasons,
            [
                State::Failed("it was given up before it served".to_owned()),
                State::Failed("it does not fit".to_owned())
            ]
        );
    }

    #[test]
    fn a_version_that_stays_unreadable_is_said_once() {
        let records = Records::default();
        let fault = |reason: &str| Fault::new(Cause::Unreadable, reason);
        assert!(records.unreadable(3, &fault("no")));
        assert!(!records.unreadable(3, &fault("no")));
        assert!(records.unreadable(3, &fault("still no")));
        assert_eq!(records.all().len(), 2);
    }
}
