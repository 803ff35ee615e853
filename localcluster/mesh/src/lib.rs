//! Turns Istio routes, Services and endpoints into the configuration of a real Envoy.
//!
//! # Layout
//! - [`istio`]: the objects read, and their CustomResourceDefinitions
//! - [`model`]: a snapshot of the cluster; Services joined with their pods
//! - [`compile`]: checks a `VirtualService` and turns its parts into Envoy's
//! - [`render`]: everything into Envoy's resources; pure, golden-tested
//! - [`problem`], [`duration`]: what is wrong with an object; Istio's durations

pub mod compile;
pub mod duration;
pub mod istio;
pub mod model;
pub mod problem;
pub mod render;

pub use istio::crds;
