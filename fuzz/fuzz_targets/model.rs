//! Any bytes as a model file: read, inspected, loaded, run once. Seeds: `fuzz/seeds.py`.
#![no_main]

#[path = "../../tests/engine/entry.rs"]
mod entry;

use std::collections::BTreeSet;
use std::panic;
use std::sync::{Mutex, PoisonError};

libfuzzer_sys::fuzz_target!(
    init: {
        // A panic that the engine contains is no finding; each place of one is told once.
        let seen = Mutex::new(BTreeSet::new());
        panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            if seen.lock().unwrap_or_else(PoisonError::into_inner).insert(place) {
                eprintln!("a panic: {panic}");
            }
        }));
    },
    |bytes: &[u8]| {
        let _ = entry::model(bytes);
    }
);
