//! The actions of a route.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::string_match::StringMatch;

/// A destination and its weight.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["destination"]))]
#[serde(default, rename_all = "camelCase")]
pub struct RouteDestination {
    /// The Service that gets the requests.
    pub destination: Destination,
    /// Weight relative to the sum of all weights of the route.
    #[schemars(range(min = 0, max = 65535))]
    pub weight: Option<u32>,
    /// Header changes for this destination only.
    pub headers: Option<Headers>,
}

/// A Service or a subset of its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["host"]))]
#[serde(default, rename_all = "camelCase")]
pub struct Destination {
    /// Service name. A name without a dot is resolved in the namespace of the object.
    pub host: String,
    /// Name of a subset of the host's `DestinationRule`.
    pub subset: Option<String>,
    /// Port of the Service. Optional if the Service has only one port or if it is the port of the request.
    pub port: Option<PortSelector>,
}

/// A port by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["number"]))]
#[serde(default, rename_all = "camelCase")]
pub struct PortSelector {
    /// The number.
    #[schemars(range(min = 1, max = 65535))]
    pub number: u32,
}

/// Changes to the path or authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Rewrite {
    /// Replacement for the matched path or prefix.
    pub uri: Option<String>,
    /// New value of the Host header.
    pub authority: Option<String>,
    /// Rewrites the path with a regular expression.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// A substitution in the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RegexRewrite {
    /// Regular expression for the part to replace (RE2 syntax).
    pub r#match: String,
    /// Replacement. `\1` stands for the first group.
    pub rewrite: String,
}

/// A redirect response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Redirect {
    /// New path.
    pub uri: Option<String>,
    /// New authority.
    pub authority: Option<String>,
    /// New port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
    /// `FROM_PROTOCOL_DEFAULT` or `FROM_REQUEST_PORT`.
    pub derive_port: Option<String>,
    /// New scheme.
    pub scheme: Option<String>,
    /// Status code: 301 (default), 302, 303, 307 or 308.
    pub redirect_code: Option<u32>,
}

/// A fixed response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["status"]))]
#[serde(default, rename_all = "camelCase")]
pub struct DirectResponse {
    /// Status code.
    #[schemars(range(min = 200, max = 599))]
    pub status: u32,
    /// Body; empty by default.
    pub body: Option<Body>,
}

/// Body of a [`DirectResponse`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("maxProperties" = 1))]
#[serde(default, rename_all = "camelCase")]
pub struct Body {
    /// Text.
    pub string: Option<String>,
    /// Base64.
    pub bytes: Option<String>,
}

/// A retry policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Retry {
    /// Number of retries; 0 disables retries.
    #[schemars(range(min = 0))]
    pub attempts: i32,
    /// Timeout of each attempt.
    pub per_try_timeout: Option<String>,
    /// Comma-separated retry conditions of Envoy and status codes.
    pub retry_on: Option<String>,
    /// Retries in other localities too.
    pub retry_remote_localities: Option<bool>,
    /// Retries on other endpoints than before; true by default.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Minimum delay before a retry; 25ms by default.
    pub backoff: Option<String>,
}

/// Delays and errors to inject.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Fault {
    /// Delays requests.
    pub delay: Option<Delay>,
    /// Responds to requests with an error.
    pub abort: Option<Abort>,
}

/// A delay of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Delay {
    /// Duration of the delay.
    pub fixed_delay: Option<String>,
    /// Random delay. Istio does not implement it either.
    pub exponential_delay: Option<String>,
    /// Percentage of delayed requests; 0 by default.
    pub percentage: Option<Percent>,
    /// Percentage as an integer (deprecated).
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<u32>,
}

/// An error response to requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Abort {
    /// Status code.
    #[schemars(range(min = 200, max = 599))]
    pub http_status: Option<u32>,
    /// Name of a gRPC status.
    pub grpc_status: Option<String>,
    /// Name of an HTTP/2 error.
    pub http2_error: Option<String>,
    /// Percentage of aborted requests; 0 by default.
    pub percentage: Option<Percent>,
}

/// A percentage of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Percent {
    /// 0 to 100.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub value: f64,
}

/// A mirror. In `mirror` it has the fields of a destination, in `mirrors` a destination and a percentage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Mirror {
    /// Service name (`mirror`).
    pub host: Option<String>,
    /// Subset (`mirror`).
    pub subset: Option<String>,
    /// Port (`mirror`).
    pub port: Option<PortSelector>,
    /// The Service that gets the copies (`mirrors`).
    pub destination: Option<Destination>,
    /// Percentage of mirrored requests (`mirrors`); 100 by default.
    pub percentage: Option<Percent>,
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsPolicy {
    /// Allowed origins, compared exactly (deprecated).
    pub allow_origin: Vec<String>,
    /// Allowed origins.
    pub allow_origins: Vec<StringMatch>,
    /// Allowed methods.
    pub allow_methods: Vec<String>,
    /// Allowed request headers.
    pub allow_headers: Vec<String>,
    /// Response headers that a script may read.
    pub expose_headers: Vec<String>,
    /// How long a client may cache a preflight response.
    pub max_age: Option<String>,
    /// Allows requests with credentials such as cookies.
    pub allow_credentials: Option<bool>,
    /// Treatment of preflight requests from other origins: `FORWARD` or `IGNORE`.
    pub unmatched_preflights: Option<String>,
}

/// Header changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Headers {
    /// Changes before the request is forwarded.
    pub request: Option<HeaderOperations>,
    /// Changes before the response is returned.
    pub response: Option<HeaderOperations>,
}

/// Changes to one set of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderOperations {
    /// Headers to set. An existing value is replaced.
    pub set: BTreeMap<String, String>,
    /// Headers to add. A new value is appended to existing ones.
    pub add: BTreeMap<String, String>,
    /// Names of headers to remove.
    pub remove: Vec<String>,
}
