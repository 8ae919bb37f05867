//! Any bytes as a picture of any format. Seeds: `fuzz/seeds.py`.
#![no_main]

#[path = "../../tests/fuzz/entry.rs"]
#[allow(dead_code)]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::picture(bytes));
