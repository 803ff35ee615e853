//! Tests of the controller against the in-process API server. The clock is paused, so releases that take minutes run in
//! milliseconds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails at the first unexpected value"
)]
#![allow(unreachable_pub, reason = "modules of one test program")]

mod adoption;
mod answers;
mod crash;
mod definition;
mod docs;
mod gateway_api;
mod idle;
mod in_flight;
mod leadership;
mod log;
mod manifests;
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
