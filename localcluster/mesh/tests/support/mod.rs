//! Reads manifests into a snapshot.

use std::{fs, path::Path, sync::Arc};

use localcluster_mesh::{
    model::{ServiceName, Snapshot},
    render::Settings,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// Adds the documents of `yaml` to `snapshot`.
pub(crate) fn read(yaml: &str, snapshot: &mut Snapshot) {
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let object = Value::deserialize(document).unwrap();
        let of_istio = object["apiVersion"].as_str().unwrap().contains("istio.io");
        match object["kind"].as_str().unwrap() {
            "Service" => snapshot.services.push(parse(object)),
            "EndpointSlice" => snapshot.slices.push(parse(object)),
            "Pod" => snapshot.pods.push(parse(object)),
            "VirtualService" => snapshot.virtual_services.push(parse(object)),
            "DestinationRule" => snapshot.destination_rules.push(parse(object)),
            "Gateway" if of_istio => snapshot.gateways.push(parse(object)),
            "HTTPRoute" => snapshot.http_routes.push(parse(object)),
            "Gateway" => snapshot.api_gateways.push(parse(object)),
            "GatewayClass" => snapshot.gateway_classes.push(parse(object)),
            "Namespace" => snapshot.namespaces.push(parse(object)),
            kind => panic!("scenarios cannot contain a {kind}"),
        }
    }
}

fn parse<K: DeserializeOwned>(object: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(object).unwrap())
}

/// A snapshot of the common objects and the scenario `name`.
pub(crate) fn scenario(name: &str) -> Snapshot {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut snapshot = Snapshot::default();
    for file in ["cluster.inc.yaml", name] {
        read(
            &fs::read_to_string(folder.join(file)).unwrap(),
            &mut snapshot,
        );
    }
    snapshot
}

/// Settings with an ingress whose default backend is `simple-app`.
pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        folder: folder.to_owned(),
        proxy: "127.9.0.2:15001".parse().unwrap(),
        admin: "127.9.0.2:15000".parse().unwrap(),
        ingress: Some("127.0.0.1:8080".parse().unwrap()),
        ingress_default: Some(ServiceName {
            namespace: "default".into(),
            name: "simple-app".into(),
        }),
    }
}
