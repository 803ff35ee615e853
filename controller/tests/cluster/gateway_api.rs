//! Releases with the Gateway API: one HTTPRoute, and a controller that accepts it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use controller::cluster::{Kind, Object};
use controller::routing::{gateway_api, istio};
use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    release::TRANSCRIPT,
    world::{World, canary, deployment},
};

/// A Gateway API controller, which writes the status of every HTTPRoute.
pub struct Gateways {
    accept: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Gateways {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateways {
    pub fn start(world: &World) -> Self {
        let accept = Arc::new(AtomicBool::new(true));
        let (client, accepts) = (world.client.clone(), Arc::clone(&accept));
        let task = tokio::spawn(async move {
            let api: Api<Object> =
                Api::all_with(client.clone(), &gateway_api::HTTP_ROUTE.resource());
            let routes = watcher(api, watcher::Config::default());
            let mut seen = routes.default_backoff().applied_objects().boxed();
            while let Some(event) = seen.next().await {
                let Ok(route) = event else { continue };
                tokio::time::sleep(Duration::from_millis(300)).await;
                let status = status(&route, accepts.load(Ordering::Relaxed));
                if route.data["status"] == status {
                    continue;
                }
                let (namespace, name) = (route.namespace().unwrap(), route.name_any());
                let kind = gateway_api::HTTP_ROUTE.resource();
                let api: Api<Object> = Api::namespaced_with(client.clone(), &namespace, &kind);
                let patch = Patch::Merge(json!({ "status": status }));
                api.patch_status(&name, &PatchParams::default(), &patch)
                    .await
                    .unwrap();
            }
        });
        Self { accept, task }
    }

    /// Sets whether routes are accepted, and updates the existing route.
    async fn accept(&self, world: &World, accept: bool) {
        self.accept.store(accept, Ordering::Relaxed);
        let note = json!({ "metadata": { "annotations": { "accept": accept.to_string() } } });
        world
            .merge(gateway_api::HTTP_ROUTE, "simple-app", &note)
            .await;
    }
}

fn status(route: &Object, accept: bool) -> Value {
    let parents = route.data["spec"]["parentRefs"].as_array().unwrap();
    let parents = parents.iter().map(|parent| {
        json!({
            "parentRef": parent, "controllerName": "test/gateways",
            "conditions": [{
                "type": "Accepted", "status": if accept { "True" } else { "False" },
                "reason": if accept { "Accepted" } else { "NotAllowedByListeners" },
                "message": "set by the test", "observedGeneration": route.metadata.generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z" }] })
    });
    json!({ "parents": parents.collect::<Vec<_>>() })
}

/// The article's Canary under the Gateway API.
pub fn gateway_canary() -> Value {
    let mut canary = canary();
    canary["spec"]["provider"] = json!("gatewayapi:v1");
    canary["spec"]["service"]["gatewayRefs"] =
        json!([{ "name": "public" }, { "group": "", "kind": "Service", "name": "simple-app" }]);
    canary
}

/// Deploys another app, `other`, with such a Canary.
pub async fn deploy_other(world: &World) {
    let mut target = deployment("1.0.0");
    target["metadata"]["name"] = json!("other");
    world.apply(Kind::DEPLOYMENT, &target).await;
    let mut other = gateway_canary();
    other["metadata"]["name"] = json!("other");
    other["spec"]["targetRef"]["name"] = json!("other");
    world.apply(Kind::CANARY, &other).await;
}

async fn weights(world: &World) -> Vec<u64> {
    let route = world.get(gateway_api::HTTP_ROUTE, "simple-app").await;
    let backends = route["spec"]["rules"][0]["backendRefs"].as_array().unwrap();
    let weights = backends
        .iter()
        .map(|backend| backend["weight"].as_u64().unwrap());
    weights.collect()
}

#[tokio::test(start_paused = true)]
async fn a_release_shifts_the_weights_of_one_http_route_with_the_same_events() {
    let world = World::new().await;
    let (running, _gateways) = (world.start(), Gateways::start(&world));
    world.initialize(&gateway_canary()).await;
    assert_eq!(weights(&world).await, [100, 0]);
    let before = world.events("simple-app").await.len();

    world.set_image("1.0.1").await;
    world.weight(30).await;
    assert_eq!(weights(&world).await, [70, 30]);
    world.phase("simple-app", "Succeeded").await;

    assert_eq!(world.events("simple-app").await[before..], TRANSCRIPT);
    assert_eq!(weights(&world).await, [100, 0]);
    let route = world.get(gateway_api::HTTP_ROUTE, "simple-app").await;
    let uid = world.get(Kind::CANARY, "simple-app").await["metadata"]["uid"].clone();
    assert_eq!(route["metadata"]["ownerReferences"][0]["uid"], uid);
    let virtual_service = world.get(istio::VIRTUAL_SERVICE, "simple-app").await;
    assert_eq!(virtual_service, Value::Null);

    // Fields that the server adds to the route must not cause another write.
    let writes = running.recorder.writes();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(running.recorder.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn built_in_metrics_query_the_metrics_of_the_app() {
    let world = World::new().await;
    let (_running, _gateways) = (world.start(), Gateways::start(&world));
    let mut canary = gateway_canary();
    canary["spec"]["analysis"]["metrics"] = json!([
        { "name": "request-success-rate", "interval": "1m", "thresholdRange": { "min": 1 } },
        { "name": "request-duration", "interval": "30s", "thresholdRange": { "max": 500 } } ]);
    world.initialize(&canary).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    let queries = world.web.queries();
    assert!(queries.iter().all(|query| !query.contains("istio")));
    for words in [
        "http_request_duration_seconds_count{",
        "http_request_duration_seconds_bucket{",
        r#"pod=~"simple-app-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)""#,
        "[30s]",
    ] {
        let asked = queries.iter().any(|query| query.contains(words));
        assert!(asked, "{words}: {queries:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_pauses_while_a_parent_does_not_accept_the_route() {
    let world = World::new().await;
    let (_running, gateways) = (world.start(), Gateways::start(&world));
    world.initialize(&gateway_canary()).await;
    world.set_image("1.0.1").await;
    world.weight(20).await;
    gateways.accept(&world, false).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let seen = world.status("simple-app").await;
    assert_eq!(
        (&seen["canaryWeight"], &seen["failedChecks"]),
        (&json!(20), &json!(0))
    );
    assert_eq!(seen["waiting"]["reason"], "RouteNotReady");
    let events = world.events("simple-app").await;
    let reports = events
        .iter()
        .filter(|event| event.contains("HTTPRoute simple-app.default parent public is not ready"));
    assert_eq!(reports.count(), 1, "{events:#?}");
    gateways.accept(&world, true).await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(world.status("simple-app").await["waiting"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_accepted_at_once_publishes_no_event_even_if_the_primary_is_slow() {
    let world = World::new().await;
    let (_running, _gateways) = (world.start(), Gateways::start(&world));
    "simple-app:1.0.0".clone_into(&mut world.broken_image.lock().unwrap());
    world.deploy(&gateway_canary()).await;
    world
        .until("the wait for the primary", async || {
            world.status("simple-app").await["waiting"]["announced"] == true
        })
        .await;
    "none".clone_into(&mut world.broken_image.lock().unwrap());
    let note = json!({ "metadata": { "annotations": { "image": "built" } } });
    world
        .merge(Kind::DEPLOYMENT, "simple-app-primary", &note)
        .await;
    world.phase("simple-app", "Initialized").await;
    let events = world.events("simple-app").await;
    let about_the_route = |event: &&String| event.contains("HTTPRoute");
    assert_eq!(events.iter().find(about_the_route), None, "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_target_keeps_serving_until_its_route_is_accepted() {
    let world = World::new().await;
    let running = world.start();
    world.deploy(&gateway_canary()).await;
    world
        .until("the wait for a parent", async || {
            world.status("simple-app").await["waiting"]["reason"] == "RouteNotReady"
        })
        .await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let events = world.events("simple-app").await;
    let reports = |event: &&String| event.contains("no parent has reported a status");
    assert_eq!(events.iter().filter(reports).count(), 1, "{events:#?}");
    let target = world.get(Kind::DEPLOYMENT, "simple-app").await;
    assert_eq!(target["spec"]["replicas"], 1);
    let _gateways = Gateways::start(&world);
    world.phase("simple-app", "Initialized").await;
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn an_existing_route_is_adopted_and_a_repair_keeps_its_weights() {
    let world = World::new().await;
    let (_running, _gateways) = (world.start(), Gateways::start(&world));
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": { "name": "simple-app" },
        "spec": { "parentRefs": [{ "name": "public" }], "rules": [
            { "matches": [{ "path": { "type": "Exact", "value": "/admin" } }],
              "backendRefs": [{ "name": "admin", "port": 80 }] },
            { "backendRefs": [{ "name": "simple-app", "port": 80 }] } ] } });
    world.apply(gateway_api::HTTP_ROUTE, &route).await;
    world.initialize(&gateway_canary()).await;
    let adopted = world.get(gateway_api::HTTP_ROUTE, "simple-app").await;
    let rules = &adopted["spec"]["rules"];
    assert_eq!(rules[0]["backendRefs"][0]["name"], "admin");
    assert_eq!(rules[1]["backendRefs"][1]["name"], "simple-app-canary");
    assert_eq!(rules[2], Value::Null);

    world.set_image("1.0.1").await;
    world.weight(20).await;
    let mut drifted =
        world.get(gateway_api::HTTP_ROUTE, "simple-app").await["spec"]["rules"].clone();
    drifted[1]["matches"][0]["path"]["value"] = json!("/elsewhere");
    let patch = json!({ "spec": { "rules": drifted } });
    world
        .merge(gateway_api::HTTP_ROUTE, "simple-app", &patch)
        .await;
    world
        .until("the repair", async || {
            let route = world.get(gateway_api::HTTP_ROUTE, "simple-app").await;
            let rule = &route["spec"]["rules"][1];
            assert_ne!(rule["backendRefs"][1]["weight"], 0, "the weight was lost");
            rule["matches"][0]["path"]["value"] == "/"
        })
        .await;
    world.phase("simple-app", "Succeeded").await;
}

/// A cluster needs only the definitions of the providers in use.
#[tokio::test(start_paused = true)]
async fn without_the_gateway_api_only_its_canaries_are_refused_until_it_is_installed() {
    let definition =
        |crd: &Value| crd["metadata"]["name"] == "httproutes.gateway.networking.k8s.io";
    let mesh = localcluster_mesh::crds().into_iter();
    let mesh: Vec<_> = mesh.map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let (gateway_api, others): (Vec<_>, Vec<_>) = mesh.into_iter().partition(definition);
    assert_eq!(gateway_api.len(), 1);
    let world = World::with_definitions(others).await;
    let _running = world.start();
    world.initialize(&canary()).await;
    deploy_other(&world).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    let refusal = "Warning Canary other.default is not valid: spec.provider: \
                   httproutes.gateway.networking.k8s.io is not served; apply its CustomResourceDefinition";
    let events = world.events("other").await;
    assert!(
        events.len() == 1 && events[0].starts_with(refusal),
        "{events:#?}"
    );

    world.define(&gateway_api[0]).await;
    let _gateways = Gateways::start(&world);
    world.phase("other", "Initialized").await;
}

#[tokio::test(start_paused = true)]
async fn istio_only_fields_are_refused_or_reported_by_name() {
    let world = World::new().await;
    let (_running, _gateways) = (world.start(), Gateways::start(&world));
    let mut wrong = gateway_canary();
    let service = &mut wrong["spec"]["service"];
    service["gatewayRefs"] = json!([]);
    service["match"] = json!([{ "sourceLabels": { "app": "x" } }]);
    world.deploy(&wrong).await;
    world
        .until("the refusal", async || {
            !world.events("simple-app").await.is_empty()
        })
        .await;
    let events = world.events("simple-app").await;
    for words in [
        "spec.service.gatewayRefs: is missing",
        "spec.service.match[0].sourceLabels: an HTTPRoute cannot express it",
    ] {
        assert!(events[0].contains(words), "{words}: {events:#?}");
    }
    let parents = gateway_canary()["spec"]["service"]["gatewayRefs"].clone();
    let fixed = json!({ "spec": { "service": {
        "gatewayRefs": parents, "match": null, "retries": { "attempts": 3 } } } });
    world.merge(Kind::CANARY, "simple-app", &fixed).await;
    world.phase("simple-app", "Initialized").await;
    let events = world.events("simple-app").await;
    let warning =
        "Warning spec.service.retries has no effect with the provider gatewayapi:v1".to_owned();
    assert!(events.contains(&warning), "{events:#?}");
}
