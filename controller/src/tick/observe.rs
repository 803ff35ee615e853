//! Everything one tick needs to know, from the local copies.

use std::collections::BTreeMap;

use canary_engine::observed::{Objects, Observed, Presence, PrimaryState, TargetState, Workload};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    api::CanaryStatus,
    cluster::{CHECKSUM_ANNOTATION, Cluster, Kind, Object, digest, json_of},
    objects::{
        configs::{self, ConfigRef},
        services::{Role, Wanted},
    },
    process::settings::Settings,
    release::{
        Release,
        problem::{Problem, Problems},
        status,
    },
    routing::Router,
    targets::deployment::{CONFIGS_ANNOTATION, REVISION_ANNOTATION},
};

/// Observes the world around one canary.
///
/// # Errors
/// When a mandatory ConfigMap or Secret of the target is missing.
pub fn observe(
    release: &Release,
    status: &CanaryStatus,
    cluster: &Cluster,
    router: &dyn Router,
    settings: &Settings,
    now: Timestamp,
) -> Result<Observed, Problems> {
    let namespace = release.namespace();
    let primary = cluster.get(Kind::DEPLOYMENT, namespace, &release.primary());
    let primary = primary.map(|object| primary_state(&object));
    let route = router.observe(release, cluster);
    let status = status::read(status);
    let Some(target) = cluster.get(Kind::DEPLOYMENT, namespace, release.target()) else {
        // The generated objects depend on the target's pods.
        return Ok(Observed {
            now,
            target: TargetState {
                gone: true,
                workload: Workload::default(),
                revision: status.last_applied.clone().unwrap_or_default(),
                configs: status.tracked_configs.clone(),
            },
            status,
            primary,
            objects: Objects {
                canary_service: Presence::Current,
                primary_service: Presence::Current,
                apex_service: Presence::Current,
                route: route.presence,
            },
            route: route.weights,
            route_pending: route.pending,
            route_pending_since: None,
        });
    };
    let target = json_of(&target);
    let find = |reference: &ConfigRef| {
        cluster
            .get(reference.kind, namespace, &reference.name)
            .map(|object| {
                let checksum = object
                    .metadata
                    .annotations
                    .as_ref()
                    .and_then(|all| all.get(CHECKSUM_ANNOTATION));
                (
                    configs::is_trackable(reference.kind, &object),
                    checksum.cloned().unwrap_or_default(),
                )
            })
    };
    let tracked = tracked(&target, settings.config_tracking, find)
        .map_err(|missing| Problems(vec![missing]))?;
    let owner = release.owner();
    let wanted = services(release, &target, &owner);
    let service = |role| service_presence(&wanted, role, cluster);
    Ok(Observed {
        now,
        status,
        target: TargetState {
            gone: false,
            workload: workload(&target),
            revision: digest::revision(&target),
            configs: by_status_key(&tracked),
        },
        primary,
        objects: Objects {
            canary_service: service(Role::Canary),
            primary_service: service(Role::Primary),
            apex_service: service(Role::Apex),
            route: route.presence,
        },
        route: route.weights,
        route_pending: route.pending,
        route_pending_since: None,
    })
}

/// The ConfigMaps and Secrets of a target that are tracked, with their checksums. `find` says of one that exists
/// whether it may be tracked, and its checksum.
///
/// # Errors
/// When one is missing that the pods cannot start without.
pub fn tracked(
    target: &Value,
    enabled: bool,
    find: impl Fn(&ConfigRef) -> Option<(bool, String)>,
) -> Result<BTreeMap<ConfigRef, String>, Problem> {
    let mut tracked = BTreeMap::new();
    if !enabled {
        return Ok(tracked);
    }
    for (reference, optional) in configs::references(&target["spec"]["template"]["spec"]) {
        match find(&reference) {
            Some((true, checksum)) => drop(tracked.insert(reference, checksum)),
            Some((false, _)) => {}
            None if optional => {}
            None => {
                return Err(Problem {
                    field: "spec.targetRef".to_owned(),
                    message: format!(
                        "the pods of {} need {} \"{}\", which does not exist",
                        target["metadata"]["name"].as_str().unwrap_or_default(),
                        reference.kind,
                        reference.name
                    ),
                    fix: "create it, or mark the reference as optional".to_owned(),
                });
            }
        }
    }
    Ok(tracked)
}

/// Tracked configuration as the status and the engine name it.
#[must_use]
pub fn by_status_key(tracked: &BTreeMap<ConfigRef, String>) -> BTreeMap<String, String> {
    tracked
        .iter()
        .map(|(reference, sum)| (reference.status_key(), sum.clone()))
        .collect()
}

