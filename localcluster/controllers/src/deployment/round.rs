//! State and plan of one reconciliation of a Deployment.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use kube::ResourceExt;
use localcluster_shared::events::Occurrence;

/// The observed state at the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) deployment: &'a Deployment,
    /// The Deployment's ReplicaSets, oldest first.
    pub(crate) sets: &'a [ReplicaSet],
    /// Whether any pod of an old ReplicaSet is still running or terminating. Strategy Recreate waits
    /// for it.
    pub(crate) old_pods_running: bool,
    /// Error of the last attempt to create the new ReplicaSet.
    pub(crate) create_error: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// One write of a [`Plan`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// Creates the ReplicaSet of the current template.
    Create(Box<ReplicaSet>),
    /// Updates replicas, annotations and minReadySeconds of a ReplicaSet.
    Update(Box<ReplicaSet>),
    /// Deletes a ReplicaSet beyond the history limit.
    Delete { name: String, uid: Option<String> },
    /// Annotates the Deployment with its revision.
    Revision(String),
}

/// The planned actions, applied in this order: writes, events, status.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<Occurrence>,
    /// The status, if it differs from the stored one.
    pub(crate) status: Option<DeploymentStatus>,
    /// Time until the progress deadline.
    pub(crate) requeue_after: Option<SignedDuration>,
}

/// Working state of the planner. Its ReplicaSets include the planned changes.
pub(super) struct Round<'a> {
    pub(super) view: View<'a>,
    pub(super) deployment: &'a Deployment,
    /// The ReplicaSet of the current template.
    pub(super) new: Option<ReplicaSet>,
    /// All other ReplicaSets, oldest first.
    pub(super) old: Vec<ReplicaSet>,
    pub(super) plan: Plan,
    /// Whether the new ReplicaSet was found or created in this reconciliation, for the condition.
    pub(super) appeared: Option<Appeared>,
}

/// Origin of the new ReplicaSet in this reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Appeared {
    Created(String),
    Found(String),
}

impl Round<'_> {
    pub(super) fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    /// Plans the write of a set. It replaces an earlier write of the same set.
    pub(super) fn update(&mut self, set: &ReplicaSet) {
        let same = |write: &Write| matches!(write, Write::Update(other) | Write::Create(other) if other.name_any() == set.name_any());
        match self.plan.writes.iter_mut().find(|write| same(write)) {
            Some(Write::Update(planned) | Write::Create(planned)) => **planned = set.clone(),
            _ => self.plan.writes.push(Write::Update(Box::new(set.clone()))),
        }
    }
}
