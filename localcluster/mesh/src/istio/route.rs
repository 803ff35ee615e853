//! What a route does with a request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::string_match::StringMatch;

/// A destination and its share of the requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["destination"]))]
#[serde(default, rename_all = "camelCase")]
pub struct RouteDestination {
    /// Where to send the request.
    pub destination: Destination,
    /// Share relative to the sum of all weights of the route.
    #[schemars(range(min = 0, max = 65535))]
    pub weight: Option<u32>,
    /// Header changes for this destination only.
    pub headers: Option<Headers>,
}

/// A Service, perhaps a part of its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["host"]))]
#[serde(default, rename_all = "camelCase")]
pub struct Destination {
    /// Service name; one without a dot is looked up in the object's namespace.
    pub host: String,
    /// Name of a subset of the host's `DestinationRule`.
    pub subset: Option<String>,
    /// Port of the Service; may be left out when it has only one, or is the port the client asked for.
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

/// Change path or authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Rewrite {
    /// Replaces the matched path or prefix.
    pub uri: Option<String>,
    /// Replaces the Host header.
    pub authority: Option<String>,
    /// Rewrite the path by a regular expression.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// Substitution in the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RegexRewrite {
    /// What to replace (RE2 syntax).
    pub r#match: String,
    /// The replacement; `\1` is the first group.
    pub rewrite: String,
}

/// A redirect to answer with.
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
    /// 301 (default), 302, 303, 307 or 308.
    pub redirect_code: Option<u32>,
}

/// A fixed answer.
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

/// When and how often to try again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Retry {
    /// Tries after the first one; 0 turns retries off.
    #[schemars(range(min = 0))]
    pub attempts: i32,
    /// Longest time for each try.
    pub per_try_timeout: Option<String>,
    /// Envoy's retry conditions and status codes, joined by commas.
    pub retry_on: Option<String>,
    /// Try other localities too.
    pub retry_remote_localities: Option<bool>,
    /// Do not try the same endpoint twice; true by default.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Shortest wait before a retry; 25ms by default.
    pub backoff: Option<String>,
}

/// Delays and errors to inject.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Fault {
    /// Hold requests up.
    pub delay: Option<Delay>,
    /// Answer requests with an error.
    pub abort: Option<Abort>,
}

/// Hold requests up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Delay {
    /// How long.
    pub fixed_delay: Option<String>,
    /// Random delay, of which Istio itself says that it is not implemented.
    pub exponential_delay: Option<String>,
    /// Share of the requests; 0 when left out.
    pub percentage: Option<Percent>,
    /// Whole percent (deprecated form).
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<u32>,
}

/// Answer requests with an error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Abort {
    /// Status code.
    #[schemars(range(min = 200, max = 599))]
    pub http_status: Option<u32>,
    /// gRPC status by name.
    pub grpc_status: Option<String>,
    /// HTTP/2 error by name.
    pub http2_error: Option<String>,
    /// Share of the requests; 0 when left out.
    pub percentage: Option<Percent>,
}

/// A share of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Percent {
    /// 0 to 100.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub value: f64,
}

/// A mirror; in `mirror` it is a bare [`Destination`], in `mirrors` one with its share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Mirror {
    /// Service name (`mirror`).
    pub host: Option<String>,
    /// Subset (`mirror`).
    pub subset: Option<String>,
    /// Port (`mirror`).
    pub port: Option<PortSelector>,
    /// Where to (`mirrors`).
    pub destination: Option<Destination>,
    /// Share (`mirrors`); all by default.
    pub percentage: Option<Percent>,
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsPolicy {
    /// Allowed origins, exact (deprecated form).
    pub allow_origin: Vec<String>,
    /// Allowed origins.
    pub allow_origins: Vec<StringMatch>,
    /// Allowed methods.
    pub allow_methods: Vec<String>,
    /// Allowed request headers.
    pub allow_headers: Vec<String>,
    /// Response headers a script may read.
    pub expose_headers: Vec<String>,
    /// How long a preflight answer may be kept.
    pub max_age: Option<String>,
    /// Whether cookies may be sent.
    pub allow_credentials: Option<bool>,
    /// `FORWARD` or `IGNORE`: what happens to preflight requests of other origins.
    pub unmatched_preflights: Option<String>,
}

/// Header changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Headers {
    /// Before the request is forwarded.
    pub request: Option<HeaderOperations>,
    /// Before the response is returned.
    pub response: Option<HeaderOperations>,
}

/// Changes to one set of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderOperations {
    /// Replace.
    pub set: BTreeMap<String, String>,
    /// Append.
    pub add: BTreeMap<String, String>,
    /// Take away.
    pub remove: Vec<String>,
}
