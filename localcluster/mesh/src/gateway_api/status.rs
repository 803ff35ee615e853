//! The status of a route.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CONTROLLER, parent::ParentReference};

/// Status of a route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct RouteStatus {
    /// One entry per parent and controller.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub parents: Vec<RouteParentStatus>,
}

/// The status of a route's attachment to one parent, as one controller reports it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The parent reference from the route's spec.
    pub parent_ref: ParentReference,
    /// Name of the controller that reports the status.
    #[schemars(length(min = 1, max = 253), regex(pattern = CONTROLLER))]
    pub controller_name: String,
    /// `Accepted` and `ResolvedRefs`.
    #[schemars(
        length(min = 1, max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}
