//! The status of a Deployment.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::apps::v1::{DeploymentCondition, DeploymentStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use super::{
    fields::{actual, available, bounds, deadline, is_paused, ready},
    round::{Appeared, Round},
};

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// Returns whether all desired pods are updated and available, no others are left, and the latest
/// generation has been observed.
pub(super) fn is_complete(
    status: &DeploymentStatus,
    desired: i32,
    generation: Option<i64>,
) -> bool {
    let same = |count: Option<i32>| count.unwrap_or(0) == desired;
    same(status.updated_replicas)
        && same(status.replicas)
        && same(status.available_replicas)
        && status.observed_generation >= generation
}

/// Computes the status and adds it to the plan if it differs from the stored one.
pub(super) fn settle(round: &mut Round<'_>) {
    let deployment = round.deployment;
    let stored = deployment.status.clone().unwrap_or_default();
    let mut status = count(round, &stored);
    let now = round.view.now;
    let mut conditions = Conditions {
        all: stored.conditions.clone().unwrap_or_default(),
        now,
    };
    let bounds = bounds(deployment);
    if status.available_replicas.unwrap_or(0) >= bounds.least_available() {
        conditions.set(
            AVAILABLE,
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        );
    } else {
        conditions.set(
            AVAILABLE,
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        );
    }
    if deployment.metadata.deletion_timestamp.is_none() {
        match deadline(deployment) {
            None => conditions.remove(PROGRESSING),
            Some(seconds) => progress(round, &stored, &status, &mut conditions, seconds),
        }
        failures(round, &mut conditions);
    }
    conditions.all.sort_by(|a, b| a.type_.cmp(&b.type_));
    status.conditions = Some(conditions.all);
    round.plan.requeue_after = requeue_after(round, &status);
    let mut stored = stored;
    if let Some(conditions) = &mut stored.conditions {
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    }
    round.plan.status = (deployment.status.is_none() || status != stored).then_some(status);
}

fn count(round: &Round<'_>, stored: &DeploymentStatus) -> DeploymentStatus {
    let sum =
        |of: fn(&k8s_openapi::api::apps::v1::ReplicaSet) -> i32| round.all().map(of).sum::<i32>();
    // The API omits zeros.
    let some = |count: i32| Some(count).filter(|count| *count > 0);
    let (total, up) = (sum(actual), sum(available));
    DeploymentStatus {
        observed_generation: round.deployment.metadata.generation,
        replicas: some(total),
        updated_replicas: some(round.new.as_ref().map_or(0, actual)),
        ready_replicas: some(sum(ready)),
        available_replicas: some(up),
        unavailable_replicas: some(total - up),
        collision_count: stored.collision_count,
        ..DeploymentStatus::default()
    }
}

