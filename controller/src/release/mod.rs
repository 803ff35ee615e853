//! A release as this controller works on it: the validated form of a Canary.
//!
//! - [`validation`]: from the custom resource and what it refers to, to a [`Release`]; every refusal is there
//! - [`status`]: `status` of the Canary, from the object to the engine and back

pub mod duration;
pub mod problem;
mod spec;
pub mod status;
pub mod validation;

pub use spec::{AlertTarget, HookCall, MetricSource, Query, QueryNames, Release};
