//! Deployment, ReplicaSet, EndpointSlice, garbage collection and namespace controllers.
//!
//! Each controller has a pure core, a function from what is seen to what is to be written, and a thin
//! shell that looks (in local copies kept by watches) and writes. [`run`] wires them together.
//!
//! # Invariants
//! - A decision is taken on local copies only; a write that rests on an old copy fails (resource
//!   version or uid) or is held back (a ReplicaSet's expectations), it is never doubled.
//! - Nothing is polled. An idle cluster sees no request from here beside the watches.

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

/// Wait for a change, or for `look_again` when that comes first.
fn requeue(look_again: Option<SignedDuration>) -> Action {
    match look_again.and_then(|after| std::time::Duration::try_from(after).ok()) {
        // Rounded up: a look a moment too early would only find that it is too early.
        Some(after) => Action::requeue(after + std::time::Duration::from_millis(10)),
        None => Action::await_change(),
    }
}

/// Whether a selector is empty; it would match every pod of the namespace.
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
