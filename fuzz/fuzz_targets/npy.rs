//! Any bytes as an array in NumPy's format.
#![no_main]

#[path = "../../tests/fuzz/entry.rs"]
#[allow(dead_code)]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::npy(bytes));
