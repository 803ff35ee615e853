//! The Service of Prometheus for pods, with the name that kube-prometheus-stack uses.

use std::{net::SocketAddr, time::Duration};

use api_failure::ApiFailure;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Namespace of the Service.
pub(crate) const NAMESPACE: &str = "monitoring";
/// Name of the Service.
pub(crate) const NAME: &str = "prometheus-prometheus";
/// Port of the Service, independent of the port that Prometheus listens on.
const PORT: u16 = 9090;

/// The Namespace, the Service (without selector) and its EndpointSlice with `address`.
pub(crate) fn objects(address: SocketAddr) -> [Value; 3] {
    let labels = json!({ "app.kubernetes.io/managed-by": "localcluster-monitoring" });
    let metadata = json!({ "name": NAME, "namespace": NAMESPACE, "labels": labels });
    let mut slice_metadata = metadata.clone();
    slice_metadata["labels"] = json!({
        "kubernetes.io/service-name": NAME,
        "endpointslice.kubernetes.io/managed-by": "localcluster-monitoring",
    });
    [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": { "ports": [{ "name": "http-web", "port": PORT, "targetPort": address.port() }] },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slice_metadata,
            "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
            "ports": [{ "name": "http-web", "port": address.port(), "protocol": "TCP" }],
            "endpoints": [{ "addresses": [address.ip()], "conditions": { "ready": true } }],
        }),
    ]
}

/// Creates or updates the objects. Retries until it succeeds.
pub(crate) async fn publish(client: Client, address: SocketAddr) {
    for object in objects(address) {
        let mut wait = Duration::from_millis(100);
        while let Err(failure) = put(&client, &object).await {
            let kind = object["kind"].as_str().unwrap_or_default();
            tracing::warn!(kind, %failure, "cannot write the Service of Prometheus; retrying");
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }
}

async fn put(client: &Client, object: &Value) -> Result<(), ApiFailure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let parsed = serde_json::from_value(object.clone())?;
    match api
        .create(&PostParams::default(), &parsed)
        .await
        .map_err(ApiFailure::from)
    {
        Err(failure) if failure.is_already_exists() => {
            let name = text(&object["metadata"]["name"]);
            let patch = Patch::Merge(object);
            api.patch(&name, &PatchParams::default(), &patch).await?;
            Ok(())
        }
        created => created.map(drop),
    }
}
