//! The sleep of the thread that looks after the batches of a device: short while any runs, without end while none does.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long it sleeps between two looks.
const PAUSE: Duration = Duration::from_millis(25);

#[derive(Debug, Default)]
pub struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    ended: bool,
}

impl Watch {
    /// Wakes the thread from the sleep that has no end.
    pub fn wake(&self) {
        self.set(|state| state.woken = true);
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.set(|state| state.ended = true);
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Looks again and again, on a thread of its own, until there is no device any more (`None`). Where a look says
    /// that nothing runs, the next one waits for [`Watch::wake`].
    pub fn keep(&self, look: impl Fn() -> Option<bool>) {
        let mut sleeps = false;
        loop {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = if sleeps {
                self.changed.wait_while(state, |state| !state.woken && !state.ended)
            } else {
                let until_end = self.changed.wait_timeout_while(state, PAUSE, |state| !state.ended);
                until_end.map(|(state, _)| state).map_err(|error| PoisonError::new(error.into_inner().0))
            }
            .unwrap_or_else(PoisonError::into_inner);
            state.woken = false;
            if state.ended {
                return;
            }
            drop(state);
            match look() {
                Some(runs) => sleeps = !runs,
                None => return,
            }
        }
    }
}
