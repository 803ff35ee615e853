//! Shared by the parts of localcluster: watches, Events, child processes, and whatever else more than one of them needs.
//!
//! # Layout
//! - [`watch`]: a watch that retries; [`reflect`] and [`feed`] keep local copies with it
//! - [`events`]: Events on objects, counted ([`events::Recorder`]) or once for each generation ([`events::Reporter`])
//! - [`problem`]: mistakes in an object, as a [`events::Reporter`] writes them
//! - [`definition`]: CustomResourceDefinitions made from Rust types
//! - [`process`]: child processes and their output
//! - [`program`]: finds a program and checks its addresses before it starts
//! - [`child`]: waits until a started program serves
//! - [`http`]: one small request to a program's admin interface
//! - [`duration`]: durations as Istio, the Gateway API, Envoy and Prometheus write them

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
