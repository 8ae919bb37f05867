//! What a pipeline takes: a file a format.

pub mod cells;
pub mod image;
pub mod json;
pub mod npy;
pub mod raw;

mod nested;
