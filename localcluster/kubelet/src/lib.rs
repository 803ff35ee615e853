//! Runs the containers of pods as host processes from a local image store.

pub mod process;
