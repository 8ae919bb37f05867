//! What a model keeps for as long as it is loaded: its constants, and the forms that operators have made of them.

use crate::memory::{Budget, Reservation, Use};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counts what operators keep while a model is built, before they make it.
///
/// What the file's own tensors take is reserved by whoever read it, until the model is loaded. Of the budget is taken
/// here only what goes beyond that.
#[derive(Debug)]
pub struct Ledger {
    /// Bytes that are reserved elsewhere while the model is built.
    read: u64,
    kept: Cell<u64>,
    /// None where nothing limits what is kept.
    reserved: RefCell<Option<Reservation>>,
}

impl Ledger {
    pub fn new(budget: &Budget, read: u64) -> Self {
        // Nothing always fits.
        let reserved = budget.reserve(Use::Weights, 0).ok();
        Self { read, kept: Cell::new(0), reserved: RefCell::new(reserved) }
    }

    /// One for what is built only to be run once.
    pub fn unlimited() -> Self {
        Self { read: 0, kept: Cell::new(0), reserved: RefCell::new(None) }
    }

    /// Bytes that are kept so far.
    pub fn kept(&self) -> u64 {
        self.kept.get()
    }

    /// An operator, or the model itself, is about to keep so many bytes more.
    pub fn keep(&self, bytes: u64) -> Result<(), String> {
        let kept = self.kept.get().saturating_add(bytes);
        let beyond = kept.saturating_sub(self.read);
        if let Some(reserved) = &mut *self.reserved.borrow_mut()
            && beyond > reserved.bytes()
        {
            reserved.resize(beyond).map_err(|full| format!("its weights take {kept} bytes: {full}"))?;
        }
        self.kept.set(kept);
        Ok(())
    }

    pub fn into_weights(self) -> Weights {
        let (kept, reserved) = (self.kept.get(), self.reserved.into_inner());
        let weights =
            Weights { bytes: kept, settled: AtomicBool::new(false), reserved: Mutex::new(reserved) };
        weights.settle();
        weights
    }
}

/// The memory of a loaded model's weights, given back when this is dropped.
#[derive(Debug)]
pub struct Weights {
    bytes: u64,
    /// Whether all of it is reserved.
    settled: AtomicBool,
    reserved: Mutex<Option<Reservation>>,
}

impl Weights {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reserves what is not reserved yet, if there is room: there is none as long as the files of a large model are held
    /// beside it.
    pub fn settle(&self) {
        if self.settled.load(Relaxed) {
            return;
        }
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let all = reserved.as_mut().is_none_or(|reserved| reserved.resize(self.bytes).is_ok());
        self.settled.store(all, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_reserved_before_they_are_made_and_all_of_it_once_the_file_is_let_go() {
        let budget = Budget::new(1000);
        let file = budget.reserve(Use::Loads, 600).unwrap();
        let ledger = Ledger::new(&budget, 600);
        ledger.keep(600).unwrap();
        assert_eq!(budget.usage().reserved(), 600, "it is in memory once");
        ledger.keep(300).unwrap();
        let error = ledger.keep(200).unwrap_err();
        assert!(error.contains("1100 bytes") && error.contains("100 are free"), "{error}");
        let weights = ledger.into_weights();
        assert_eq!(budget.usage().reserved(), 900);
        drop(file);
        weights.settle();
        assert_eq!((budget.usage().reserved(), weights.bytes()), (900, 900));
        drop(weights);
        assert_eq!(budget.usage().reserved(), 0);
    }
}
