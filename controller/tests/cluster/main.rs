//! The controller against the embedded API server, in one process and under a paused clock: releases of minutes
//! take milliseconds.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod crash;
mod idle;
mod leadership;
mod manifests;
mod network;
mod recorder;
mod release;
mod web;
mod world;
mod wrong;
