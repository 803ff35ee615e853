//! Code that more than one part of localcluster needs: watches, Events, child processes and small helpers.
//!
//! # Layout
//! - [`watch`]: a watch that retries; [`reflect`] and [`feed`] keep local copies with it
//! - [`events`]: Events on objects, counted ([`events::Recorder`]) or once per generation ([`events::Reporter`])
//! - [`problem`]: problems of an object, which an [`events::Reporter`] writes as Events
//! - [`definition`]: CustomResourceDefinitions made from Rust types
//! - [`process`]: child processes and their output
//! - [`program`]: finds a program and checks that its addresses are free
//! - [`child`]: readiness of a supervised program
//! - [`http`]: requests to a program's admin interface
//! - [`duration`]: the duration formats of Istio, the Gateway API, Envoy and Prometheus

pub mod child;
pub mod definition;
pub mod duration;
pub mod events;
pub mod feed;
pub mod http;
pub mod problem;
pub mod process;
pub mod program;
pub mod reflect;
pub mod watch;
