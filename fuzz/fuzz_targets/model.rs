//! Any bytes as a model file: read, inspected, loaded, run once. Good seeds are the models of
//! `tests/fixtures`.
#![no_main]

#[path = "../../tests/engine/entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = entry::model(bytes);
});
