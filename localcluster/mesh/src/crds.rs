//! The CustomResourceDefinitions of the mesh.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::{gateway_api, istio};

/// The definitions of all custom resources that the mesh reads. Apply them before [`run`](crate::run).
pub fn crds() -> Vec<CustomResourceDefinition> {
    [istio::crds(), gateway_api::crds()].concat()
}
