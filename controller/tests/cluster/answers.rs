//! Errors of the API server. A refusal is reported with its source, in the server's words. A response that does not
//! come from a ready API server has no effect.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use controller::cluster::{Cluster, Kind, Notify};
use controller::routing;
use localcluster_apiserver::admission::{Answer, Denial, Failure, Quota, Refusal};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    docs,
    gateway_api::{Gateways, deploy_other},
    log,
    recorder::first_moments,
    release::TRANSCRIPT,
    world::{World, canary},
};

const VIRTUAL_SERVICES: &str = "virtualservices.networking.istio.io";

/// Waits for the only Warning event, and checks that the status has it too and that it is readable.
async fn refusal(world: &World) -> String {
    world
        .until("the refusal", async || {
            world.status("simple-app").await["waiting"]["reason"] == "Refused"
        })
        .await;
    // Retries must not publish another message.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let events = world.events("simple-app").await;
    let mut warnings = events
        .iter()
        .filter_map(|event| event.strip_prefix("Warning "));
    let warning = warnings.next().unwrap().to_owned();
    assert_eq!(warnings.next(), None, "{events:#?}");
    let waiting = &world.status("simple-app").await["waiting"]["message"];
    assert_eq!(*waiting, warning.as_str());
    assert!(docs::is_explained(&warning), "no row for: {warning}");
    for dump in log::DUMPS {
        assert!(!warning.contains(dump), "{dump}: {warning}");
    }
    let sentence = warning.split(": ").nth(1).unwrap();
    assert_eq!(warning.matches(sentence).count(), 1, "{warning}");
    // A dry run was refused.
    let refused = warning.strip_suffix("; nothing has been made yet");
    refused.expect(&warning).to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_exceeded_quota_is_reported_with_its_name() {
    let world = World::new().await;
    let _running = world.start();
    let admission = world.server.admission();
    admission.set_quotas([Quota::new("default", "deployments.apps", 1)]);
    world.deploy(&canary()).await;
    let warning = refusal(&world).await;
    assert_eq!(
        warning,
        "create Deployment default/simple-app-primary: deployments.apps \"simple-app-primary\" is forbidden: exceeded \
         quota: objects, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: \
         count/deployments.apps=1; raise ResourceQuota \"objects\", or delete unused objects"
    );
    admission.set_quotas([]);
    world.phase("simple-app", "Initialized").await;
}

#[tokio::test(start_paused = true)]
async fn a_denial_names_the_admission_webhook() {
    let world = World::new().await;
    let _running = world.start();
    let admission = world.server.admission();
    let why = "images must come from our registry";
    admission.set_denials([Denial {
        name: "simple-app-primary".to_owned(),
        ..Denial::by_webhook("deployments.apps", why)
    }]);
    world.deploy(&canary()).await;
    let warning = refusal(&world).await;
    assert_eq!(
        warning,
        "create Deployment default/simple-app-primary: admission webhook \"deny.example.com\" denied the request: images \
         must come from our registry; comply with admission webhook \"deny.example.com\", or exempt this object from it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_security_violation_names_the_level() {
    let world = World::new().await;
    let _running = world.start();
    let refusal_of_pods = Refusal::PodSecurity {
        policy: "restricted:latest".to_owned(),
        why: "allowPrivilegeEscalation != false".to_owned(),
    };
    world.server.admission().set_denials([Denial {
        name: "simple-app-primary".to_owned(),
        refusal: refusal_of_pods,
        ..Denial::by_webhook("deployments.apps", "")
    }]);
    world.deploy(&canary()).await;
    let warning = refusal(&world).await;
    let end = "violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false; change the pods to \
               comply with \"restricted:latest\", or change the namespace's label pod-security.kubernetes.io/enforce";
    assert!(warning.ends_with(end), "{warning}");
}

/// Removes a rule from the controller's ClusterRole.
async fn take_rule(world: &World, group: &str, resource: &str) {
    let rules = crate::manifests::rbac();
    let mut role = rules
        .into_iter()
        .find(|rule| rule["kind"] == "ClusterRole")
        .unwrap();
    let rules = role["rules"].as_array_mut().unwrap();
    let before = rules.len();
    rules.retain(|rule| {
        let lists =
            |field: &str, word: &str| rule[field].as_array().unwrap().contains(&json!(word));
        !(lists("apiGroups", group) && lists("resources", resource))
    });
    assert!(rules.len() < before, "{resource}");
    world.apply_rule(&role).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_reported_with_the_rule_to_grant() {
    let world = World::new().await;
    let _running = world.start();
    // Wait for the initial lists, which need the permission.
    tokio::time::sleep(Duration::from_secs(5)).await;
    take_rule(&world, "networking.istio.io", "virtualservices").await;
    world.deploy(&canary()).await;
    let warning = refusal(&world).await;
    let end = "in the namespace \"default\"; grant \"get\" on destinationrules.networking.istio.io in namespace default by \
               RBAC, as manifests/controller/rbac.yaml does";
    assert!(warning.ends_with(end), "{warning}");
    world.apply_rules().await;
    world.phase("simple-app", "Initialized").await;
}

#[tokio::test(start_paused = true)]
async fn enforced_owner_references_are_reported_with_the_permission_on_the_owner() {
    let world = World::new().await;
    let _running = world.start();
    world.server.admission().set_enforces_owners(true);
    take_rule(&world, "flagger.app", "canaries/finalizers").await;
    world.deploy(&canary()).await;
    let warning = refusal(&world).await;
    let end = "OwnerReferencesPermissionEnforcement is enabled, so setting the owner requires \"update\" on \
               canaries.flagger.app/finalizers in namespace default: grant it by RBAC";
    assert!(warning.ends_with(end), "{warning}");
    world.apply_rules().await;
    world.phase("simple-app", "Initialized").await;
}

#[tokio::test(start_paused = true)]
async fn a_404_in_plain_text_does_not_mean_that_the_object_is_missing() {
    let world = World::new().await;
    let (notify, end): (Notify, _) = (Arc::new(|_| {}), CancellationToken::new());
    let cluster = Cluster::watch(
        world.client.clone(),
        &routing::watched_kinds(),
        None,
        &notify,
        &end,
    );
    world
        .apply(
            Kind::CONFIG_MAP,
            &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" } }),
        )
        .await;
    let failing = Answer::failing("get", "configmaps", Failure::page_not_found());
    world.server.admission().set_answers([failing.times(1)]);
    let failure = cluster.live(Kind::CONFIG_MAP, "default", "c").await;
    assert_eq!(
        failure.unwrap_err().to_string(),
        "get ConfigMap default/c: the API server or a proxy in front of it returned 404: page not found"
    );
    let found = cluster.live(Kind::CONFIG_MAP, "default", "c").await;
    assert!(found.unwrap().is_some());
    let missing = cluster.live(Kind::CONFIG_MAP, "default", "none").await;
    assert!(missing.unwrap().is_none());
}

/// The API server restarts in the middle of a release, three times.
#[tokio::test(start_paused = true)]
async fn a_starting_api_server_does_not_affect_a_release() {
    let world = World::new().await;
    let left = Arc::new(AtomicUsize::new(12));
    let through = Arc::clone(&left);
    let _running = world.start_through(|client| first_moments(client, through));
    world.initialize(&canary()).await;
    let before = world.events("simple-app").await.len();
    world.set_image("1.0.1").await;
    for weight in [10, 30] {
        world.weight(weight).await;
        left.store(8, Ordering::Relaxed);
    }
    world.phase("simple-app", "Succeeded").await;
    let events = world.events("simple-app").await;
    assert_eq!(
        events[before..],
        TRANSCRIPT.map(String::from),
        "{events:#?}"
    );
    assert!(
        !events.iter().any(|event| event.starts_with("Warning")),
        "{events:#?}"
    );
}

/// The response of an API server that has not loaded its roles yet.
fn not_authorized() -> Failure {
    let message = "virtualservices.networking.istio.io is forbidden: User \"system:serviceaccount:istio-system:canary-controller\" \
                   cannot list resource \"virtualservices\" in API group \"networking.istio.io\" at the cluster scope";
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": message });
    Failure::Text(403, status.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_briefly_refuses_no_canary() {
    for failure in [Failure::page_not_found(), not_authorized()] {
        let world = World::new().await;
        let failing = Answer::failing("list", VIRTUAL_SERVICES, failure.clone());
        world.server.admission().set_answers([failing.times(4)]);
        let _running = world.start();
        let begin = tokio::time::Instant::now();
        world.initialize(&canary()).await;
        assert!(
            begin.elapsed() < Duration::from_secs(40),
            "{failure:?}: {:?}",
            begin.elapsed()
        );
        let events = world.events("simple-app").await;
        assert!(
            !events.iter().any(|event| event.starts_with("Warning")),
            "{failure:?}: {events:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_permission_to_list_that_stays_missing_refuses_only_the_canaries_of_that_provider() {
    let world = World::new().await;
    let failing = Answer::failing("list", VIRTUAL_SERVICES, not_authorized());
    world.server.admission().set_answers([failing]);
    let (_running, _gateways) = (world.start(), Gateways::start(&world));
    world.deploy(&canary()).await;
    deploy_other(&world).await;
    world.phase("other", "Initialized").await;
    world
        .until("the refusal", async || {
            !world.events("simple-app").await.is_empty()
        })
        .await;
    let events = world.events("simple-app").await;
    let words = "at the cluster scope; grant \"list\" and \"watch\" on virtualservices.networking.istio.io in the whole \
                 cluster by RBAC (the cluster is asked again";
    assert!(
        events.len() == 1 && events[0].contains(words),
        "{events:#?}"
    );
    world.server.admission().set_answers([]);
    world.phase("simple-app", "Initialized").await;
}

/// A real API server responds to a request for a kind without a definition with a 404 in plain text. Discovery then
/// shows whether the kind exists.
#[tokio::test(start_paused = true)]
async fn a_kind_that_is_absent_from_discovery_is_missing_even_if_the_404_is_plain_text() {
    let mesh = localcluster_mesh::crds().into_iter();
    let mesh = mesh.map(|crd| serde_json::to_value(crd).unwrap());
    let kept = mesh.filter(|crd: &Value| crd["spec"]["group"] != "gateway.networking.k8s.io");
    let world = World::with_definitions(kept).await;
    let resource = "httproutes.gateway.networking.k8s.io";
    let failing = Answer::failing(
        "",
        "/apis/gateway.networking.k8s.io",
        Failure::page_not_found(),
    );
    world.server.admission().set_answers([failing]);
    let _running = world.start();
    let begin = tokio::time::Instant::now();
    world.initialize(&canary()).await;
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
    deploy_other(&world).await;
    world
        .until("the refusal", async || {
            !world.events("other").await.is_empty()
        })
        .await;
    let events = world.events("other").await;
    let words =
        format!("spec.provider: {resource} is not served; apply its CustomResourceDefinition");
    assert!(events[0].contains(&words), "{events:#?}");
}
