use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn set(replicas: i32, extra: Value) -> ReplicaSet {
    let mut set: ReplicaSet = serde_json::from_value(json!({
        "metadata": {"name": "app-1", "namespace": "default", "uid": "set", "generation": 3},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a", "hash": "1"}}, "spec": {"containers": []}},
        },
    }))
    .unwrap();
    if let Some(seconds) = extra.get("minReadySeconds").and_then(Value::as_i64) {
        set.spec.as_mut().unwrap().min_ready_seconds = Some(i32::try_from(seconds).unwrap());
    }
    set
}

/// A pod of the set, ready for `ready_for` seconds or not ready.
fn pod(name: &str, ready_for: Option<i64>) -> Pod {
    let since = now() - SignedDuration::from_secs(ready_for.unwrap_or(0));
    let ready = if ready_for.is_some() { "True" } else { "False" };
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "default", "uid": name, "labels": {"app": "a", "hash": "1"},
            "creationTimestamp": "2025-12-31T00:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-1", "uid": "set", "controller": true}],
        },
        "spec": {"nodeName": "local", "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}]},
    }))
    .unwrap()
}

fn decide(set: &ReplicaSet, pods: &[Pod]) -> Plan {
    let pods: Vec<&Pod> = pods.iter().collect();
    plan::plan(View {
        set,
        pods: &pods,
        failure: None,
        unseen: 0,
        now: now(),
    })
}

#[test]
fn missing_pods_are_created_and_surplus_ones_deleted() {
    assert_eq!(decide(&set(3, json!({})), &[pod("a", Some(1))]).create, 2);
    assert_eq!(
        decide(&set(0, json!({})), &[pod("a", Some(1)), pod("b", None)])
            .delete
            .len(),
        2
    );
    let exact = decide(&set(1, json!({})), &[pod("a", Some(1))]);
    assert_eq!((exact.create, exact.delete.len()), (0, 0));
}

#[test]
fn finished_and_terminating_pods_are_replaced() {
    let mut failed = pod("a", None);
    failed.status.as_mut().unwrap().phase = Some("Failed".into());
    let mut terminating = pod("b", Some(1));
    terminating.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    let plan = decide(&set(2, json!({})), &[failed, terminating]);
    assert_eq!((plan.create, plan.delete.len()), (2, 0));
    assert_eq!(plan.status.unwrap().replicas, 0);
}

#[test]
fn a_stale_copy_changes_no_pods() {
    let set = set(3, json!({}));
    let plan = plan::plan(View {
        set: &set,
        pods: &[],
        failure: None,
        unseen: 1,
        now: now(),
    });
    assert_eq!((plan.create, plan.delete.len()), (0, 0));
    assert!(plan.status.is_some(), "the status is still updated");
}

#[test]
fn victims_are_chosen_in_the_order_of_kubernetes() {
    let mut unbound = pod("unbound", None);
    unbound.spec.as_mut().unwrap().node_name = None;
    let mut pending = pod("pending", None);
    pending.status.as_mut().unwrap().phase = Some("Pending".into());
    let mut cheap = pod("cheap", Some(9));
    cheap.annotations_mut().insert(
        "controller.kubernetes.io/pod-deletion-cost".into(),
        "-5".into(),
    );
    let pods = [
        pod("old", Some(100)),
        cheap,
        pod("young", Some(1)),
        pod("unready", None),
        pending,
        unbound,
    ];
    let order = ["unbound", "pending", "unready", "cheap", "young", "old"];
    for keep in 0..=6 {
        assert_eq!(
            decide(&set(keep, json!({})), &pods).delete,
            order[..6 - usize::try_from(keep).unwrap()]
        );
    }
}

#[test]
fn availability_requires_min_ready_seconds_and_schedules_the_next_reconciliation() {
    let set = set(2, json!({"minReadySeconds": 10}));
    let plan = decide(&set, &[pod("a", Some(4)), pod("b", Some(20))]);
    let status = plan.status.unwrap();
    assert_eq!(
        (status.ready_replicas, status.available_replicas),
        (Some(2), Some(1))
    );
    assert_eq!(plan.requeue_after, Some(SignedDuration::from_secs(6)));
}

