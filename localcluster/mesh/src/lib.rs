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
//!
//! # What is known to differ from Istio
//! - One proxy cannot tell which pod sends a request: a Service's bare name means the one in namespace
//!   `default`, and `sourceLabels` and `sourceNamespace` never hold.
//! - A safe request (`GET`, `HEAD`, `OPTIONS`, `TRACE`) without retries of its own is also repeated when
//!   its connection breaks before an answer.
//! - Everything is HTTP without TLS.
//! - There is one ingress for all `Gateway`s, of Istio and of the Gateway API: two of them cannot route the same
//!   host, and the port of a listener is a name only.
//! - Of two objects for the same host or Service the older one is obeyed, be it a `VirtualService` or an
//!   `HTTPRoute`; the other says so in an Event, and an `HTTPRoute` also in its status (`Accepted` is
//!   `False`, reason `Conflicted`). `HTTPRoute`s alone are one list, as the Gateway API wants it.
//! - An `HTTPRoute` that attaches to a Service of another namespace is not accepted, and a backend in another
//!   namespace is not permitted: `ReferenceGrant`s are not read. `GRPCRoute`, `TLSRoute`, `TCPRoute` and
//!   `UDPRoute` do not exist here.
//! - A waypoint is a name: the proxy is the same with and without it, and requests are told as counted by a
//!   waypoint where there would be one.

mod admin;
mod answer;
pub mod compile;
mod config;
mod crds;
mod deliver;
mod driver;
mod envoy;
pub mod gateway_api;
pub mod istio;
pub mod model;
pub mod render;
mod watch;

pub use config::{Config, Error};
pub use crds::crds;
pub use driver::run;
pub use localcluster_shared::problem;
