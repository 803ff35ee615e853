//! Runs the containers of pods as host processes from a local image store.

pub mod image;
pub mod process;
pub mod spec;

pub use image::ImageStore;
