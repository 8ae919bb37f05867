//! The binary, run as a user runs it, with the shipped pipelines, models and images.

mod batch;
mod commands;
mod house;
mod resume;
mod run;
