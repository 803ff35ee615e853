//! Turns Istio and Gateway API routes, Services and endpoints into the configuration of a real Envoy.
//!
//! One Envoy is both the forward proxy of all pods (their `HTTP_PROXY`) and the ingress. It reads its routes,
//! clusters and endpoints from files, which are replaced atomically when the Kubernetes objects change.
//!
//! # Layout
//! - [`istio`]: Istio's objects and their CustomResourceDefinitions
//! - [`gateway_api`]: the same for the Gateway API
//! - [`model`]: a snapshot of the cluster, with Services joined to their pods
//! - [`compile`]: validates a `VirtualService` or an `HTTPRoute` and translates its parts to Envoy's
//! - [`render`]: renders a snapshot to Envoy's resources; pure, golden-tested
//! - [`run`]: the loop: watch, render, deliver, report
//! - `status_writer`: writes the status of Gateway API objects once Envoy has their routes
//! - `deliver`: replaces files in an order that loses no request; `admin` reads which versions Envoy has accepted
//!
//! # Known differences from Istio
//! - One proxy serves all pods and does not know which pod sent a request. A Service's bare name therefore means the
//!   one in namespace `default`, and `sourceLabels` and `sourceNamespace` never match.
//! - A safe request (`GET`, `HEAD`, `OPTIONS`, `TRACE`) whose route sets no retries is also retried when its
//!   connection breaks before a response.
//! - All traffic is HTTP without TLS.
//! - All `Gateway`s, of Istio and of the Gateway API, share one ingress: two of them cannot route the same host, and
//!   the port of a listener is only a name.
//! - Of two objects that claim the same host or Service, the older one wins, whether `VirtualService` or `HTTPRoute`.
//!   The other gets an Event, and an `HTTPRoute` also a status (`Accepted` is `False`, reason `Conflicted`). Only
//!   `HTTPRoute`s are merged with each other, as the Gateway API requires.
//! - An `HTTPRoute` that attaches to a Service of another namespace is not accepted, and a backend in another
//!   namespace is not permitted: `ReferenceGrant`s are not read. `GRPCRoute`, `TLSRoute`, `TCPRoute` and
//!   `UDPRoute` are not supported.
//! - A waypoint is only a name: requests go through the same proxy with and without it. The metrics of a Service with a
//!   waypoint have the reporter `waypoint`.

mod admin;
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
mod status_writer;
mod watch;

pub use config::{Config, Error};
pub use crds::crds;
pub use driver::run;
pub use localcluster_shared::problem;
