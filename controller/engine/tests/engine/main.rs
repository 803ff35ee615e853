//! The engine in a simulated world: scenarios with golden transcripts, and properties of whole runs.
//!
//! - `world`: Deployments, route, webhooks and metrics, and what actions do to them
//! - `driver`: a controller around the engine: looks when something changed or a time has come, and can crash
//! - `script`: scenario files to runs
//! - `scenarios`: every `scenarios/*.txt` against its golden transcript; a new test is a new file
//! - `random`: random specifications, and what can happen to a world
//! - `properties`: what runs of random specifications in random worlds lead to
//! - `rules`: rules that every plan keeps
//! - `linter`: every kind of bad plan is reported by `rules`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this crate is test code"
)]

mod driver;
mod linter;
mod properties;
mod random;
mod rules;
mod scenarios;
mod script;
mod world;
