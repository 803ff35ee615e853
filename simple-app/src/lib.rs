//! The app being released: answers its version, exports a request summary.
//!
//! # Layout
//!
//! - [`config`]: what can be set, as flags and as environment variables.
//! - [`router`]: every route of both ports.
//! - [`faults`]: pure: which delay and which failure a request gets.
//! - [`metrics`]: the request summary, the process metrics, and their text.
//! - [`request_log`]: the `Request: N, version: X` lines, written behind the requests' back.
//! - [`lifecycle`]: bind, serve, drain, stop.

pub mod config;
pub mod faults;
pub mod lifecycle;
pub mod metrics;
pub mod request_log;
pub mod router;

pub use config::Config;
