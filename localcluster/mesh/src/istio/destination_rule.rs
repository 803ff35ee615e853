//! `DestinationRule`: what holds for requests to a Service once the route is chosen.

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
    /// Service name; one without a dot is looked up in the object's namespace.
    pub host: String,
    /// Policy for the whole Service.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named parts of the Service's pods.
    pub subsets: Vec<Subset>,
    /// Namespaces that see this object.
    pub export_to: Vec<String>,
    /// Pods the rule is limited to.
    #[schemars(schema_with = "super::anything")]
    pub workload_selector: Option<Value>,
}

/// A named part of a Service's pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["name"]))]
#[serde(default, rename_all = "camelCase")]
pub struct Subset {
    /// Name used by routes.
    pub name: String,
    /// Labels a pod must have.
    pub labels: BTreeMap<String, String>,
    /// Policy for the subset, in place of the rule's.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Policy for requests to a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// How endpoints are chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// When to leave an endpoint out.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS to the pods.
    pub tls: Option<Tls>,
    /// Policies by port.
    #[schemars(schema_with = "super::list_of_anything")]
    pub port_level_settings: Vec<Value>,
    /// HTTP CONNECT tunnel.
    #[schemars(schema_with = "super::anything")]
    pub tunnel: Option<Value>,
    /// PROXY protocol.
    #[schemars(schema_with = "super::anything")]
    pub proxy_protocol: Option<Value>,
    /// Budget of retries.
    #[schemars(schema_with = "super::anything")]
    pub retry_budget: Option<Value>,
}

/// How endpoints are chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LoadBalancer {
    /// `ROUND_ROBIN`, `LEAST_REQUEST`, `LEAST_CONN`, `RANDOM`, `PASSTHROUGH` or `UNSPECIFIED`.
    pub simple: Option<String>,
    /// By hash of a part of the request.
    #[schemars(schema_with = "super::anything")]
    pub consistent_hash: Option<Value>,
    /// By place.
    #[schemars(schema_with = "super::anything")]
    pub locality_lb_setting: Option<Value>,
    /// Time over which a new endpoint gets its full share.
    pub warmup_duration_secs: Option<String>,
    /// The same with more settings.
    #[schemars(schema_with = "super::anything")]
    pub warmup: Option<Value>,
}

/// Limits of connections and requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionPool {
    /// Connections.
    pub tcp: Option<TcpPool>,
    /// Requests.
    pub http: Option<HttpPool>,
}

/// Limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpPool {
    /// Most connections at a time.
    #[schemars(range(min = 0))]
    pub max_connections: Option<u32>,
    /// Longest time to connect; 10s by default.
    pub connect_timeout: Option<String>,
    /// Keep-alive probes.
    #[schemars(schema_with = "super::anything")]
    pub tcp_keepalive: Option<Value>,
    /// Longest life of a connection.
    pub max_connection_duration: Option<String>,
    /// Longest idle time of a TCP connection.
    pub idle_timeout: Option<String>,
}

/// Limits of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpPool {
    /// Most requests waiting for a connection.
    #[schemars(range(min = 0))]
    pub http1_max_pending_requests: Option<u32>,
    /// Most requests at a time.
    #[schemars(range(min = 0))]
    pub http2_max_requests: Option<u32>,
    /// Requests after which a connection is closed.
    #[schemars(range(min = 0))]
    pub max_requests_per_connection: Option<u32>,
    /// Most retries at a time.
    #[schemars(range(min = 0))]
    pub max_retries: Option<u32>,
    /// Idle time after which a connection is closed; 1h by default.
    pub idle_timeout: Option<String>,
    /// `DEFAULT`, `DO_NOT_UPGRADE` or `UPGRADE` to HTTP/2.
    pub h2_upgrade_policy: Option<String>,
    /// Speak the client's protocol to the pod.
    pub use_client_protocol: Option<bool>,
    /// Most HTTP/2 streams of a connection.
    #[schemars(range(min = 0))]
    pub max_concurrent_streams: Option<u32>,
}

/// When to leave an endpoint out for a while.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct OutlierDetection {
    /// Errors in a row (deprecated form).
    pub consecutive_errors: Option<u32>,
    /// 5xx answers in a row; 5 by default.
    pub consecutive_5xx_errors: Option<u32>,
    /// 502, 503 and 504 answers in a row.
    pub consecutive_gateway_errors: Option<u32>,
    /// Failures on this side in a row.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Count failures on this side apart.
    pub split_external_local_origin_errors: Option<bool>,
    /// Time between looks; 10s by default.
    pub interval: Option<String>,
    /// Shortest time an endpoint is left out; 30s by default.
    pub base_ejection_time: Option<String>,
    /// Largest part of the endpoints left out; 10 percent by default.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejection_percent: Option<u32>,
    /// Part of endpoints below which all are used.
    #[schemars(range(min = 0, max = 100))]
    pub min_health_percent: Option<u32>,
}

/// TLS to the pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// `DISABLE`, `SIMPLE`, `MUTUAL` or `ISTIO_MUTUAL`.
    pub mode: Option<String>,
}
