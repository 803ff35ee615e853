//! Accessors of Deployments and ReplicaSets that apply defaults.

use k8s_openapi::{
    api::apps::v1::{Deployment, ReplicaSet},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of the Deployment that are not copied to its ReplicaSets.
pub(super) const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// Limits on the number of pods during a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) desired: i32,
    /// Allowed pods above `desired`.
    pub(super) surge: i32,
    /// Allowed unavailable pods below `desired`.
    pub(super) unavailable: i32,
}

impl Bounds {
    pub(super) fn most(self) -> i32 {
        self.desired + self.surge
    }

    pub(super) fn least_available(self) -> i32 {
        self.desired - self.unavailable
    }
}

pub(super) fn is_rolling(deployment: &Deployment) -> bool {
    let strategy = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref());
    strategy
        .and_then(|strategy| strategy.type_.as_deref())
        .is_none_or(|type_| type_ == "RollingUpdate")
}

/// Resolves percentages, rounding the surge up and the unavailable pods down. If both are zero, one
/// pod may be unavailable, as the rollout could not progress otherwise (Kubernetes:
/// `ResolveFenceposts`).
pub(super) fn bounds(deployment: &Deployment) -> Bounds {
    let spec = deployment.spec.as_ref();
    let desired = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    if !is_rolling(deployment) {
        return Bounds {
            desired,
            surge: 0,
            unavailable: 0,
        };
    }
    let rolling = spec
        .and_then(|spec| spec.strategy.as_ref())
        .and_then(|strategy| strategy.rolling_update.clone());
    let rolling = rolling.unwrap_or_default();
    let surge = resolve(rolling.max_surge.as_ref(), desired, true);
    let unavailable = resolve(rolling.max_unavailable.as_ref(), desired, false);
    let unavailable = if surge == 0 && unavailable == 0 {
        1
    } else {
        unavailable
    };
    Bounds {
        desired,
        surge,
        unavailable: unavailable.min(desired),
    }
}

fn resolve(value: Option<&IntOrString>, of: i32, up: bool) -> i32 {
    let percent = match value {
        None => 25,
        Some(IntOrString::Int(number)) => return (*number).max(0),
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse().unwrap_or(0),
    };
    let scaled = i64::from(of) * i64::from(percent.max(0));
    let rounded = if up {
        (scaled + 99) / 100
    } else {
        scaled / 100
    };
    i32::try_from(rounded).unwrap_or(i32::MAX)
}

pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

pub(super) fn set_replicas(set: &mut ReplicaSet, count: i32) {
    set.spec.get_or_insert_default().replicas = Some(count);
}

pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

/// Returns the available pods of a set, capped at its desired size. The status lags behind the size,
/// and counting pods that are about to be deleted would lead to deleting too many.
pub(super) fn lasting(set: &ReplicaSet) -> i32 {
    available(set).min(replicas(set))
}

pub(super) fn ready(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0)
}

pub(super) fn number(set: &ReplicaSet, annotation: &str) -> Option<i32> {
    set.annotations().get(annotation)?.parse().ok()
}

/// The revision; 0 if there is none.
pub(super) fn revision(annotations: &std::collections::BTreeMap<String, String>) -> i64 {
    annotations
        .get(REVISION)
        .and_then(|revision| revision.parse().ok())
        .unwrap_or(0)
}

pub(super) fn deadline(deployment: &Deployment) -> Option<i64> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != i32::MAX).then_some(i64::from(seconds))
}

pub(super) fn is_paused(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_are_rounded_as_in_kubernetes() {
        let of = |replicas: i32, surge: serde_json::Value, unavailable: serde_json::Value| {
            let deployment = serde_json::from_value(json!({"spec": {
                "replicas": replicas, "selector": {}, "template": {},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            }}))
            .unwrap();
            let Bounds {
                surge, unavailable, ..
            } = bounds(&deployment);
            (surge, unavailable)
        };
        assert_eq!(of(10, json!("25%"), json!("25%")), (3, 2));
        assert_eq!(of(1, json!("25%"), json!("25%")), (1, 0));
        assert_eq!(of(3, json!(1), json!(0)), (1, 0));
        assert_eq!(
            of(3, json!(0), json!("10%")),
            (0, 1),
            "both zero: one may be unavailable"
        );
        assert_eq!(
            of(2, json!("100%"), json!(5)),
            (2, 2),
            "at most all pods can be unavailable"
        );
        assert_eq!(of(0, json!("25%"), json!("25%")), (0, 0));
    }
}
