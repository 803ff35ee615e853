//! End-to-end tests that drive run.sh, kubectl, Envoy and Prometheus like a user.
//!
//! # Layout
//! - [`Cluster`]: a cluster created by `./run.sh up` in a separate directory, removed on drop.
//! - [`Machine`]: a simulated host with stub programs, for tests of the scripts.
//! - [`http`]: a minimal client with a keep-alive connection.
//! - [`Traffic`]: continuous requests in the background.
//! - [`Journal`]: the recorded output of a program such as `kubectl --watch`.
//! - [`until`]: polls with a deadline.
//! - [`image`]: builds and runs the images of the Dockerfiles without containers.
//!
//! The stories are in `tests/stories/`, one file per topic. Each story uses its own cluster.

mod cluster;
pub mod http;
pub mod image;
mod journal;
mod machine;
mod output;
mod traffic;
mod wait;

pub use cluster::{Cluster, program, repository, run_sh, with_tools};
pub use journal::Journal;
pub use machine::Machine;
pub use output::Output;
pub use traffic::{Sample, Traffic, burst};
pub use wait::until;
