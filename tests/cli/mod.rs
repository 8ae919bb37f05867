//! The binary, run as a user runs it, with the shipped pipelines, models and images.

mod batch;
mod boxes;
mod commands;
#[cfg(all(unix, feature = "vulkan"))]
mod device;
mod docs;
mod examples;
mod house;
mod lists;
mod operations;
mod resume;
mod rows;
mod run;
mod signs;
mod whole;
