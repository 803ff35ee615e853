//! The CustomResourceDefinitions of Istio.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use localcluster_shared::definition::remove_defaults;

use super::{DestinationRule, Gateway, VirtualService};

/// Versions that are served in addition to the stored `v1`, with the same schema.
const OLDER_VERSIONS: [&str; 2] = ["v1beta1", "v1alpha3"];

/// The definitions of `VirtualService`, `DestinationRule` and `Gateway`.
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
    remove_defaults(&mut crd);
    let Some(stored) = crd.spec.versions.first().cloned() else {
        return crd;
    };
    crd.spec.versions.extend(OLDER_VERSIONS.map(|name| {
        let mut version = stored.clone();
        version.name = name.into();
        version.storage = false;
        version
    }));
    crd
}
