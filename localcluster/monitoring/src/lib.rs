//! Runs a real Prometheus, configured from PodMonitor and PrometheusRule objects.
//!
//! # Layout
//! - [`crd`]: the supported objects of the Prometheus Operator
//! - [`scrape`]: renders `PodMonitor`s to scrape configurations; pure, golden-tested
//! - [`rules`]: renders `PrometheusRule`s to rule files; pure
//! - [`targets`]: renders pods to targets with the labels of Prometheus' Kubernetes service discovery; pure
//! - [`envoy`]: Envoy's statistics under Istio's names
//! - [`run`]: the loop: watch, render, reload, report
//!
//! # Known differences from the Prometheus Operator
//! - `ServiceMonitor`s are accepted but not scraped; an Event reports this.
//! - Prometheus evaluates and shows alerts, but there is no Alertmanager to send them to.
//! - Credentials, TLS and proxies of an endpoint are not supported; an Event reports them.

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
