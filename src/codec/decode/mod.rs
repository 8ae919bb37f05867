//! What a pipeline takes: a file a format.

pub mod image;
pub mod json;
pub mod npy;
pub mod raw;

mod cells;
mod nested;
