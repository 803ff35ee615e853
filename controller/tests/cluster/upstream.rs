//! Validates third-party objects against their upstream definitions, which `./run.sh tools` fetches: the objects that
//! the controller generates, and those committed under `manifests/`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use controller::routing::{gateway_api, istio};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    gateway_api::gateway_canary,
    world::{World, canary},
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn definitions() -> Vec<Value> {
    let path = repository().join(".local/bin/upstream-definitions.json");
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; ./run.sh tools fetches it", path.display()));
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// The third-party groups.
const GROUPS: [&str; 3] = [
    "gateway.networking.k8s.io",
    "monitoring.coreos.com",
    "networking.istio.io",
];

fn group(object: &Value) -> &str {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split_once('/').map_or("", |(group, _)| group)
}

/// Returns the committed objects of third-party groups, with their files.
fn committed(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(committed(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = fs::read_to_string(&path).unwrap();
            for document in serde_yaml::Deserializer::from_str(&text) {
                let object = Value::deserialize(document).unwrap();
                if GROUPS.contains(&group(&object)) {
                    found.push((path.clone(), object));
                }
            }
        }
    }
    found
}

/// Applies an object with strict field validation.
async fn apply(world: &World, object: &Value) -> Result<(), kube::Error> {
    let (api_version, kind) = (&object["apiVersion"], &object["kind"]);
    let (group, version) = api_version.as_str().unwrap().split_once('/').unwrap();
    let kind = kind.as_str().unwrap();
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{group}/{version}"),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
    };
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!("default");
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "default", &resource);
    let params = PatchParams::apply("test").validation_strict();
    let name = object["metadata"]["name"].as_str().unwrap();
    api.patch(name, &params, &Patch::Apply(&object))
        .await
        .map(drop)
}

#[tokio::test(start_paused = true)]
async fn generated_objects_are_valid_for_the_upstream_definitions() {
    let world = World::with_definitions(definitions()).await;
    let _running = world.start();
    let mut canary = canary();
    let service = &mut canary["spec"]["service"];
    service["hosts"] = json!(["app.example.com"]);
    service["gateways"] = json!(["public", "mesh"]);
    service["retries"] = json!({ "attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx" });
    service["timeout"] = json!("5s");
    service["headers"] = json!({ "request": { "add": { "x-a": "b" } } });
    service["corsPolicy"] = json!({ "allowOrigins": [{ "exact": "a" }], "allowMethods": ["GET"] });
    service["trafficPolicy"] = json!({ "tls": { "mode": "ISTIO_MUTUAL" } });
    world.deploy(&canary).await;
    world.phase("simple-app", "Initialized").await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    for (kind, name) in [
        (istio::VIRTUAL_SERVICE, "simple-app"),
        (istio::DESTINATION_RULE, "simple-app-canary"),
        (istio::DESTINATION_RULE, "simple-app-primary"),
    ] {
        assert!(!world.get(kind, name).await.is_null(), "{kind} {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_generated_http_route_is_valid_for_the_upstream_definition_and_is_not_rewritten() {
    let world = World::with_definitions(definitions()).await;
    let running = world.start();
    let mut canary = gateway_canary();
    let service = &mut canary["spec"]["service"];
    service["hosts"] = json!(["app.example.com"]);
    service["timeout"] = json!("5s");
    service["backendTimeout"] = json!("1s");
    service["match"] = json!([
        { "uri": { "prefix": "/a" }, "method": { "exact": "GET" },
          "headers": { "x-a": { "exact": "b" } }, "queryParams": { "q": { "regex": "1.*" } } },
        { "uri": { "exact": "/b" } } ]);
    service["rewrite"] = json!({ "uri": "/", "authority": "in.example.com" });
    service["headers"] =
        json!({ "request": { "add": { "x-a": "b" } }, "response": { "remove": ["server"] } });
    service["mirror"] = json!([{ "backendRef": { "name": "shadow", "port": 80 } }]);
    world.deploy(&canary).await;
    world
        .until("the route", async || {
            !world
                .get(gateway_api::HTTP_ROUTE, "simple-app")
                .await
                .is_null()
        })
        .await;
    // No gateway accepts the route here. Fields that the server adds must not cause another write.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let writes = running.recorder.writes();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(running.recorder.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn committed_objects_are_valid_for_the_upstream_definitions() {
    let world = World::with_definitions(definitions()).await;
    let mut kinds = BTreeMap::new();
    for (path, object) in committed(&repository().join("manifests")) {
        let kind = object["kind"].as_str().unwrap();
        *kinds
            .entry(format!("{kind}.{}", group(&object)))
            .or_insert(0) += 1;
        if let Err(error) = apply(&world, &object).await {
            panic!("{}: {error}", path.display());
        }
    }
    let found: Vec<_> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        found,
        [
            "Gateway.gateway.networking.k8s.io",
            "Gateway.networking.istio.io",
            "HTTPRoute.gateway.networking.k8s.io",
            "PodMonitor.monitoring.coreos.com",
            "PrometheusRule.monitoring.coreos.com",
            "VirtualService.networking.istio.io",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn invalid_objects_are_refused() {
    let world = World::with_definitions(definitions()).await;
    let all = committed(&repository().join("manifests"));
    let find = |kind: &str, of_group: &str| {
        let mut objects = all.iter().map(|(_, object)| object);
        objects
            .find(|object| object["kind"] == kind && group(object) == of_group)
            .unwrap()
            .clone()
    };
    let monitor = find("PodMonitor", "monitoring.coreos.com");
    let rule = find("PrometheusRule", "monitoring.coreos.com");
    let gateway = find("Gateway", "networking.istio.io");
    let service = find("VirtualService", "networking.istio.io");
    let listener = find("Gateway", "gateway.networking.k8s.io");
    let route = find("HTTPRoute", "gateway.networking.k8s.io");
    for (object, path, value, words) in [
        (
            &monitor,
            "/spec/podMetricsEndpoints/0/intervall",
            json!("5s"),
            "intervall",
        ),
        (
            &monitor,
            "/spec/podMetricsEndpoints/0/interval",
            json!("5x"),
            "interval",
        ),
        (&monitor, "/spec/selector", Value::Null, "selector"),
        (&rule, "/spec/groups/0/rules/0/expr", json!(true), "expr"),
        (
            &rule,
            "/spec/groups/0/rules/0/severity",
            json!("high"),
            "severity",
        ),
        (&gateway, "/spec/servers/0/hosts", json!("*"), "hosts"),
        (
            &gateway,
            "/spec/servers/0/port/protocoll",
            json!("HTTP"),
            "protocoll",
        ),
        (
            &service,
            "/spec/http/0/match",
            json!([{ "uri": { "prefx": "/" } }]),
            "prefx",
        ),
        (
            &service,
            "/spec/http/0/match",
            json!([{ "uri": { "exact": "/a", "prefix": "/b" } }]),
            "oneOf",
        ),
        (&listener, "/spec/listeners/0/port", json!("80"), "port"),
        (
            &listener,
            "/spec/gatewayClass",
            json!("istio"),
            "gatewayClass",
        ),
        (&route, "/spec/parentRefs/0/name", Value::Null, "name"),
        (
            &route,
            "/spec/rules/0/backendRefs/0/weigth",
            json!(10),
            "weigth",
        ),
    ] {
        let mut wrong = object.clone();
        let (parent, field) = path.rsplit_once('/').unwrap();
        wrong.pointer_mut(parent).unwrap()[field] = value;
        let refusal = apply(&world, &wrong).await.expect_err(path).to_string();
        assert!(refusal.contains(words), "{path}: {refusal}");
    }
}
