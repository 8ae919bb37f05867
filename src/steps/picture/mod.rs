//! Operations on pictures: what a detector found, and the parts of the picture that it found it in.
//!
//! Boxes and points are in pixels of the picture as it was sent, before EXIF turns it; so they fit what a client has,
//! and whatever decode, crop or tile a model was given.

pub mod boxes;
pub mod crop;
pub mod keypoints;
pub mod masks;
mod options;
pub mod tiles;
mod view;
