//! The CustomResourceDefinitions of every kind that is read.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::{gateway_api, istio};

/// The definitions, to be applied before [`run`](crate::run).
pub fn crds() -> Vec<CustomResourceDefinition> {
    [istio::crds(), gateway_api::crds()].concat()
}
