//! A canary controller that implements Flagger's API for Istio and the Gateway API.
//!
//! # Layout
//! Each module depends only on modules below it in this list:
//! - [`cli`]: the command line, one file per subcommand; [`Controller`] wires everything together
//! - [`views`]: views of a canary for people, in a terminal and in a browser
//! - [`tick`]: the pipeline of one tick of one canary, one file per step
//! - [`metrics`], [`webhooks`], [`alerts`]: clients of metrics servers, webhooks and chat services
//! - [`release`]: validation, from the custom resource to a [`release::Release`]
//! - [`routing`], [`targets`]: one folder per traffic provider, one file per kind of target
//! - [`objects`]: generated objects that do not depend on the router or the target
//! - [`process`]: leader election, endpoints, settings and the other parts of a running process
//! - [`cluster`]: local copies, kept by watches, and writes
//! - [`api`]: the custom resources

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