#[test]
fn orphans_are_adopted_before_anything_is_created() {
    let mut orphan = pod("orphan", Some(1));
    orphan.metadata.owner_references = None;
    let plan = decide(&set(1, json!({})), &[orphan]);
    assert_eq!((plan.adopt, plan.create), (vec!["orphan".to_owned()], 0));
}

#[test]
fn pods_that_no_longer_match_are_released_and_replaced() {
    let mut stray = pod("stray", Some(1));
    stray.labels_mut().insert("app".into(), "debug".into());
    let plan = decide(&set(1, json!({})), &[stray]);
    assert_eq!((plan.release, plan.create), (vec!["stray".to_owned()], 1));
}

#[test]
fn pods_of_another_owner_are_skipped() {
    let mut other = pod("other", Some(1));
    other.metadata.owner_references.as_mut().unwrap()[0].uid = "somebody".into();
    let plan = decide(&set(0, json!({})), &[other]);
    assert_eq!(
        plan,
        Plan {
            status: plan.status.clone(),
            ..Plan::default()
        }
    );
}

#[test]
fn a_failure_is_a_condition_until_it_is_resolved() {
    let mut set = set(1, json!({}));
    let failure = Failure {
        reason: "FailedCreate",
        message: "quota".into(),
    };
    let view = |set: &ReplicaSet, failure| {
        plan::plan(View {
            set,
            pods: &[],
            failure,
            unseen: 0,
            now: now(),
        })
        .status
    };
    let status = view(&set, Some(&failure)).unwrap();
    assert_eq!(
        status.conditions.as_ref().unwrap()[0].reason.as_deref(),
        Some("FailedCreate")
    );
    set.status = Some(status);
    assert_eq!(view(&set, Some(&failure)), None);
    assert_eq!(view(&set, None).unwrap().conditions, None);
}

#[test]
fn a_new_pod_is_owned_named_and_labelled() {
    insta::assert_json_snapshot!(plan::new_pod(&set(1, json!({})), "x2b4z"));
}

#[test]
fn expectations_hold_until_the_pod_is_seen() {
    let expectations = Expectations::default();
    expectations.creating("set", "a");
    expectations.deleting("set", "b");
    assert_eq!(expectations.unseen("set"), 2);
    expectations.saw(&pod("a", None));
    expectations.saw(&pod("b", None));
    assert_eq!(
        expectations.unseen("set"),
        1,
        "b exists, but is not being deleted"
    );
    expectations.saw_deleted(&pod("b", None));
    assert_eq!(expectations.unseen("set"), 0);
    expectations.creating("set", "c");
    expectations.not_created("set", "c");
    assert_eq!(expectations.unseen("set"), 0);
}

proptest! {
    /// For any pods, applying the plan yields the desired number, and no ready pod is deleted while
    /// an unready one is kept.
    #[test]
    fn a_plan_reaches_the_desired_number(desired in 0..8_i32, ready in proptest::collection::vec(proptest::option::of(0..100_i64), 0..8)) {
        let pods: Vec<Pod> = ready.iter().enumerate().map(|(i, ready)| pod(&format!("p{i}"), *ready)).collect();
        let plan = decide(&set(desired, json!({})), &pods);
        prop_assert_eq!(pods.len() + plan.create - plan.delete.len(), usize::try_from(desired).unwrap());
        prop_assert!(plan.create == 0 || plan.delete.is_empty());
        let is_ready = |pod: &&Pod| crate::availability::is_ready(pod);
        let (dead, alive): (Vec<&Pod>, Vec<&Pod>) = pods.iter().partition(|pod| plan.delete.contains(&pod.name_any()));
        prop_assert!(!(dead.iter().any(is_ready) && alive.iter().any(|pod| !is_ready(pod))));
    }

    /// A set in its desired state needs no changes.
    #[test]
    fn a_set_in_its_desired_state_needs_no_changes(count in 0..6_usize) {
        let mut set = set(i32::try_from(count).unwrap(), json!({}));
        let pods: Vec<Pod> = (0..count).map(|i| pod(&format!("p{i}"), Some(5))).collect();
        set.status = decide(&set, &pods).status.or(Some(ReplicaSetStatus::default()));
        prop_assert_eq!(decide(&set, &pods), Plan::default());
    }
}
