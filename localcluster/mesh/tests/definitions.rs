//! The CustomResourceDefinitions, and how an API server validates objects with them.
#![allow(clippy::unwrap_used, clippy::panic)]

use hyper::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, api::PostParams};
use localcluster_apiserver::{ApiServer, Config};
use localcluster_mesh::{crds, gateway_api};
use serde_json::{Value, json};

#[test]
fn the_definitions_match_their_golden_files() {
    for mut definition in crds() {
        for version in &mut definition.spec.versions {
            // All versions have the same schema.
            if !version.storage {
                version.schema = None;
            }
        }
        let mut name = definition.spec.names.kind.clone();
        if definition.spec.group == gateway_api::GROUP {
            name = format!("gateway_api_{name}");
        }
        insta::assert_yaml_snapshot!(name, definition);
    }
}

/// Fields of `upstream` that `own` lacks or has with another type.
fn missing(upstream: &Value, own: &Value, path: &str, found: &mut Vec<String>) {
    if own["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    // The generated types have no type for a union of objects.
    let is_typed = !upstream["type"].is_null() || own["type"] != "object";
    if is_typed && upstream["type"] != own["type"] {
        found.push(format!(
            "{path}: {} instead of {}",
            own["type"], upstream["type"]
        ));
    }
    for (name, property) in upstream["properties"].as_object().into_iter().flatten() {
        missing(
            property,
            &own["properties"][name],
            &format!("{path}.{name}"),
            found,
        );
    }
    for part in ["items", "additionalProperties"] {
        if upstream[part].is_object() {
            missing(&upstream[part], &own[part], &format!("{path}[]"), found);
        }
    }
}

#[test]
fn no_field_of_the_upstream_definitions_is_missing() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../.local/bin/upstream-definitions.json"
    );
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{file}: {error}; ./run.sh tools downloads it"));
    let upstream: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let schema = |definition: &Value| {
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schema["properties"]["spec"].clone()
    };
    let (mut found, mut compared) = (Vec::new(), 0);
    for own in crds() {
        let own = serde_json::to_value(own).unwrap();
        let name = own["metadata"]["name"].as_str().unwrap();
        if let Some(upstream) = upstream
            .iter()
            .find(|other| other["metadata"]["name"] == name)
        {
            compared += 1;
            missing(&schema(upstream), &schema(&own), name, &mut found);
        }
    }
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(compared, 5);
}

/// A client of an API server with all definitions.
async fn serving_the_definitions() -> Client {
    let client = ApiServer::open(Config::default()).await.unwrap().client();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in crds() {
        definitions
            .create(&PostParams::default(), &definition)
            .await
            .unwrap();
    }
    client
}

