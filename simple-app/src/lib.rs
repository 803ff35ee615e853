//! The app being released: it responds with its version and exports a request summary.
//!
//! # Layout
//!
//! - [`config`]: the settings, as flags and environment variables.
//! - [`router`]: the routes of both ports.
//! - [`faults`]: the delay and the failure of each request; pure.
//! - [`metrics`]: the request summary, the process metrics and their text format.
//! - [`request_log`]: the lines `Request: N, version: X`, written by a thread of their own.
//! - [`lifecycle`]: start, drain and stop.

pub mod config;
pub mod faults;
pub mod lifecycle;
pub mod metrics;
pub mod request_log;
pub mod router;

pub use config::Config;
