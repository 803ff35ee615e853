//! The controller against the embedded API server, in one process and under a paused clock: releases of minutes
//! take milliseconds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]
#![allow(unreachable_pub, reason = "modules of one test program")]

mod adoption;
mod answers;
mod crash;
mod definition;
mod docs;
mod gateway_api;
mod idle;
mod leadership;
mod log;
mod manifests;
mod meanwhile;
mod network;
mod once;
mod ownership;
mod page;
mod program;
mod recorder;
mod refusals;
mod release;
mod rules;
mod upstream;
mod web;
mod world;
mod wrong;
