//! Runs a real Prometheus whose configuration is written from PodMonitor and PrometheusRule objects.
//!
//! # Layout
//! - [`crd`]: the objects of the Prometheus Operator that are known
//! - [`scrape`]: `PodMonitor`s into scrape configurations; pure, golden-tested
//! - [`rules`]: `PrometheusRule`s into rule files; pure
//! - [`targets`]: pods into targets, with the labels Prometheus' own Kubernetes discovery gives; pure
//! - [`envoy`]: Envoy's counters under Istio's names
//! - [`run`]: the loop: watch, render, reload, report
//!
//! # What is known to differ from the Prometheus Operator
//! - `ServiceMonitor` is accepted and answered with an Event.
//! - Alerts are evaluated and shown by Prometheus; there is no Alertmanager to send them to.
//! - Credentials, TLS and proxies of an endpoint are not supported, which an Event says.

mod config;
pub mod crd;
mod driver;
pub mod envoy;
mod prometheus;
pub mod rules;
pub mod scrape;
mod service;
pub mod targets;

pub use config::{Config, Error};
pub use crd::crds;
pub use driver::run;