#[tokio::test]
async fn misspelt_fields_and_wrong_types_are_rejected() {
    let client = serving_the_definitions().await;
    let path = |version: &str, kind: &str| {
        let plural = format!("{}s", kind.to_lowercase());
        format!("/apis/networking.istio.io/{version}/namespaces/default/{plural}")
    };
    // The request of kubectl with validation enabled.
    let create = async |version: &str, kind: &str, spec: Value| {
        let object = json!({
            "apiVersion": format!("networking.istio.io/{version}"),
            "kind": kind,
            "metadata": { "name": "app" },
            "spec": spec,
        });
        let request = Request::post(format!("{}?fieldValidation=Strict", path(version, kind)))
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes());
        client.request::<Value>(request.unwrap()).await
    };
    let route = json!([{ "destination": { "host": "a" }, "weight": 100 }]);
    for (kind, spec, words) in [
        (
            "VirtualService",
            json!({ "hosts": ["a"], "http": [{ "rout": route }] }),
            "rout",
        ),
        ("VirtualService", json!({ "hosts": "a" }), "spec.hosts"),
        (
            "VirtualService",
            json!({ "http": [{ "route": [{ "weight": 1 }] }] }),
            "destination",
        ),
        (
            "VirtualService",
            json!({ "http": [{ "route": [{ "destination": { "host": "a" }, "weight": -1 }] }] }),
            "weight",
        ),
        (
            "VirtualService",
            json!({ "http": [{ "match": [{ "uri": { "exact": "/", "prefix": "/" } }], "route": route }] }),
            "uri",
        ),
        ("DestinationRule", json!({ "trafficPolicy": {} }), "host"),
        (
            "DestinationRule",
            json!({ "host": "a", "trafficPolicies": {} }),
            "trafficPolicies",
        ),
        (
            "Gateway",
            json!({ "servers": [{ "hosts": ["*"] }] }),
            "port",
        ),
    ] {
        let error = create("v1", kind, spec.clone())
            .await
            .expect_err(words)
            .to_string();
        assert!(error.contains(words), "{spec}: {error}");
    }
    let spec = json!({ "hosts": ["a"], "http": [{ "route": route }] });
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let object = create(version, "VirtualService", spec.clone())
            .await
            .unwrap();
        assert_eq!(
            object["apiVersion"],
            format!("networking.istio.io/{version}")
        );
        let object = format!("{}/app", path(version, "VirtualService"));
        client
            .request::<Value>(Request::delete(object).body(Vec::new()).unwrap())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_api_server_applies_the_defaults_of_the_gateway_api() {
    let client = serving_the_definitions().await;
    let create = async |plural: &str, kind: &str, spec: Value| {
        let object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1beta1",
            "kind": kind,
            "metadata": { "name": "app" },
            "spec": spec,
        });
        let namespace = if kind == "GatewayClass" {
            ""
        } else {
            "namespaces/default/"
        };
        let path = format!(
            "/apis/gateway.networking.k8s.io/v1beta1/{namespace}{plural}?fieldValidation=Strict"
        );
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes());
        client.request::<Value>(request.unwrap()).await
    };
    let every = json!([{ "path": { "type": "PathPrefix", "value": "/" } }]);
    let route = json!({
        "parentRefs": [{ "name": "app" }, { "group": "", "kind": "Service", "name": "app", "port": 80 }],
        "rules": [
            { "backendRefs": [{ "name": "a", "port": 80 }] },
            {
                "matches": [{ "headers": [{ "name": "x", "value": "y" }] }],
                "filters": [{ "type": "RequestRedirect", "requestRedirect": {} }],
            },
        ],
    });
    let stored = create("httproutes", "HTTPRoute", route).await.unwrap();
    assert_eq!(
        stored["spec"],
        json!({
            "parentRefs": [
                { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "app" },
                { "group": "", "kind": "Service", "name": "app", "port": 80 },
            ],
            "rules": [
                {
                    "matches": every,
                    "backendRefs": [{ "group": "", "kind": "Service", "name": "a", "port": 80, "weight": 1 }],
                },
                {
                    "matches": [{
                        "path": { "type": "PathPrefix", "value": "/" },
                        "headers": [{ "type": "Exact", "name": "x", "value": "y" }],
                    }],
                    "filters": [{ "type": "RequestRedirect", "requestRedirect": { "statusCode": 302 } }],
                },
            ],
        })
    );
    let listener = json!({ "name": "http", "port": 80, "protocol": "HTTP" });
    let spec = json!({ "gatewayClassName": "istio", "listeners": [listener] });
    let stored = create("gateways", "Gateway", spec).await.unwrap();
    assert_eq!(
        stored["spec"]["listeners"][0]["allowedRoutes"],
        json!({ "namespaces": { "from": "Same" } })
    );
    assert_eq!(stored["status"]["conditions"][1]["type"], "Programmed");
    assert_eq!(stored["status"]["conditions"][1]["status"], "Unknown");
    let spec = json!({ "controllerName": "istio.io/gateway-controller" });
    let stored = create("gatewayclasses", "GatewayClass", spec)
        .await
        .unwrap();
    assert_eq!(stored["status"]["conditions"][0]["reason"], "Pending");

    for (plural, kind, spec, words) in [
        (
            "httproutes",
            "HTTPRoute",
            json!({ "hostnames": ["*"] }),
            "spec.hostnames[0]",
        ),
        (
            "httproutes",
            "HTTPRoute",
            json!({ "rules": [{ "backendRef": [] }] }),
            "backendRef",
        ),
        (
            "httproutes",
            "HTTPRoute",
            json!({ "rules": [{ "matches": [{ "method": "get" }] }] }),
            "method",
        ),
        (
            "httproutes",
            "HTTPRoute",
            json!({ "rules": [{ "filters": [{ "type": "Odd" }] }] }),
            "Odd",
        ),
        (
            "httproutes",
            "HTTPRoute",
            json!({ "rules": [{ "backendRefs": [{ "name": "a", "weight": -1 }] }] }),
            "weight",
        ),
        (
            "httproutes",
            "HTTPRoute",
            json!({ "rules": [{ "timeouts": { "request": "1 s" } }] }),
            "timeouts.request",
        ),
        (
            "gateways",
            "Gateway",
            json!({ "gatewayClassName": "istio", "listeners": [] }),
            "listeners",
        ),
        (
            "gatewayclasses",
            "GatewayClass",
            json!({ "controllerName": "istio" }),
            "controllerName",
        ),
    ] {
        let error = create(plural, kind, spec.clone()).await.expect_err(words);
        assert!(error.to_string().contains(words), "{spec}: {error}");
    }
}
