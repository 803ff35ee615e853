//! Integration tests of API server, controllers and kubelet, with pods as real processes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests: helpers fail by panicking too"
)]

mod deletion;
mod pods;
mod probes;
mod rollout;
mod shim;
mod support;
