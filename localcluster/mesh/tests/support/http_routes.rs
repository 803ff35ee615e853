//! A mesh with gateways and an `HTTPRoute`, and access to the status of the route.

// Each test uses only a part of it.
#![allow(dead_code)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use localcluster_mesh::gateway_api::{HTTPRoute, RouteParentStatus};
use serde_json::{Value, json};

use super::cluster::{Backend, Cluster, canary_objects, eventually, pair};

pub(crate) const API: &str = "gateway.networking.k8s.io/v1";

/// The gateways of the `ambient` profile: an ingress and a waypoint.
pub(crate) fn gateways() -> Vec<Value> {
    let gateway = |name: &str, class: &str, listener: Value| {
        json!({
            "apiVersion": API, "kind": "Gateway",
            "metadata": { "name": name, "namespace": "default" },
            "spec": { "gatewayClassName": class, "listeners": [listener] },
        })
    };
    let http = json!({ "name": "http", "port": 80, "protocol": "HTTP" });
    let mesh = json!({ "name": "mesh", "port": 15008, "protocol": "HBONE" });
    vec![
        gateway("app", "istio", http),
        gateway("waypoint", "istio-waypoint", mesh),
    ]
}

pub(crate) fn backends(primary: u32, canary: u32) -> Value {
    json!([
        { "name": "app-primary", "port": 80, "weight": primary },
        { "name": "app-canary", "port": 80, "weight": canary },
    ])
}

/// The HTTPRoute of a canary release, for requests between pods and from outside.
pub(crate) fn http_route(rules: Value) -> Value {
    json!({
        "apiVersion": API, "kind": "HTTPRoute",
        "metadata": { "name": "app", "namespace": "default" },
        "spec": {
            "parentRefs": [
                { "group": "", "kind": "Service", "name": "app", "port": 80 },
                { "name": "app" },
            ],
            "rules": rules,
        },
    })
}

/// Starts a mesh with the objects of a canary release, gateways and one route.
pub(crate) async fn start(rules: Value) -> (Cluster, Backend, Backend) {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.extend(gateways());
    objects.push(http_route(rules));
    (Cluster::start(&objects).await, primary, canary)
}

pub(crate) fn percent(answers: &std::collections::BTreeMap<String, usize>, name: &str) -> f64 {
    let total: usize = answers.values().sum();
    100.0 * *answers.get(name).unwrap_or(&0) as f64 / total as f64
}

impl Cluster {
    pub(crate) fn routes(&self) -> Api<HTTPRoute> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Changes the spec of route `app`. Returns the new generation.
    pub(crate) async fn set_route(&self, spec: Value) -> i64 {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let (routes, parameters) = (self.routes(), PatchParams::default());
        let patched = routes.patch("app", &parameters, &patch).await.unwrap();
        patched.metadata.generation.unwrap()
    }

    /// The current generation of route `app` and the status of its parents.
    pub(crate) async fn parents(&self) -> (i64, Vec<RouteParentStatus>) {
        let route = self.routes().get("app").await.unwrap();
        let parents = route
            .status
            .map(|status| status.parents)
            .unwrap_or_default();
        (route.metadata.generation.unwrap(), parents)
    }

    /// Waits until each parent of the current generation of route `app` has these statuses and reasons of `Accepted`
    /// and `ResolvedRefs`.
    pub(crate) async fn wait_for_status(&self, expected: &[[&str; 4]]) {
        eventually(&format!("the status {expected:?}"), || async {
            let (generation, parents) = self.parents().await;
            parents.len() == expected.len()
                && parents.iter().zip(expected).all(|(parent, expected)| {
                    let accepted = condition(&parent.conditions, "Accepted", generation);
                    let resolved = condition(&parent.conditions, "ResolvedRefs", generation);
                    [accepted.0, accepted.1, resolved.0, resolved.1] == *expected
                })
        })
        .await;
    }
}

/// Status and reason of a condition, if it is about this generation.
pub(crate) fn condition<'a>(
    conditions: &'a [Condition],
    kind: &str,
    generation: i64,
) -> (&'a str, &'a str) {
    let found = conditions.iter().find(|one| one.type_ == kind);
    found
        .filter(|one| one.observed_generation == Some(generation))
        .map_or(("", ""), |one| (&one.status, &one.reason))
}

pub(crate) const ACCEPTED: [&str; 4] = ["True", "Accepted", "True", "ResolvedRefs"];
