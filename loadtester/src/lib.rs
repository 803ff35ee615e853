//! Load generator with the command line of hey and the webhook API of Flagger's load tester.

//!
//! # Layout
//!
//! What was typed ([`command`]) becomes a checked [`plan`], which the [`engine`] runs: threads full of workers, each
//! one loop over [`schedule`], a client and the [`recorder`]. [`report`] writes the result. The module
//! `server` does all that on request of a webhook.

pub mod cli;
mod client;
pub mod command;
pub mod engine;
mod hey;
pub mod plan;
mod progress;
pub mod recorder;
pub mod report;
pub mod schedule;
mod server;
mod worker;
