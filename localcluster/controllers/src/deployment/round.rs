//! One round of a Deployment: its state and the writes it ends with.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use kube::ResourceExt;
use localcluster_shared::events::Occurrence;

/// The state that a round begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) deployment: &'a Deployment,
    /// ReplicaSets it owns, oldest first.
    pub(crate) sets: &'a [ReplicaSet],
    /// Whether any pod of an old ReplicaSet still runs, terminating ones included (strategy
    /// Recreate waits for them).
    pub(crate) old_pods_running: bool,
    /// Why the new ReplicaSet could not be created last time.
    pub(crate) create_error: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// One write of a [`Plan`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// Create the ReplicaSet of the present template.
    Create(Box<ReplicaSet>),
    /// Make replicas, annotations and minReadySeconds of a ReplicaSet what they are in here.
    Update(Box<ReplicaSet>),
    /// Remove a ReplicaSet that is only history.
    Delete { name: String, uid: Option<String> },
    /// Annotate the Deployment with its revision.
    Revision(String),
}

/// Everything to do, in this order: writes, events, status.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<Occurrence>,
    /// The status, when it differs from the stored one.
    pub(crate) status: Option<DeploymentStatus>,
    /// When the progress deadline passes.
    pub(crate) look_again: Option<SignedDuration>,
}

/// The state of a round while it is decided. ReplicaSets in here are already as planned.
pub(super) struct Round<'a> {
    pub(super) view: View<'a>,
    pub(super) deployment: &'a Deployment,
    /// The ReplicaSet of the present template.
    pub(super) new: Option<ReplicaSet>,
    /// All others, oldest first.
    pub(super) old: Vec<ReplicaSet>,
    pub(super) plan: Plan,
    /// Whether the new ReplicaSet was found or made in this round, for the condition.
    pub(super) appeared: Option<Appeared>,
}

/// How the new ReplicaSet came to be known in this round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Appeared {
    Created(String),
    Found(String),
}

impl Round<'_> {
    pub(super) fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    /// Plans the write of a set as it is now; a later change of the same set replaces the earlier.
    pub(super) fn update(&mut self, set: &ReplicaSet) {
        let same = |write: &Write| matches!(write, Write::Update(other) | Write::Create(other) if other.name_any() == set.name_any());
        match self.plan.writes.iter_mut().find(|write| same(write)) {
            Some(Write::Update(planned) | Write::Create(planned)) => **planned = set.clone(),
            _ => self.plan.writes.push(Write::Update(Box::new(set.clone()))),
        }
    }
}
