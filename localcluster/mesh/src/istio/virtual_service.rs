//! `VirtualService`: routes requests to hosts.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Status,
    route::{
        CorsPolicy, DirectResponse, Fault, Headers, Mirror, Percent, Redirect, Retry, Rewrite,
        RouteDestination,
    },
    string_match::StringMatch,
};

/// Spec of a `VirtualService`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "VirtualService",
    plural = "virtualservices",
    shortname = "vs",
    category = "istio-io",
    category = "networking-istio-io",
    namespaced,
    status = "Status",
    schema = "derived",
    printcolumn = r#"{"name":"Gateways","type":"string","jsonPath":".spec.gateways","description":"The gateways and sidecars that apply these routes"}"#,
    printcolumn = r#"{"name":"Hosts","type":"string","jsonPath":".spec.hosts","description":"The hosts to which traffic is sent"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualServiceSpec {
    /// Hosts that the routes apply to. A name without a dot is a Service in the namespace of the object.
    pub hosts: Vec<String>,
    /// Names of gateways (`name` or `namespace/name`). The default, `mesh`, stands for requests between pods.
    pub gateways: Vec<String>,
    /// HTTP routes. The first one that matches a request is used.
    pub http: Vec<HttpRoute>,
    /// TLS routes.
    #[schemars(schema_with = "super::list_of_anything")]
    pub tls: Vec<Value>,
    /// TCP routes.
    #[schemars(schema_with = "super::list_of_anything")]
    pub tcp: Vec<Value>,
    /// Namespaces in which the object is visible.
    pub export_to: Vec<String>,
}

/// An HTTP route: matches, and the actions for a request that meets any of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRoute {
    /// Name for people.
    pub name: Option<String>,
    /// The route applies to a request that meets any of these matches; by default to every request.
    pub r#match: Vec<HttpMatch>,
    /// Weighted destinations.
    pub route: Vec<RouteDestination>,
    /// Responds with a redirect.
    pub redirect: Option<Redirect>,
    /// Responds with a fixed response.
    pub direct_response: Option<DirectResponse>,
    /// Another `VirtualService` that contains the routes.
    #[schemars(schema_with = "super::anything")]
    pub delegate: Option<Value>,
    /// Changes the path or authority before forwarding.
    pub rewrite: Option<Rewrite>,
    /// Timeout of the whole request, including retries; none by default.
    pub timeout: Option<String>,
    /// Retry policy.
    pub retries: Option<Retry>,
    /// Delays and errors to inject.
    pub fault: Option<Fault>,
    /// Sends a copy of each request to this Service and ignores the response.
    pub mirror: Option<Mirror>,
    /// Several mirrors, each with a percentage.
    pub mirrors: Vec<Mirror>,
    /// Percentage of requests to mirror as an integer (deprecated).
    #[schemars(range(min = 0, max = 100))]
    pub mirror_percent: Option<u32>,
    /// `mirrorPercent` under its oldest name (deprecated).
    #[serde(rename = "mirror_percent")]
    #[schemars(range(min = 0, max = 100))]
    pub mirror_percent_oldest: Option<u32>,
    /// Percentage of requests to mirror; 100 by default.
    pub mirror_percentage: Option<Percent>,
    /// Cross-origin resource sharing.
    pub cors_policy: Option<CorsPolicy>,
    /// Header changes for all destinations.
    pub headers: Option<Headers>,
}

/// Conditions that a request must all meet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatch {
    /// Name for people.
    pub name: Option<String>,
    /// The path, without the query.
    pub uri: Option<StringMatch>,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// `GET`, `POST`, …
    pub method: Option<StringMatch>,
    /// The Host header.
    pub authority: Option<StringMatch>,
    /// Request headers by lower-case name. An empty condition requires only that the header is present.
    pub headers: BTreeMap<String, StringMatch>,
    /// The port that the request was sent to.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
    /// Labels of the client.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways that the match is limited to.
    pub gateways: Vec<String>,
    /// Query parameters by name.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Ignores case in `uri` (`exact` and `prefix` only).
    pub ignore_uri_case: bool,
    /// Headers that must not match.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Namespace of the client.
    pub source_namespace: Option<String>,
    /// Prefix of the statistics of this route.
    pub stat_prefix: Option<String>,
}
