//! Deployment, ReplicaSet, EndpointSlice, garbage collection and namespace controllers.
//!
//! Each controller has a pure core, which maps observed state to writes, and a thin shell, which
//! reads from local copies kept by watches and applies the writes. [`run`] connects them.
//!
//! # Invariants
//! - Decisions use local copies only. A write based on a stale copy fails (resource version or uid)
//!   or is held back (expectations of a ReplicaSet), so it is never applied twice.
//! - Nothing is polled. In an idle cluster the controllers make no requests besides their watches.

mod availability;
mod deployment;
mod driver;
mod endpoints;
mod error;
mod gc;
mod inventory;
mod namespace;
mod replicaset;
mod unsupported;

pub use driver::run;
pub use error::Error;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::runtime::controller::Action;

/// Waits for a change or, if set, at most for `requeue_after`.
fn requeue(requeue_after: Option<SignedDuration>) -> Action {
    match requeue_after.and_then(|after| std::time::Duration::try_from(after).ok()) {
        // Add a margin, so that the reconciliation does not run slightly too early.
        Some(after) => Action::requeue(after + std::time::Duration::from_millis(10)),
        None => Action::await_change(),
    }
}

/// Returns whether a selector is empty, which would match every pod of the namespace.
fn selects_everything(selector: &LabelSelector) -> bool {
    selector
        .match_labels
        .as_ref()
        .is_none_or(std::collections::BTreeMap::is_empty)
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty)
}
