//! What a pipeline answers: a file a format.

pub mod csv;
pub mod json;
pub mod jsonl;
pub mod npy;
pub mod parquet;
pub mod png;

mod draw;
mod palette;
