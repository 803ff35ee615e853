//! The objects of the Prometheus Operator that are known here.

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

/// Spec of a `PodMonitor`: which pods are scraped, and how.
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
    /// Label of a pod whose value becomes the label `job`; `NAMESPACE/NAME` of the monitor by default.
    pub job_label: Option<String>,
    /// Labels of a pod to put on its samples.
    pub pod_target_labels: Vec<String>,
    /// What to scrape of each pod.
    pub pod_metrics_endpoints: Vec<Endpoint>,
    /// Which pods.
    pub selector: LabelSelector,
    /// Namespaces of the pods; the monitor's own by default.
    pub namespace_selector: NamespaceSelector,
    /// Most samples of a scrape.
    pub sample_limit: Option<u64>,
    /// Most targets.
    pub target_limit: Option<u64>,
    /// Most labels of a sample.
    pub label_limit: Option<u64>,
    /// Longest name of a label.
    pub label_name_length_limit: Option<u64>,
    /// Longest value of a label.
    pub label_value_length_limit: Option<u64>,
    /// Largest body, as `10MB`.
    pub body_size_limit: Option<String>,
    /// Metadata of nodes.
    #[schemars(schema_with = "anything")]
    pub attach_metadata: Option<Value>,
    /// Class of scrape settings.
    pub scrape_class: Option<String>,
    /// Protocols to ask for.
    pub scrape_protocols: Vec<String>,
    /// Protocol when a target names none.
    pub fallback_scrape_protocol: Option<String>,
    /// Most dropped targets to remember.
    pub keep_dropped_targets: Option<u64>,
    /// How pods are selected.
    pub selector_mechanism: Option<String>,
}

/// Namespaces to look in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// All of them.
    pub any: bool,
    /// These.
    pub match_names: Vec<String>,
}

/// One thing to scrape of each pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    /// Name of a container port.
    pub port: Option<String>,
    /// Number of a container port.
    #[schemars(range(min = 1, max = 65535))]
    pub port_number: Option<u32>,
    /// Name or number of a container port (deprecated form).
    pub target_port: Option<IntOrString>,
    /// Path; `/metrics` by default.
    pub path: Option<String>,
    /// `http` (default) or `https`.
    pub scheme: Option<String>,
    /// Query parameters.
    pub params: BTreeMap<String, Vec<String>>,
    /// Time between scrapes, as `30s`.
    pub interval: Option<String>,
    /// Longest time for a scrape; not longer than the interval.
    pub scrape_timeout: Option<String>,
    /// Keep the target's labels where they clash.
    pub honor_labels: Option<bool>,
    /// Keep the target's timestamps; true by default.
    pub honor_timestamps: Option<bool>,
    /// Follow redirects.
    pub follow_redirects: Option<bool>,
    /// Speak HTTP/2.
    pub enable_http2: Option<bool>,
    /// Leave out pods that have ended; true by default.
    pub filter_running: Option<bool>,
    /// Changes to targets before they are scraped.
    pub relabelings: Vec<Relabeling>,
    /// Changes to samples before they are stored.
    pub metric_relabelings: Vec<Relabeling>,
    /// User and password.
    #[schemars(schema_with = "anything")]
    pub basic_auth: Option<Value>,
    /// Authorization header.
    #[schemars(schema_with = "anything")]
    pub authorization: Option<Value>,
    /// Token.
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
    /// Staleness of samples with timestamps.
    pub track_timestamps_staleness: Option<bool>,
}

/// Prometheus' `relabel_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Relabeling {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What joins them; `;` by default.
    pub separator: Option<String>,
    /// Label that is set.
    pub target_label: Option<String>,
    /// What the joined values must match as a whole; `(.*)` by default.
    pub regex: Option<String>,
    /// Divisor of `hashmod`.
    pub modulus: Option<u64>,
    /// New value; `$1` by default.
    pub replacement: Option<String>,
    /// What to do; `replace` by default. In any case of letters.
    pub action: Option<String>,
}

/// Spec of an object that is accepted and answered with an Event.
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

/// Spec of a `PrometheusRule`: alerts and recorded queries.
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
    /// Groups, each evaluated in order at its own interval.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated one after the other. Fields are named as in Prometheus' rule files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["name"]))]
#[serde(default)]
pub struct RuleGroup {
    /// Name, unique in its object.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Time between evaluations, as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Most alerts or series of a rule; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How far in the past the queries look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_offset: Option<String>,
    /// Labels of every rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Thanos' setting; Prometheus has none.
    #[serde(skip_serializing)]
    pub partial_response_strategy: Option<String>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// An alert or a recorded query.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Rule {
    /// Name of the series that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Name of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The query.
    pub expr: IntOrString,
    /// How long the query must give something before the alert fires.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub holds_for: Option<String>,
    /// How long the alert goes on after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<String>,
    /// Labels to add.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What people are told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The definitions, to be applied before [`run`](crate::run).
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        PodMonitor::crd(),
        ServiceMonitor::crd(),
        PrometheusRule::crd(),
    ];
    definitions.iter_mut().for_each(remove_defaults);
    definitions
}

/// Schema of a part that is accepted as it is, because its mere presence is answered.
fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