/// The three Services that are wanted for a release.
#[must_use]
pub fn services<'a>(release: &'a Release, target: &'a Value, owner: &'a Value) -> Wanted<'a> {
    Wanted {
        service_name: &release.service_name,
        namespace: release.namespace(),
        spec: &release.service,
        selector: &release.selector,
        pod_spec: &target["spec"]["template"]["spec"],
        owner,
    }
}

fn service_presence(wanted: &Wanted, role: Role, cluster: &Cluster) -> Presence {
    let name = role.name(wanted.service_name);
    match cluster
        .get(Kind::SERVICE, wanted.namespace, &name)
        .map(|object| json_of(&object))
    {
        None => Presence::Missing,
        Some(existing) if wanted.build(role, Some(&existing)) == existing => Presence::Current,
        Some(_) => Presence::Drifted,
    }
}

fn primary_state(object: &Object) -> PrimaryState {
    let annotations = object.metadata.annotations.as_ref();
    let annotation = |name: &str| annotations.and_then(|all| all.get(name));
    PrimaryState {
        workload: workload(&json_of(object)),
        copied_revision: annotation(REVISION_ANNOTATION).cloned(),
        copied_configs: annotation(CONFIGS_ANNOTATION)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
    }
}

/// Replica counts and conditions of a Deployment.
fn workload(deployment: &Value) -> Workload {
    let status = &deployment["status"];
    let count = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let conditions = status["conditions"].as_array();
    let condition = |kind: &str| {
        conditions
            .into_iter()
            .flatten()
            .find(|one| one["type"] == kind)
    };
    let unavailable = condition("Available")
        .filter(|one| one["status"] == "False" && one["reason"] == "MinimumReplicasUnavailable");
    let updated = |one: &Value| one["lastUpdateTime"].as_str()?.parse().ok();
    let generation = deployment["metadata"]["generation"].as_i64().unwrap_or(0);
    Workload {
        replicas_wanted: count(&deployment["spec"]["replicas"]).unwrap_or(1),
        replicas: count(&status["replicas"]).unwrap_or(0),
        updated: count(&status["updatedReplicas"]).unwrap_or(0),
        available: count(&status["availableReplicas"]).unwrap_or(0),
        generation_observed: status["observedGeneration"].as_i64().unwrap_or(0) >= generation,
        behind_since: None,
        unready_since: None,
        // Without a time it is taken for the news that it may be.
        deadline_exceeded: condition("Progressing")
            .filter(|one| one["reason"] == "ProgressDeadlineExceeded")
            .map(|one| updated(one).unwrap_or(Timestamp::MAX)),
        unavailable_since: unavailable.and_then(updated),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_and_conditions_of_a_deployment() {
        let found = workload(&json!({
            "metadata": { "generation": 3 }, "spec": { "replicas": 2 },
            "status": { "observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2,
                "conditions": [
                    { "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
                      "lastUpdateTime": "2023-11-14T22:13:20Z" },
                    { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                      "lastUpdateTime": "2023-11-14T22:23:20Z" } ] } }));
        assert_eq!(
            found,
            Workload {
                replicas_wanted: 2,
                replicas: 3,
                updated: 1,
                available: 2,
                generation_observed: false,
                behind_since: None,
                unready_since: None,
                deadline_exceeded: Some(Timestamp::from_second(1_700_000_600).unwrap()),
                unavailable_since: Some(Timestamp::from_second(1_700_000_000).unwrap()),
            }
        );
    }

    #[test]
    fn a_deployment_without_status_has_nothing_and_wants_one() {
        let found = workload(&json!({ "metadata": { "generation": 1 }, "spec": {} }));
        assert_eq!(
            (
                found.replicas_wanted,
                found.available,
                found.generation_observed
            ),
            (1, 0, false)
        );
    }

    #[test]
    fn a_missing_mandatory_config_is_a_problem_and_a_missing_optional_one_is_not() {
        let target = |optional: bool| {
            json!({ "metadata": { "name": "app" }, "spec": { "template": { "spec": { "containers": [
                { "envFrom": [{ "secretRef": { "name": "s", "optional": optional } }] } ] } } } })
        };
        assert_eq!(tracked(&target(true), true, |_| None), Ok(BTreeMap::new()));
        let problem = tracked(&target(false), true, |_| None).unwrap_err();
        assert!(problem.message.contains("Secret \"s\""), "{problem}");
        assert_eq!(
            tracked(&target(false), false, |_| None),
            Ok(BTreeMap::new())
        );
    }
}
