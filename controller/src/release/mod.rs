//! A release: the validated form of a Canary.
//!
//! - [`validation`] turns the custom resource and the objects it refers to into a [`Release`], or into problems
//! - [`status`] converts `status` of the Canary from the object to the engine and back

pub mod duration;
pub mod problem;
mod spec;
pub mod status;
pub mod validation;

pub use spec::{AlertTarget, HookCall, MetricSource, Query, QueryNames, Release};
