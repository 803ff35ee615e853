//! Revisions: creates the ReplicaSet of a new template, numbers revisions and deletes old ones.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::apps::v1::{ReplicaSet, ReplicaSetSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt};
use localcluster_shared::events::Occurrence;

use super::{
    fields::{
        NOT_COPIED, REVISION, REVISION_HISTORY, actual, bounds, is_rolling, replicas, revision,
        set_replicas,
    },
    round::{Appeared, Round, Write},
    scale, template,
};

/// Maximum length of the revision history annotation (Kubernetes: `maxRevHistoryLengthInChars`).
const MAX_HISTORY: usize = 2000;

/// Ensures that the current template has a ReplicaSet with the highest revision.
pub(super) fn ensure_new(round: &mut Round<'_>) {
    if round.new.is_some() {
        adopt_revision(round);
        return;
    }
    let (deployment, bounds) = (round.deployment, bounds(round.deployment));
    let Some(spec) = &deployment.spec else { return };
    let collisions = deployment
        .status
        .as_ref()
        .and_then(|status| status.collision_count)
        .unwrap_or(0);
    let hash = template::hash(&spec.template, collisions);
    let mut pod_template = spec.template.clone();
    pod_template
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default()
        .insert(template::HASH_LABEL.into(), hash.clone());
    let mut selector = spec.selector.clone();
    selector
        .match_labels
        .get_or_insert_default()
        .insert(template::HASH_LABEL.into(), hash.clone());
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels: pod_template
                .metadata
                .as_ref()
                .and_then(|meta| meta.labels.clone()),
            annotations: Some(copied_annotations(deployment.annotations())),
            owner_references: deployment.controller_owner_ref(&()).map(|owner| {
                vec![OwnerReference {
                    block_owner_deletion: Some(true),
                    ..owner
                }]
            }),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            replicas: Some(0),
            selector,
            template: Some(pod_template),
        }),
        status: None,
    };
    let size = if is_rolling(deployment) {
        scale::new_size(round, 0)
    } else {
        bounds.desired
    };
    set_replicas(&mut set, size);
    scale::note_size(&mut set, bounds);
    let number = latest_revision(round) + 1;
    set.annotations_mut()
        .insert(REVISION.into(), number.to_string());
    if size > 0 {
        let message = format!("Scaled up replica set {} from 0 to {size}", set.name_any());
        round
            .plan
            .events
            .push(Occurrence::normal("ScalingReplicaSet", message));
    }
    round.plan.writes.push(Write::Create(Box::new(set.clone())));
    note_revision(round, number);
    round.appeared = Some(Appeared::Created(set.name_any()));
    round.new = Some(set);
}

/// Returns whether this reconciliation creates the new ReplicaSet. Everything else then waits for
/// the next one.
pub(super) fn was_just_made(round: &Round<'_>) -> bool {
    matches!(round.appeared, Some(Appeared::Created(_)))
}

/// Gives the ReplicaSet of the current template the highest revision, as it may be an old one after a
/// rollback, and updates its annotations and minReadySeconds.
pub(super) fn adopt_revision(round: &mut Round<'_>) {
    let Some(mut set) = round.new.clone() else {
        return;
    };
    let before = set.clone();
    let highest = latest_revision(round) + 1;
    let own = revision(set.annotations());
    set.annotations_mut()
        .extend(copied_annotations(round.deployment.annotations()));
    if own < highest {
        if own > 0 {
            remember(set.annotations_mut(), own);
        }
        set.annotations_mut()
            .insert(REVISION.into(), highest.to_string());
    }
    scale::note_size(&mut set, bounds(round.deployment));
    let min_ready = round
        .deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.min_ready_seconds);
    if let Some(spec) = &mut set.spec
        && spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0)
    {
        spec.min_ready_seconds = min_ready;
    }
    let sizes_only = only_sizes_differ(&before, &set);
    if set != before && !sizes_only {
        round.update(&set);
    }
    note_revision(round, revision(set.annotations()));
    round.appeared = Some(Appeared::Found(set.name_any()));
    // Keep the recorded size. It shows whether the Deployment has been scaled since.
    if !sizes_only {
        round.new = Some(set);
    }
}

fn only_sizes_differ(before: &ReplicaSet, after: &ReplicaSet) -> bool {
    let without = |set: &ReplicaSet| {
        let mut set = set.clone();
        for name in [super::fields::DESIRED, super::fields::MAX] {
            set.annotations_mut().remove(name);
        }
        set
    };
    without(before) == without(after)
}

fn note_revision(round: &mut Round<'_>, number: i64) {
    if revision(round.deployment.annotations()) != number {
        round.plan.writes.push(Write::Revision(number.to_string()));
    }
}

fn latest_revision(round: &Round<'_>) -> i64 {
    round
        .old
        .iter()
        .map(|set| revision(set.annotations()))
        .max()
        .unwrap_or(0)
}

fn copied_annotations(of: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    of.iter()
        .filter(|(name, _)| !NOT_COPIED.contains(&name.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// Appends a previous revision of the set to its history annotation. Drops the oldest ones if it is
/// full.
fn remember(annotations: &mut BTreeMap<String, String>, number: i64) {
    let history = annotations.entry(REVISION_HISTORY.into()).or_default();
    *history = if history.is_empty() {
        number.to_string()
    } else {
        format!("{history},{number}")
    };
    while history.len() > MAX_HISTORY {
        *history = history
            .split_once(',')
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default();
    }
}

/// Deletes the oldest ReplicaSets beyond `revisionHistoryLimit`, but only those without pods.
pub(super) fn clean_up(round: &mut Round<'_>) {
    let limit = round
        .deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.revision_history_limit)
        .unwrap_or(10);
    let mut alive: Vec<&ReplicaSet> = round
        .old
        .iter()
        .filter(|set| set.metadata.deletion_timestamp.is_none())
        .collect();
    let surplus = alive
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(0));
    alive.sort_by_key(|set| {
        (
            revision(set.annotations()),
            set.metadata.creation_timestamp.clone(),
        )
    });
    let is_history = |set: &&&ReplicaSet| {
        let observed = set
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        actual(set) == 0 && replicas(set) == 0 && observed >= set.metadata.generation
    };
    let gone = alive
        .iter()
        .take(surplus)
        .filter(is_history)
        .map(|set| Write::Delete {
            name: set.name_any(),
            uid: set.uid(),
        });
    let gone: Vec<Write> = gone.collect();
    round.plan.writes.extend(gone);
}
