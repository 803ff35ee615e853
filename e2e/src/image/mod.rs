//! The images of the Dockerfiles, built and run natively: without containers, but by the Dockerfiles' own words.
//!
//! # Layout
//! `dockerfile` reads stages and instructions · `context` what `.dockerignore` lets through · `build` does what the
//! instructions say, each stage in a folder that stands for its file system · `run` starts an image's entry point
//! with that folder as its root, read-only and as the image's user.

#![allow(
    clippy::panic,
    reason = "this is for tests: what cannot be built ends them"
)]

mod build;
mod context;
mod dockerfile;
mod run;

pub use build::{Builder, Image, Source};
pub use context::Context;
pub use dockerfile::{Dockerfile, Instruction, Stage};
pub use run::{Container, namespaces_are_allowed};