fn progress(
    round: &Round<'_>,
    stored: &DeploymentStatus,
    status: &DeploymentStatus,
    conditions: &mut Conditions,
    deadline: i64,
) {
    let deployment = round.deployment;
    let reason = |conditions: &Conditions| {
        conditions
            .get(PROGRESSING)
            .and_then(|c| c.reason.clone())
            .unwrap_or_default()
    };
    if is_paused(deployment) {
        if reason(conditions) != "DeploymentPaused" && reason(conditions) != TIMED_OUT {
            conditions.set(
                PROGRESSING,
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused",
            );
        }
        return;
    }
    if reason(conditions) == "DeploymentPaused" {
        conditions.set(
            PROGRESSING,
            "Unknown",
            "DeploymentResumed",
            "Deployment is resumed",
        );
    }
    match &round.appeared {
        Some(Appeared::Created(name)) => {
            if let Some(error) = round.view.create_error {
                conditions.set(PROGRESSING, "False", "ReplicaSetCreateError", error);
            } else {
                conditions.set(
                    PROGRESSING,
                    "True",
                    "NewReplicaSetCreated",
                    &format!("Created new replica set \"{name}\""),
                );
            }
            return;
        }
        Some(Appeared::Found(name)) if conditions.get(PROGRESSING).is_none() => {
            conditions.set(
                PROGRESSING,
                "True",
                "FoundNewReplicaSet",
                &format!("Found new replica set \"{name}\""),
            );
        }
        _ => {}
    }
    // After a completed rollout, the loss of a pod does not make the Deployment progress again.
    let arrived = status.replicas == status.updated_replicas && reason(conditions) == NEW_AVAILABLE;
    if arrived {
        return;
    }
    let subject = match &round.new {
        Some(set) => format!("ReplicaSet \"{}\"", set.name_any()),
        None => format!("Deployment \"{}\"", deployment.name_any()),
    };
    let old_pods =
        |of: &DeploymentStatus| of.replicas.unwrap_or(0) - of.updated_replicas.unwrap_or(0);
    let moved = status.updated_replicas > stored.updated_replicas
        || old_pods(status) < old_pods(stored)
        || status.ready_replicas > stored.ready_replicas
        || status.available_replicas > stored.available_replicas;
    let desired = bounds(deployment).desired;
    if is_complete(status, desired, deployment.metadata.generation) {
        conditions.set(
            PROGRESSING,
            "True",
            NEW_AVAILABLE,
            &format!("{subject} has successfully progressed."),
        );
    } else if moved {
        conditions.refresh(
            PROGRESSING,
            "True",
            "ReplicaSetUpdated",
            &format!("{subject} is progressing."),
        );
    } else if reason(conditions) == TIMED_OUT
        // The deadline of this rollout does not count from the end of the last one. (In Kubernetes, a reused
        // ReplicaSet, e.g. after `rollout undo`, reports no progress until its pods appear.)
        || reason(conditions) != NEW_AVAILABLE
            && conditions
                .last_update(PROGRESSING)
                .is_some_and(|at| passed(at, deadline, conditions.now))
    {
        conditions.set(
            PROGRESSING,
            "False",
            TIMED_OUT,
            &format!("{subject} has timed out progressing."),
        );
    }
}

fn passed(since: Timestamp, seconds: i64, now: Timestamp) -> bool {
    now.duration_since(since) >= SignedDuration::from_secs(seconds)
}

fn failures(round: &Round<'_>, conditions: &mut Conditions) {
    let failed = round.new.iter().chain(&round.old).find_map(|set| {
        let all = set.status.as_ref()?.conditions.as_ref()?;
        all.iter()
            .find(|condition| condition.type_ == REPLICA_FAILURE)
    });
    match failed {
        Some(failed) => conditions.set(
            REPLICA_FAILURE,
            &failed.status,
            failed.reason.as_deref().unwrap_or_default(),
            failed.message.as_deref().unwrap_or_default(),
        ),
        None => conditions.remove(REPLICA_FAILURE),
    }
}

/// Returns the time until the progress deadline, which passes without an event.
fn requeue_after(round: &Round<'_>, status: &DeploymentStatus) -> Option<SignedDuration> {
    let seconds = deadline(round.deployment)?;
    let progressing = status
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == PROGRESSING)?;
    let over = matches!(
        progressing.reason.as_deref(),
        Some(NEW_AVAILABLE | TIMED_OUT | "DeploymentPaused")
    );
    if over {
        return None;
    }
    let since = progressing.last_update_time.as_ref()?.0;
    let left = SignedDuration::from_secs(seconds) - round.view.now.duration_since(since);
    Some(left.max(SignedDuration::ZERO))
}

struct Conditions {
    all: Vec<DeploymentCondition>,
    now: Timestamp,
}

impl Conditions {
    fn get(&self, type_: &str) -> Option<&DeploymentCondition> {
        self.all.iter().find(|condition| condition.type_ == type_)
    }

    fn last_update(&self, type_: &str) -> Option<Timestamp> {
        self.get(type_)?
            .last_update_time
            .as_ref()
            .map(|time| time.0)
    }

    fn remove(&mut self, type_: &str) {
        self.all.retain(|condition| condition.type_ != type_);
    }

    /// Sets a condition. With the same status and reason it remains unchanged, including time and
    /// message.
    fn set(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let same =
            |c: &DeploymentCondition| c.status == status && c.reason.as_deref() == Some(reason);
        if !self.get(type_).is_some_and(same) {
            self.refresh(type_, status, reason, message);
        }
    }

    /// Sets a condition and its update time, even if it is unchanged.
    fn refresh(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let kept = self
            .get(type_)
            .filter(|c| c.status == status)
            .and_then(|c| c.last_transition_time.clone());
        self.remove(type_);
        self.all.push(DeploymentCondition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_update_time: Some(Time(self.now)),
            last_transition_time: kept.or(Some(Time(self.now))),
        });
    }
}
