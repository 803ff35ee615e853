//! `VirtualService`: which requests go where.

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
    /// Hosts whose requests the routes are for. A name without a dot is a Service of the object's
    /// namespace.
    pub hosts: Vec<String>,
    /// Names of gateways (`name` or `namespace/name`); the word `mesh` stands for requests between
    /// pods and is the default.
    pub gateways: Vec<String>,
    /// HTTP routes; the first one that matches a request is used.
    pub http: Vec<HttpRoute>,
    /// TLS routes.
    #[schemars(schema_with = "super::list_of_anything")]
    pub tls: Vec<Value>,
    /// TCP routes.
    #[schemars(schema_with = "super::list_of_anything")]
    pub tcp: Vec<Value>,
    /// Namespaces that see this object.
    pub export_to: Vec<String>,
}

/// One HTTP route: conditions and what to do with a request that meets them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRoute {
    /// Name, for people.
    pub name: Option<String>,
    /// Conditions, one of which must hold; none given means every request.
    pub r#match: Vec<HttpMatch>,
    /// Weighted destinations.
    pub route: Vec<RouteDestination>,
    /// Answer with a redirect.
    pub redirect: Option<Redirect>,
    /// Answer with a fixed response.
    pub direct_response: Option<DirectResponse>,
    /// Another `VirtualService` that holds the routes.
    #[schemars(schema_with = "super::anything")]
    pub delegate: Option<Value>,
    /// Change path or authority before forwarding.
    pub rewrite: Option<Rewrite>,
    /// Longest time for the whole request, retries included; none by default.
    pub timeout: Option<String>,
    /// When and how often to try again.
    pub retries: Option<Retry>,
    /// Delays and errors to inject.
    pub fault: Option<Fault>,
    /// Send a copy of each request here and forget the answer.
    pub mirror: Option<Mirror>,
    /// Several mirrors, each with its share.
    pub mirrors: Vec<Mirror>,
    /// Whole percent of requests to mirror (deprecated form).
    #[schemars(range(min = 0, max = 100))]
    pub mirror_percent: Option<u32>,
    /// The same under its oldest name.
    #[serde(rename = "mirror_percent")]
    #[schemars(range(min = 0, max = 100))]
    pub mirror_percent_oldest: Option<u32>,
    /// Percent of requests to mirror; all by default.
    pub mirror_percentage: Option<Percent>,
    /// Cross-origin resource sharing.
    pub cors_policy: Option<CorsPolicy>,
    /// Header changes for all destinations.
    pub headers: Option<Headers>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatch {
    /// Name, for people.
    pub name: Option<String>,
    /// The path, without the query.
    pub uri: Option<StringMatch>,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// `GET`, `POST`, …
    pub method: Option<StringMatch>,
    /// The Host header.
    pub authority: Option<StringMatch>,
    /// Request headers, by lower-case name; an empty condition asks for presence.
    pub headers: BTreeMap<String, StringMatch>,
    /// The Service port the request was sent to.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
    /// Labels of the client.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways this condition is limited to.
    pub gateways: Vec<String>,
    /// Query parameters, by name.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Compare `uri` without regard to case (`exact` and `prefix` only).
    pub ignore_uri_case: bool,
    /// Headers that must not match.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Namespace of the client.
    pub source_namespace: Option<String>,
    /// Prefix for statistics of this route.
    pub stat_prefix: Option<String>,
}
