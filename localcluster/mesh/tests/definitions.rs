//! The CustomResourceDefinitions, as an API server takes them and holds objects against them.
#![allow(clippy::unwrap_used, clippy::panic)]

use hyper::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::PostParams};
use localcluster_apiserver::{ApiServer, Config};
use localcluster_mesh::{crds, gateway_api};
use serde_json::{Value, json};

#[test]
fn the_definitions_are_these() {
    for mut definition in crds() {
        for version in &mut definition.spec.versions {
            // The same schema stands in every version.
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

#[tokio::test]
async fn misspelt_fields_and_wrong_types_are_refused() {
    let client = ApiServer::open(Config::default()).await.unwrap().client();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in crds() {
        definitions
            .create(&PostParams::default(), &definition)
            .await
            .unwrap();
    }
    let path = |version: &str, kind: &str| {
        let plural = format!("{}s", kind.to_lowercase());
        format!("/apis/networking.istio.io/{version}/namespaces/default/{plural}")
    };
    // As kubectl sends it, with validation on.
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
