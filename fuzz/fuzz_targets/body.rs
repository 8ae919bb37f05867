//! Any bytes as the body of a request, whose first byte says what it calls itself.
#![no_main]

#[path = "../../tests/fuzz/entry.rs"]
#[allow(dead_code)]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::body(bytes));
