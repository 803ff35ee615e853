//! Weights and statuses of the Gateway API with a real Envoy. Requires Envoy on the `PATH` or in `ENVOY`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/http_routes.rs"]
mod http_routes;
#[path = "support/requests.rs"]
mod requests;

use cluster::*;
use http_routes::*;
use hyper::{Method, StatusCode};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use localcluster_mesh::gateway_api::{
    GATEWAY_CONTROLLER, Gateway, GatewayClass, RouteParentStatus,
};
use requests::*;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_in_effect_as_soon_as_the_route_is_accepted() {
    let (cluster, primary, canary) = start(json!([{ "backendRefs": backends(100, 0) }])).await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    let places = [
        (cluster.proxy, "http://app/"),
        (cluster.ingress, "http://localhost:8080/"),
    ];
    for (weight, name) in [(0, "primary"), (100, "canary"), (50, ""), (0, "primary")] {
        cluster
            .set_route(json!({ "rules": [{ "backendRefs": backends(100 - weight, weight) }] }))
            .await;
        cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
        // No waiting from here on: the status is written only once Envoy has the route.
        for (place, url) in places {
            let answers = split(place, url, 2_000).await;
            let difference = percent(&answers, "canary") - f64::from(weight);
            assert!(difference.abs() < 6.0, "{weight} at {url}: {answers:?}");
            assert!(
                name.is_empty() || answers.keys().eq([name]),
                "{weight} at {url}: {answers:?}"
            );
        }
    }
    assert!(primary.count() > 0 && canary.count() > 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_change_under_load_without_a_failed_request() {
    let (cluster, ..) = start(json!([{ "backendRefs": backends(100, 0) }])).await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    let inside = Load::start(cluster.proxy, "http://app/", Method::POST, 2);
    let outside = Load::start(cluster.ingress, "http://localhost:8080/", Method::POST, 2);
    for weight in [10, 50, 100, 0] {
        cluster
            .set_route(json!({ "rules": [{ "backendRefs": backends(100 - weight, weight) }] }))
            .await;
        cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
        inside.run_for(100).await;
    }
    for load in [inside, outside] {
        let tally = load.stop().await;
        assert!(tally.failures().is_empty(), "{:?}", tally.answers);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_and_classes_get_their_status() {
    let (cluster, ..) = start(json!([{ "backendRefs": backends(1, 0) }])).await;
    let classes: Api<GatewayClass> = Api::all(cluster.client.clone());
    let gateways: Api<Gateway> = Api::namespaced(cluster.client.clone(), "default");
    for (name, controller) in [
        ("istio", GATEWAY_CONTROLLER),
        ("istio-waypoint", "istio.io/mesh-controller"),
    ] {
        eventually(name, || async {
            let class = classes.get_opt(name).await.unwrap();
            class.is_some_and(|class| {
                assert_eq!(class.spec.controller_name, controller);
                let conditions = class.status.unwrap_or_default().conditions;
                condition(&conditions, "Accepted", 1) == ("True", "Accepted")
            })
        })
        .await;
    }
    for (name, attached) in [("app", 1), ("waypoint", 0)] {
        eventually(name, || async {
            let status = gateways.get(name).await.unwrap().status.unwrap();
            let programmed = condition(&status.conditions, "Programmed", 1);
            let [listener] = &status.listeners[..] else {
                return false;
            };
            programmed == ("True", "Programmed")
                && status.addresses[0].value == "127.0.0.1"
                && listener.attached_routes == attached
                && condition(&listener.conditions, "ResolvedRefs", 1).0 == "True"
        })
        .await;
    }
    // A deleted class is created again.
    classes
        .delete("istio", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the class to be created again", || async {
        classes.get_opt("istio").await.unwrap().is_some()
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_backend_responds_with_500_for_its_share_and_is_reported() {
    let (cluster, ..) = start(json!([{ "backendRefs": [
        { "name": "app-primary", "port": 80 },
        { "name": "nowhere", "port": 80 },
    ] }]))
    .await;
    let missing = ["True", "Accepted", "False", "BackendNotFound"];
    cluster.wait_for_status(&[missing, missing]).await;
    let load = Load::start(cluster.proxy, "http://app/", Method::GET, 4);
    load.run_for(1_000).await;
    let tally = load.stop().await;
    let failed = tally.failures();
    let share = percent(
        &tally.answers.lock().unwrap(),
        "nobody 500 Internal Server Error",
    );
    assert!(
        failed.len() == 1 && (share - 50.0).abs() < 10.0,
        "{failed:?}"
    );
    cluster
        .wait_for_event(
            "app",
            "Unresolved",
            "spec.rules[0].backendRefs[1]: Service nowhere.default does not exist",
        )
        .await;
    // Once the Service exists, it gets its share.
    cluster.create(service("nowhere")).await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_change_of_a_route_is_reported_and_the_old_route_stays_in_effect() {
    let (cluster, ..) = start(json!([{ "backendRefs": backends(0, 1) }])).await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    let bad_regex = json!([{ "matches": [{ "path": { "type": "RegularExpression", "value": "(" } }], "backendRefs": backends(1, 0) }]);
    // Passes our validation; only Envoy knows that the command does not exist.
    let odd = json!([{
        "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": [{ "name": "x", "value": "%NO_SUCH_COMMAND%" }] } }],
        "backendRefs": backends(1, 0),
    }]);
    for (rules, reason, words) in [
        (bad_regex, "Invalid", "spec.rules[0].matches[0].path.value"),
        (odd, "Rejected", "NO_SUCH_COMMAND"),
    ] {
        let generation = cluster.set_route(json!({ "rules": rules })).await;
        eventually("the status of both parents", || async {
            let (_, parents) = cluster.parents().await;
            parents.len() == 2
                && parents.iter().all(|parent| {
                    condition(&parent.conditions, "Accepted", generation)
                        == ("False", "UnsupportedValue")
                        && parent.conditions[0].message.contains(words)
                })
        })
        .await;
        cluster.wait_for_event("app", reason, words).await;
        assert_eq!(get(cluster.proxy, "http://app/").await.from(), "canary");
        assert_eq!(
            get(cluster.ingress, "http://localhost/").await.from(),
            "canary"
        );
    }
    cluster
        .set_route(json!({ "rules": [{ "backendRefs": backends(1, 0) }] }))
        .await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    assert_eq!(get(cluster.proxy, "http://app/").await.from(), "primary");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_virtual_service_stays_in_effect_and_the_route_reports_the_conflict() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.push(virtual_service(json!([{ "route": destinations(100, 0) }])));
    objects.extend(gateways());
    let mut route = http_route(json!([{ "backendRefs": backends(0, 100) }]));
    // Objects of the same second are ordered by name.
    route["metadata"]["name"] = json!("newer");
    objects.push(route);
    let cluster = Cluster::start(&objects).await;
    cluster.wait_for_event("newer", "Conflict", "spec.parentRefs[0]: app.default is already routed by the older VirtualService default/app").await;
    assert_eq!(get(cluster.proxy, "http://app/").await.from(), "primary");
    assert_eq!(
        get(cluster.ingress, "http://localhost/").await.from(),
        "canary",
        "the route must get the ingress"
    );
    let reasons = |parents: &[RouteParentStatus]| {
        let reasons = parents
            .iter()
            .map(|parent| parent.conditions[0].reason.clone());
        reasons.collect::<Vec<_>>()
    };
    eventually("the status of the route", || async {
        let status = cluster
            .routes()
            .get("newer")
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        reasons(&status.parents) == ["Conflicted", "Accepted"]
    })
    .await;
    cluster.delete(ISTIO, "VirtualService", "app").await;
    eventually("the route to take over", || async {
        get(cluster.proxy, "http://app/").await.from() == "canary"
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_not_rewritten_without_a_change_and_keeps_the_entries_of_others() {
    let (cluster, ..) = start(json!([{ "backendRefs": backends(1, 0) }])).await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    // Another controller adds an entry.
    let route = cluster.routes().get("app").await.unwrap();
    let mut status = route.status.unwrap();
    let mut other = status.parents[0].clone();
    other.controller_name = "example.com/other".into();
    status.parents.insert(0, other);
    let patch = Patch::Merge(json!({ "status": status }));
    cluster
        .routes()
        .patch_status("app", &PatchParams::default(), &patch)
        .await
        .unwrap();
    cluster
        .set_route(json!({ "rules": [{ "backendRefs": backends(0, 1) }] }))
        .await;
    eventually("the new route to take effect", || async {
        get(cluster.proxy, "http://app/").await.from() == "canary"
    })
    .await;
    eventually("a status next to that of the other controller", || async {
        let (generation, parents) = cluster.parents().await;
        let own = parents
            .iter()
            .filter(|parent| parent.controller_name == GATEWAY_CONTROLLER);
        own.filter(|parent| condition(&parent.conditions, "Accepted", generation).0 == "True")
            .count()
            == 2
            && parents
                .iter()
                .any(|parent| parent.controller_name == "example.com/other")
    })
    .await;
    let version = async || {
        cluster
            .routes()
            .get("app")
            .await
            .unwrap()
            .metadata
            .resource_version
    };
    let before = version().await;
    // These changes wake the mesh but do not affect the route.
    for name in ["one", "two", "three"] {
        cluster.create(service(name)).await;
        let url = format!("http://{name}/");
        eventually("the new Service", || async {
            get(cluster.proxy, &url).await.status == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
    }
    assert_eq!(version().await, before);
    cluster.stop().await;
}
