//! The supported objects of the Prometheus Operator.

use std::collections::BTreeMap;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::{CustomResource, CustomResourceExt};
use localcluster_shared::definition::remove_defaults;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Spec of a `PodMonitor`: the pods to scrape, and how.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PodMonitor",
    plural = "podmonitors",
    shortname = "pmon",
    category = "prometheus-operator",
    namespaced,
    schema = "derived",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("required" = ["selector"]))]
#[serde(default, rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// Pod label whose value becomes the label `job`; by default `job` is `NAMESPACE/NAME` of the monitor.
    pub job_label: Option<String>,
    /// Pod labels that are copied to the samples.
    pub pod_target_labels: Vec<String>,
    /// Endpoints of each pod to scrape.
    pub pod_metrics_endpoints: Vec<Endpoint>,
    /// Selects the pods.
    pub selector: LabelSelector,
    /// Namespaces of the pods; the monitor's namespace by default.
    pub namespace_selector: NamespaceSelector,
    /// Maximum number of samples per scrape.
    pub sample_limit: Option<u64>,
    /// Maximum number of targets.
    pub target_limit: Option<u64>,
    /// Maximum number of labels per sample.
    pub label_limit: Option<u64>,
    /// Maximum length of a label name.
    pub label_name_length_limit: Option<u64>,
    /// Maximum length of a label value.
    pub label_value_length_limit: Option<u64>,
    /// Maximum size of a response body, such as `10MB`.
    pub body_size_limit: Option<String>,
    /// Metadata of nodes to attach to targets.
    #[schemars(schema_with = "anything")]
    pub attach_metadata: Option<Value>,
    /// Name of a set of scrape settings.
    pub scrape_class: Option<String>,
    /// Protocols to negotiate.
    pub scrape_protocols: Vec<String>,
    /// Protocol to use if a target reports none.
    pub fallback_scrape_protocol: Option<String>,
    /// Maximum number of dropped targets kept in memory.
    pub keep_dropped_targets: Option<u64>,
    /// How pods are selected.
    pub selector_mechanism: Option<String>,
}

/// Selects namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Selects all namespaces.
    pub any: bool,
    /// Names of the namespaces.
    pub match_names: Vec<String>,
}

/// An endpoint of each pod to scrape.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    /// Name of a container port.
    pub port: Option<String>,
    /// Number of a container port.
    #[schemars(range(min = 1, max = 65535))]
    pub port_number: Option<u32>,
    /// Name or number of a container port (deprecated).
    pub target_port: Option<IntOrString>,
    /// Path; `/metrics` by default.
    pub path: Option<String>,
    /// `http` (default) or `https`.
    pub scheme: Option<String>,
    /// Query parameters.
    pub params: BTreeMap<String, Vec<String>>,
    /// Scrape interval, such as `30s`.
    pub interval: Option<String>,
    /// Timeout of a scrape. Must not be longer than the interval.
    pub scrape_timeout: Option<String>,
    /// Keeps the target's labels on a conflict.
    pub honor_labels: Option<bool>,
    /// Keeps the target's timestamps; true by default.
    pub honor_timestamps: Option<bool>,
    /// Follows redirects.
    pub follow_redirects: Option<bool>,
    /// Uses HTTP/2.
    pub enable_http2: Option<bool>,
    /// Skips pods that have ended; true by default.
    pub filter_running: Option<bool>,
    /// Relabeling of targets before the scrape.
    pub relabelings: Vec<Relabeling>,
    /// Relabeling of samples before they are stored.
    pub metric_relabelings: Vec<Relabeling>,
    /// User and password.
    #[schemars(schema_with = "anything")]
    pub basic_auth: Option<Value>,
    /// Authorization header.
    #[schemars(schema_with = "anything")]
    pub authorization: Option<Value>,
    /// Bearer token.
    #[schemars(schema_with = "anything")]
    pub bearer_token_secret: Option<Value>,
    /// OAuth 2.
    #[schemars(schema_with = "anything")]
    pub oauth2: Option<Value>,
    /// TLS.
    #[schemars(schema_with = "anything")]
    pub tls_config: Option<Value>,
    /// HTTP proxy.
    pub proxy_url: Option<String>,
    /// Tracks the staleness of samples with explicit timestamps.
    pub track_timestamps_staleness: Option<bool>,
}

/// Prometheus' `relabel_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Relabeling {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// Separator between the joined values; `;` by default.
    pub separator: Option<String>,
    /// Label to set.
    pub target_label: Option<String>,
    /// Regular expression that must match the whole joined value; `(.*)` by default.
    pub regex: Option<String>,
    /// Divisor of `hashmod`.
    pub modulus: Option<u64>,
    /// New value; `$1` by default.
    pub replacement: Option<String>,
    /// Action; `replace` by default. Case is ignored.
    pub action: Option<String>,
}

/// Spec of a `ServiceMonitor`. The object is accepted, and an Event reports that it is not supported.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    plural = "servicemonitors",
    shortname = "smon",
    category = "prometheus-operator",
    namespaced,
    schema = "derived"
)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct ServiceMonitorSpec {}

/// Spec of a `PrometheusRule`: alerting and recording rules.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PrometheusRule",
    plural = "prometheusrules",
    shortname = "promrule",
    category = "prometheus-operator",
    namespaced,
    schema = "derived"
)]
#[serde(default)]
pub struct PrometheusRuleSpec {
    /// Groups of rules, each evaluated at its own interval.
    pub groups: Vec<RuleGroup>,
}

/// A group of rules that are evaluated in order. The fields have the names of Prometheus' rule files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["name"]))]
#[serde(default)]
pub struct RuleGroup {
    /// Name, unique within the object.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Evaluation interval, such as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Maximum number of alerts or series per rule; 0 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Offset into the past at which queries are evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_offset: Option<String>,
    /// Labels added to every rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A setting of Thanos. Prometheus does not have it.
    #[serde(skip_serializing)]
    pub partial_response_strategy: Option<String>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// An alerting or recording rule.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Rule {
    /// Name of the recorded series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Name of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// PromQL expression.
    pub expr: IntOrString,
    /// How long the expression must have a result before the alert fires.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub holds_for: Option<String>,
    /// How long the alert keeps firing after the expression has no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<String>,
    /// Labels to add.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The CustomResourceDefinitions. Apply them before [`run`](crate::run).
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        PodMonitor::crd(),
        ServiceMonitor::crd(),
        PrometheusRule::crd(),
    ];
    definitions.iter_mut().for_each(remove_defaults);
    definitions
}

/// Schema of a field that may have any content, because only its presence is checked.
fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
