//! Turns the routes of Istio and of the Gateway API, Services and endpoints into the configuration of a
//! real Envoy.
//!
//! One Envoy serves all pods as a forward proxy (they get it as `HTTP_PROXY`) and people as an
//! ingress. It reads its routes, clusters and endpoints from files, which are replaced
//! atomically when the objects they are made from change.
//!
//! # Layout
//! - [`istio`]: Istio's objects, and their CustomResourceDefinitions
//! - [`gateway_api`]: those of the Gateway API
//! - [`model`]: a snapshot of the cluster; Services joined with their pods
//! - [`compile`]: checks a `VirtualService` or an `HTTPRoute` and turns its parts into Envoy's
//! - [`render`]: everything into Envoy's resources; pure, golden-tested
//! - [`run`]: the loop: watch, render, deliver, report
//! - `answer`: writes the status of the Gateway API's objects once Envoy has their routes
//! - `deliver`: replaces files in an order that loses no request; `admin` tells what Envoy took
//! - [`duration`]: Istio's durations
//!
//! # What is known to differ from Istio
//! - One proxy cannot tell which pod sends a request: a Service's bare name means the one in namespace
//!   `default`, and `sourceLabels` and `sourceNamespace` never hold.
//! - A safe request (`GET`, `HEAD`, `OPTIONS`, `TRACE`) without retries of its own is also repeated when
//!   its connection breaks before an answer.
//! - Everything is HTTP without TLS.

mod admin;
mod answer;
pub mod compile;
mod config;
mod crds;
mod deliver;
mod driver;
pub mod duration;
mod envoy;
pub mod gateway_api;
pub mod istio;
pub mod model;
pub mod render;
mod watch;

pub use config::{Config, Error};
pub use crds::crds;
pub use driver::run;
pub use localcluster_driver::problem;
