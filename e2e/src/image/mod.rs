//! Builds and runs the images of the Dockerfiles without containers, by interpreting the Dockerfiles.
//!
//! # Layout
//! - `dockerfile`: parses stages and instructions.
//! - `context`: applies `.dockerignore`.
//! - `build`: executes the instructions, each stage in a folder that serves as its file system.
//! - `run`: starts an image's entry point with that folder as its read-only root, as the image's user.

#![allow(clippy::panic, reason = "test helpers fail by panicking")]

mod build;
mod context;
mod dockerfile;
mod run;

pub use build::{Builder, Image, Source};
pub use context::Context;
pub use dockerfile::{Dockerfile, Instruction, Stage};
pub use run::{Container, namespaces_are_allowed};
