//! Any bytes as a pipeline file.
#![no_main]

#[path = "../../tests/fuzz/entry.rs"]
#[allow(dead_code)]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::toml(bytes));
