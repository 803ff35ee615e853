//! Plans the actions for a ReplicaSet from its pods. Pure.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Resource, ResourceExt,
    core::{Selector, SelectorExt},
};

use crate::availability::{available_at, is_active, is_ready, ready_since};

/// Input of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) set: &'a ReplicaSet,
    /// All pods of the namespace that match the selector or are owned by the set.
    pub(crate) pods: &'a [&'a Pod],
    /// The failure of the last attempt to create or delete a pod.
    pub(crate) failure: Option<&'a Failure>,
    /// Number of unfulfilled expectations. Unless it is zero, `pods` is stale and no pod is created
    /// or deleted.
    pub(crate) unseen: usize,
    pub(crate) now: Timestamp,
}

/// A rejected creation or deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `FailedCreate` or `FailedDelete`.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Actions in the order of their execution.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Matching orphans to adopt.
    pub(crate) adopt: Vec<String>,
    /// Owned pods that no longer match, to release.
    pub(crate) release: Vec<String>,
    /// Number of pods to create.
    pub(crate) create: usize,
    /// Names of pods to delete.
    pub(crate) delete: Vec<String>,
    /// The status, if it differs from the stored one.
    pub(crate) status: Option<ReplicaSetStatus>,
    /// Time until the status changes without an event, because a pod becomes available.
    pub(crate) requeue_after: Option<SignedDuration>,
}

/// Plans one reconciliation.
pub(crate) fn plan(view: View<'_>) -> Plan {
    let View { set, pods, now, .. } = view;
    let Some(spec) = &set.spec else {
        return Plan::default();
    };
    let Ok(selector) = Selector::try_from(spec.selector.clone()) else {
        return Plan::default();
    };
    let going = set.metadata.deletion_timestamp.is_some();
    let (mut adopt, mut release, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for pod in pods {
        match (owner(pod), selector.matches(pod.labels())) {
            (Some(uid), true) if Some(uid) == set.metadata.uid.as_deref() => ours.push(*pod),
            (Some(uid), false) if Some(uid) == set.metadata.uid.as_deref() => {
                release.push(pod.name_any());
            }
            // Do not adopt an orphan that is being deleted.
            (None, true)
                if !going && pod.metadata.deletion_timestamp.is_none() && is_active(pod) =>
            {
                adopt.push(pod.name_any());
            }
            _ => {}
        }
    }
    let active: Vec<&Pod> = ours.into_iter().filter(|pod| is_active(pod)).collect();
    let desired = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let mut plan = Plan {
        adopt,
        release,
        ..Plan::default()
    };
    // Pods to adopt are counted in the next reconciliation.
    if !going && view.unseen == 0 && plan.adopt.is_empty() {
        plan.create = desired.saturating_sub(active.len());
        if let Some(surplus) = active.len().checked_sub(desired) {
            plan.delete = choose_victims(&active, surplus);
        }
    }
    let status = status(view, &active);
    plan.status = (set.status.as_ref() != Some(&status)).then_some(status);
    let min_ready = SignedDuration::from_secs(spec.min_ready_seconds.unwrap_or(0).into());
    plan.requeue_after = active
        .iter()
        .filter_map(|pod| available_at(pod, min_ready))
        .map(|at| at.duration_since(now))
        .filter(SignedDuration::is_positive)
        .min();
    plan
}

fn owner(pod: &Pod) -> Option<&str> {
    let owners = pod.owner_references();
    owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.as_str())
}

/// Chooses the pods to delete, in the order of Kubernetes: unbound, pending, not ready, of lower
/// `controller.kubernetes.io/pod-deletion-cost`, ready for a shorter time, restarted more often,
/// younger. Spreading over nodes does not apply to a single node.
fn choose_victims(active: &[&Pod], count: usize) -> Vec<String> {
    let mut ranked: Vec<&Pod> = active.to_vec();
    ranked.sort_by_cached_key(|pod| {
        let bound = pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.node_name.is_some());
        let status = pod.status.as_ref();
        let phase = match status.and_then(|status| status.phase.as_deref()) {
            Some("Running") => 2,
            Some("Unknown") => 1,
            _ => 0,
        };
        let cost = pod
            .annotations()
            .get("controller.kubernetes.io/pod-deletion-cost");
        let cost: i64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
        let restarts = status
            .and_then(|status| status.container_statuses.as_ref())
            .map_or(0, |all| {
                all.iter()
                    .map(|container| container.restart_count)
                    .max()
                    .unwrap_or(0)
            });
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let ready = is_ready(pod);
        let since = if ready { ready_since(pod) } else { None };
        (
            bound,
            phase,
            ready,
            cost,
            Reverse(since),
            Reverse(restarts),
            Reverse(created),
            pod.name_any(),
        )
    });
    ranked
        .into_iter()
        .take(count)
        .map(ResourceExt::name_any)
        .collect()
}

fn status(view: View<'_>, active: &[&Pod]) -> ReplicaSetStatus {
    let View {
        set, failure, now, ..
    } = view;
    let spec = set.spec.clone().unwrap_or_default();
    let old = set.status.clone().unwrap_or_default();
    let min_ready = SignedDuration::from_secs(spec.min_ready_seconds.unwrap_or(0).into());
    let template_labels: BTreeMap<String, String> = spec
        .template
        .and_then(|template| template.metadata)
        .and_then(|meta| meta.labels)
        .unwrap_or_default();
    let count = |test: &dyn Fn(&Pod) -> bool| {
        i32::try_from(active.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX)
    };
    let some = |count: i32| Some(count).filter(|count| *count > 0);
    let mut conditions: Vec<ReplicaSetCondition> = old.conditions.unwrap_or_default();
    let stored = conditions
        .iter()
        .position(|condition| condition.type_ == "ReplicaFailure");
    match (failure, stored) {
        (Some(failure), None) => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".into(),
            status: "True".into(),
            reason: Some(failure.reason.into()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(now)),
        }),
        (None, Some(index)) => {
            conditions.remove(index);
        }
        _ => {}
    }
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: some(count(&|pod| {
            template_labels
                .iter()
                .all(|(name, value)| pod.labels().get(name) == Some(value))
        })),
        ready_replicas: some(count(&is_ready)),
        available_replicas: some(count(&|pod| {
            available_at(pod, min_ready).is_some_and(|at| at <= now)
        })),
        observed_generation: set.metadata.generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
        ..ReplicaSetStatus::default()
    }
}

/// Builds a new pod of `set`. `suffix` is the random part of its name, five characters.
pub(crate) fn new_pod(set: &ReplicaSet, suffix: &str) -> Pod {
    let template = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.clone())
        .unwrap_or_default();
    let template_meta = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", set.name_any())),
            name: Some(format!("{}-{suffix}", set.name_any())),
            namespace: set.namespace(),
            labels: template_meta.labels,
            annotations: template_meta.annotations,
            finalizers: template_meta.finalizers,
            owner_references: set.controller_owner_ref(&()).map(|owner| {
                vec![
                    k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
                        block_owner_deletion: Some(true),
                        ..owner
                    },
                ]
            }),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
