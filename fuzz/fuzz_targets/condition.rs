//! Any bytes as a condition of `when`.
#![no_main]

#[path = "../../tests/fuzz/entry.rs"]
#[allow(dead_code)]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::condition(bytes));
