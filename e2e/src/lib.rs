//! End-to-end stories: run.sh, kubectl, Envoy and Prometheus, driven as a person would.
//!
//! # Layout
//! [`Cluster`] one `./run.sh up` in a directory of its own, taken down when dropped · [`http`] a
//! small client that keeps its connection · [`Traffic`] users who never stop asking · [`Journal`]
//! what a program such as `kubectl --watch` prints meanwhile · [`until`] waiting with a deadline.
//! [`image`] the Dockerfiles' images without containers.
//! The stories are in `tests/stories/`, one file per theme, one cluster per story.

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
