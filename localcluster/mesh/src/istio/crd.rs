//! The CustomResourceDefinitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use super::{DestinationRule, Gateway, VirtualService};

/// Versions served beside the stored `v1`, with the same schema.
const OLDER_VERSIONS: [&str; 2] = ["v1beta1", "v1alpha3"];

/// The definitions of `VirtualService`, `DestinationRule` and `Gateway`, to be applied before
/// [`run`](crate::run).
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        VirtualService::crd(),
        DestinationRule::crd(),
        Gateway::crd(),
    ]
    .map(complete)
    .into()
}

fn complete(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let Some(stored) = crd.spec.versions.first_mut() else {
        return crd;
    };
    if let Some(schema) = stored
        .schema
        .as_mut()
        .and_then(|schema| schema.open_api_v3_schema.as_mut())
    {
        remove_defaults(schema);
    }
    let stored = stored.clone();
    crd.spec.versions.extend(OLDER_VERSIONS.map(|name| {
        let mut version = stored.clone();
        version.name = name.into();
        version.storage = false;
        version
    }));
    crd
}

/// Istio's definitions have no defaults: an API server would write them into every object, and who
/// compares what it applied with what is stored would see a difference for ever.
fn remove_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    schema
        .properties
        .iter_mut()
        .flatten()
        .for_each(|(_, property)| remove_defaults(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        remove_defaults(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        remove_defaults(values);
    }
}
