//! Expectations: creations and deletions of pods that the local copy does not show yet. Acting on
//! such a stale copy would create or delete the same pods twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// Expiry of an expectation. Reached only if a watch lost an event (five minutes in Kubernetes).
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
struct Pending {
    /// Names of created pods not seen yet. Recorded *before* the request, so that an event that
    /// arrives before the response is not missed.
    created: HashSet<String>,
    /// Uids of deleted pods whose deletion has not been seen yet.
    deleted: HashSet<String>,
    since: Option<Instant>,
}

/// Expectations by the uid of the ReplicaSet.
#[derive(Debug, Default)]
pub(super) struct Expectations(Mutex<HashMap<String, Pending>>);

impl Expectations {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, set: &str, change: impl FnOnce(&mut Pending) -> bool) {
        let mut all = self.all();
        let pending = all.entry(set.to_owned()).or_default();
        pending.since.get_or_insert_with(Instant::now);
        change(pending);
        if pending.created.is_empty() && pending.deleted.is_empty() {
            all.remove(set);
        }
    }

    /// Expects the creation of a pod. Called before the request.
    pub(super) fn creating(&self, set: &str, name: &str) {
        self.change(set, |pending| pending.created.insert(name.to_owned()));
    }

    /// Drops the expectation after a failed request.
    pub(super) fn not_created(&self, set: &str, name: &str) {
        self.change(set, |pending| pending.created.remove(name));
    }

    /// Expects the deletion of a pod. Called before the request.
    pub(super) fn deleting(&self, set: &str, uid: &str) {
        self.change(set, |pending| pending.deleted.insert(uid.to_owned()));
    }

    /// Drops the expectation after a failed request.
    pub(super) fn not_deleted(&self, set: &str, uid: &str) {
        self.change(set, |pending| pending.deleted.remove(uid));
    }

    /// The pod has appeared in the local copy.
    pub(super) fn saw(&self, pod: &Pod) {
        self.forget(pod, pod.metadata.deletion_timestamp.is_some());
    }

    /// The pod has been removed from the local copy.
    pub(super) fn saw_deleted(&self, pod: &Pod) {
        self.forget(pod, true);
    }

    fn forget(&self, pod: &Pod, deleted: bool) {
        let owners = pod.owner_references();
        let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else {
            return;
        };
        self.change(&owner.uid, |pending| {
            let created = pending.created.remove(&pod.name_any());
            created
                | pod
                    .uid()
                    .is_some_and(|uid| deleted && pending.deleted.remove(&uid))
        });
    }

    /// Number of unfulfilled expectations of a set.
    pub(super) fn unseen(&self, set: &str) -> usize {
        let mut all = self.all();
        let stale = all
            .get(set)
            .and_then(|pending| pending.since)
            .is_some_and(|since| since.elapsed() >= FORGET_AFTER);
        if stale {
            all.remove(set);
        }
        all.get(set)
            .map_or(0, |pending| pending.created.len() + pending.deleted.len())
    }
}
