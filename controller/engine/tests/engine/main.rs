//! The engine in a simulated world: scenarios with golden transcripts, and properties of whole runs.
//!
//! - `deployment`: a Deployment and its pods
//! - `world`: both Deployments, route, webhooks and metrics, and the effects of actions on them
//! - `driver`: a controller around the engine, which plans on a change or at a requeue time, and can crash
//! - `script`: runs scenario files
//! - `scenarios`: compares every `scenarios/*.txt` with its golden transcript; a new test is a new file
//! - `random`: random specifications and disturbances
//! - `properties`: properties of runs of random specifications in random worlds
//! - `rules`: rules that every plan keeps
//! - `linter`: tests that `rules` reports every kind of bad plan

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this crate is test code"
)]

mod deployment;
mod driver;
mod linter;
mod properties;
mod random;
mod rules;
mod scenarios;
mod script;
mod world;
