//! The Istio objects this mesh reads, as served by the API server.
//!
//! The types hold every field of Istio's v1 API for the three kinds, also those that cannot be
//! honoured here: a field that were left out would be pruned by the API server without a word,
//! while a known one is answered by an Event.

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

/// Status of every kind; this mesh neither reads nor writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Status {}

/// Schema of a part that is accepted as it is, because this mesh answers its mere presence.
pub(crate) fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// [`anything`], many times.
fn list_of_anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}
