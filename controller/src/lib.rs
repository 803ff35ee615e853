//! Canary controller that speaks Flagger's API on Istio and the Gateway API.
//!
//! # Layout
//! Each module needs only modules below it in this list:
//! - [`cli`]: the command line, one file per verb; [`Controller`] puts everything together
//! - [`views`]: a canary as people see it, at a terminal and in a browser
//! - [`tick`]: the pipeline of one tick of one canary, a file per step
//! - [`metrics`], [`webhooks`], [`alerts`]: metrics servers that are asked, webhooks that are called, chats that are
//!   notified
//! - [`release`]: validation, from the custom resource to a [`release::Release`]
//! - [`routing`], [`targets`]: one folder per traffic provider, one file per kind of target
//! - [`objects`]: what is generated whatever the router and the target
//! - [`process`]: leader election, endpoints, settings and the other parts of a running process
//! - [`cluster`]: local copies kept by watches, and writes
//! - [`api`]: the custom resources as people write them

pub mod alerts;
pub mod api;
pub mod cli;
pub mod cluster;
mod controller;
pub mod metrics;
pub mod objects;
pub mod process;
pub mod release;
pub mod routing;
pub mod targets;
pub mod tick;
pub mod views;
pub mod webhooks;

pub use controller::{Controller, Parts};
