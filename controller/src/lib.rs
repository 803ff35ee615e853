//! Canary controller that speaks Flagger's API on Istio.
//!
//! # Layout
//! - [`crd`]: the custom resources
//! - [`cluster`]: local copies of what the cluster holds, and guarded writes
//! - [`generate`]: pure builders of the generated objects
//! - [`clock`]: the time of day

pub mod clock;
pub mod cluster;
pub mod crd;
pub mod generate;
