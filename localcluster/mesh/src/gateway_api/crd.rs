//! The CustomResourceDefinitions of the Gateway API.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON,
};
use kube::{CustomResourceExt, ResourceExt};
use serde_json::{Value, json};

use super::{BUNDLE_VERSION, Gateway, GatewayClass, HTTPRoute};

/// A version that is served in addition to the stored `v1`, with the same schema.
const OLDER_VERSION: &str = "v1beta1";
/// The annotation that the API server requires on definitions of groups under `k8s.io`.
const APPROVED: (&str, &str) = (
    "api-approved.kubernetes.io",
    "https://github.com/kubernetes-sigs/gateway-api/pull/4530",
);

/// The definitions of `HTTPRoute`, `Gateway` and `GatewayClass`.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut classes = complete(GatewayClass::crd());
    set_status(&mut classes, &pending(&["Accepted"]));
    let mut gateways = complete(Gateway::crd());
    set_status(&mut gateways, &pending(&["Accepted", "Programmed"]));
    vec![complete(HTTPRoute::crd()), gateways, classes]
}

fn complete(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let annotations = [
        APPROVED,
        ("gateway.networking.k8s.io/bundle-version", BUNDLE_VERSION),
        ("gateway.networking.k8s.io/channel", "standard"),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
    crd.annotations_mut().extend(annotations);
    if let Some(mut older) = crd.spec.versions.first().cloned() {
        older.name = OLDER_VERSION.into();
        older.storage = false;
        crd.spec.versions.push(older);
    }
    crd
}

/// The status of an object that no controller has processed yet.
fn pending(types: &[&str]) -> Value {
    let conditions = types.iter().map(|name| {
        json!({
            "type": name,
            "status": "Unknown",
            "reason": "Pending",
            "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        })
    });
    json!({ "conditions": conditions.collect::<Vec<_>>() })
}

fn set_status(crd: &mut CustomResourceDefinition, default: &Value) {
    let schemas = crd.spec.versions.iter_mut();
    let schemas =
        schemas.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for schema in schemas {
        if let Some(status) = schema
            .properties
            .as_mut()
            .and_then(|properties| properties.get_mut("status"))
        {
            status.default = Some(JSON(default.clone()));
        }
    }
}
