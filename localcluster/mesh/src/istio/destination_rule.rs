//! `DestinationRule`: policies that apply to requests to a Service after routing.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;

/// Spec of a `DestinationRule`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "DestinationRule",
    plural = "destinationrules",
    shortname = "dr",
    category = "istio-io",
    category = "networking-istio-io",
    namespaced,
    status = "Status",
    schema = "derived",
    printcolumn = r#"{"name":"Host","type":"string","jsonPath":".spec.host","description":"The Service this rule is for"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("required" = ["host"]))]
#[serde(default, rename_all = "camelCase")]
pub struct DestinationRuleSpec {
    /// Service name. A name without a dot is resolved in the namespace of the object.
    pub host: String,
    /// Policy for the whole Service.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named subsets of the Service's pods.
    pub subsets: Vec<Subset>,
    /// Namespaces in which the object is visible.
    pub export_to: Vec<String>,
    /// Selects the client pods that the rule applies to.
    #[schemars(schema_with = "super::anything")]
    pub workload_selector: Option<Value>,
}

/// A named subset of a Service's pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["name"]))]
#[serde(default, rename_all = "camelCase")]
pub struct Subset {
    /// Name that routes refer to.
    pub name: String,
    /// Labels that select the pods.
    pub labels: BTreeMap<String, String>,
    /// Policy for the subset. Its fields override those of the rule.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Policy for requests to a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// How endpoints are selected.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits of connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is ejected.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS settings of connections to the pods.
    pub tls: Option<Tls>,
    /// Policies per port.
    #[schemars(schema_with = "super::list_of_anything")]
    pub port_level_settings: Vec<Value>,
    /// HTTP CONNECT tunnel.
    #[schemars(schema_with = "super::anything")]
    pub tunnel: Option<Value>,
    /// PROXY protocol.
    #[schemars(schema_with = "super::anything")]
    pub proxy_protocol: Option<Value>,
    /// Limit of concurrent retries.
    #[schemars(schema_with = "super::anything")]
    pub retry_budget: Option<Value>,
}

/// How endpoints are selected.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LoadBalancer {
    /// `ROUND_ROBIN`, `LEAST_REQUEST`, `LEAST_CONN`, `RANDOM`, `PASSTHROUGH` or `UNSPECIFIED`.
    pub simple: Option<String>,
    /// Consistent hashing of a part of the request.
    #[schemars(schema_with = "super::anything")]
    pub consistent_hash: Option<Value>,
    /// Locality-aware load balancing.
    #[schemars(schema_with = "super::anything")]
    pub locality_lb_setting: Option<Value>,
    /// Time until a new endpoint gets its full share.
    pub warmup_duration_secs: Option<String>,
    /// Warm-up of new endpoints, with more settings.
    #[schemars(schema_with = "super::anything")]
    pub warmup: Option<Value>,
}

/// Limits of connections and requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionPool {
    /// Limits of connections.
    pub tcp: Option<TcpPool>,
    /// Limits of requests.
    pub http: Option<HttpPool>,
}

/// Limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpPool {
    /// Maximum number of connections.
    #[schemars(range(min = 0))]
    pub max_connections: Option<u32>,
    /// Connect timeout; 10s by default.
    pub connect_timeout: Option<String>,
    /// Keep-alive probes.
    #[schemars(schema_with = "super::anything")]
    pub tcp_keepalive: Option<Value>,
    /// Maximum lifetime of a connection.
    pub max_connection_duration: Option<String>,
    /// Idle timeout of a TCP connection.
    pub idle_timeout: Option<String>,
}

/// Limits of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpPool {
    /// Maximum number of requests that wait for a connection.
    #[schemars(range(min = 0))]
    pub http1_max_pending_requests: Option<u32>,
    /// Maximum number of concurrent requests.
    #[schemars(range(min = 0))]
    pub http2_max_requests: Option<u32>,
    /// Maximum number of requests per connection.
    #[schemars(range(min = 0))]
    pub max_requests_per_connection: Option<u32>,
    /// Maximum number of concurrent retries.
    #[schemars(range(min = 0))]
    pub max_retries: Option<u32>,
    /// Idle timeout of a connection; 1h by default.
    pub idle_timeout: Option<String>,
    /// `DEFAULT`, `DO_NOT_UPGRADE` or `UPGRADE` to HTTP/2.
    pub h2_upgrade_policy: Option<String>,
    /// Uses the protocol of the client for the connection to the pod.
    pub use_client_protocol: Option<bool>,
    /// Maximum number of HTTP/2 streams per connection.
    #[schemars(range(min = 0))]
    pub max_concurrent_streams: Option<u32>,
}

/// When an endpoint is ejected for a while.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct OutlierDetection {
    /// Number of consecutive errors (deprecated).
    pub consecutive_errors: Option<u32>,
    /// Number of consecutive 5xx responses; 5 by default.
    pub consecutive_5xx_errors: Option<u32>,
    /// Number of consecutive 502, 503 and 504 responses.
    pub consecutive_gateway_errors: Option<u32>,
    /// Number of consecutive failures that originate in the proxy.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Counts failures that originate in the proxy separately.
    pub split_external_local_origin_errors: Option<bool>,
    /// Interval between checks; 10s by default.
    pub interval: Option<String>,
    /// Minimum time of an ejection; 30s by default.
    pub base_ejection_time: Option<String>,
    /// Maximum percentage of ejected endpoints; 10 by default.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejection_percent: Option<u32>,
    /// Percentage of healthy endpoints below which all endpoints are used.
    #[schemars(range(min = 0, max = 100))]
    pub min_health_percent: Option<u32>,
}

/// TLS settings of connections to the pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// `DISABLE`, `SIMPLE`, `MUTUAL` or `ISTIO_MUTUAL`.
    pub mode: Option<String>,
}
