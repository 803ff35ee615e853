//! The Istio objects that this mesh reads.
//!
//! The types have every field of Istio's v1 API for the three kinds, including fields that are not supported here. The
//! API server would silently prune an unknown field, whereas a known but unsupported one is reported in an Event.

mod crd;
mod destination_rule;
mod gateway;
mod route;
mod string_match;
mod virtual_service;

pub use crd::crds;
pub use destination_rule::{
    ConnectionPool, DestinationRule, DestinationRuleSpec, HttpPool, LoadBalancer, OutlierDetection,
    Subset, TcpPool, TrafficPolicy,
};
pub use gateway::{Gateway, GatewayPort, GatewaySpec, Server};
pub use route::{
    Abort, CorsPolicy, Delay, Destination, DirectResponse, Fault, HeaderOperations, Headers,
    Mirror, Percent, PortSelector, Redirect, RegexRewrite, Retry, Rewrite, RouteDestination,
};
pub use string_match::StringMatch;
pub use virtual_service::{HttpMatch, HttpRoute, VirtualService, VirtualServiceSpec};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Status of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Status {}

/// Schema of a field that may have any content, because this mesh checks only whether it is set.
pub(crate) fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Schema of a list of [`anything`].
fn list_of_anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}
