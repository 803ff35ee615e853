//! A validated Canary: the input of the engine, and the settings needed to apply its plans.

use std::{collections::BTreeMap, time::Duration};

use canary_engine::canary::{Canary, HookKind};
use serde_json::{Value, json};

use crate::{
    api::{AlertProviderSpec, MetricTemplateSpec, ServiceSpec, Webhook},
    cluster::labels::SelectorLabel,
};

/// A validated Canary. Its metrics and webhooks are in the same order as those of the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Input of the engine.
    pub canary: Canary,
    /// `metadata.uid` of the Canary.
    pub uid: String,
    /// `spec.service`.
    pub service: ServiceSpec,
    /// Name of the apex Service.
    pub service_name: String,
    /// The label that the target selects its pods by.
    pub selector: SelectorLabel,
    /// Source of each metric in `canary.analysis.metrics`.
    pub metrics: Vec<MetricSource>,
    /// Call of each webhook in `canary.analysis.hooks`.
    pub hooks: Vec<HookCall>,
    /// Alerts of this canary; `None` selects the controller's global notifier.
    pub alerts: Option<Vec<AlertTarget>>,
    /// URL of the Prometheus server for built-in and inline queries.
    pub metrics_server: String,
    /// Values of the `{{ … }}` placeholders in queries, except interval and variables.
    pub query_names: QueryNames,
    /// Warnings about settings that are accepted.
    pub remarks: Vec<String>,
}

/// Names that queries can use as placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryNames {
    /// Name of the Canary.
    pub name: String,
    /// Namespace of the Canary.
    pub namespace: String,
    /// Name of the target.
    pub target: String,
    /// Name of the apex Service.
    pub service: String,
    /// Name of the Ingress; the target's name when there is none.
    pub ingress: String,
    /// Name of the route; the target's name when there is none.
    pub route: String,
}

/// Source of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSource {
    /// Time window of the query, as written in the query.
    pub interval: String,
    /// The query.
    pub query: Query,
}

/// The query of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// `request-success-rate`
    SuccessRate,
    /// `request-duration`
    Duration,
    /// An inline query of the Canary.
    Inline(String),
    /// A MetricTemplate.
    Template {
        /// Namespace of the MetricTemplate.
        namespace: String,
        /// Name of the MetricTemplate.
        name: String,
        /// Values for `{{ variables.KEY }}`.
        variables: BTreeMap<String, String>,
        /// The template, or its problem. A template that disappears during a run does not invalidate the Canary; its
        /// check fails instead.
        spec: Result<Box<MetricTemplateSpec>, String>,
    },
}

/// The call of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// Stage of the release at which the webhook is called.
    pub kind: HookKind,
    /// The webhook's specification.
    pub spec: Webhook,
    /// Timeout of one attempt.
    pub timeout: Duration,
    /// Number of retries after a temporary failure.
    pub retries: u32,
}

/// The destination of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTarget {
    /// Minimum severity of the alerts to send.
    pub severity: canary_engine::action::Severity,
    /// Namespace of the provider and its Secret.
    pub namespace: String,
    /// The provider.
    pub provider: AlertProviderSpec,
}

impl Release {
    /// Namespace of all generated objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.canary.namespace
    }

    /// Name of the target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.canary.target.name
    }

    /// Name of the primary.
    #[must_use]
    pub fn primary(&self) -> String {
        format!("{}-primary", self.canary.target.name)
    }

    /// The owner reference of all generated objects.
    #[must_use]
    pub fn owner(&self) -> Value {
        json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "name": self.canary.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }
}
