//! Load generator with the command line of hey and the webhook API of Flagger's load tester.
//!
//! # Layout
//!
//! A command line ([`command`]) becomes a checked [`plan`]. The [`engine`] runs it on threads full of workers; each worker is
//! one loop over the [`schedule`], a client and the [`recorder`]. [`report`] writes the result. `server` does all of that for
//! webhooks. HTTP/1.1 itself is the crate `loadtester-http1`.
//!
//! Imports go one way: cli → hey, server → progress, engine → worker → client → plan → report → command, recorder.

pub mod cli;
mod client;
pub mod command;
pub mod engine;
mod hey;
pub mod plan;
mod progress;
pub mod recorder;
pub mod report;
mod runtime;
pub mod schedule;
mod server;
mod worker;
