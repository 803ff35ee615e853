//! A validated Canary: what the engine needs, and what the shell needs to carry out its plans.

use std::{collections::BTreeMap, time::Duration};

use canary_engine::canary::{Canary, HookKind};
use serde_json::{Value, json};

use crate::{
    api::{AlertProviderSpec, MetricTemplateSpec, ServiceSpec, Webhook},
    cluster::labels::SelectorLabel,
};

/// A validated Canary. Its lists of metrics and webhooks have the order of the engine's.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// What the engine sees.
    pub canary: Canary,
    /// `metadata.uid` of the Canary.
    pub uid: String,
    /// `spec.service`.
    pub service: ServiceSpec,
    /// Name of the apex Service.
    pub service_name: String,
    /// The label by which the target selects its pods.
    pub selector: SelectorLabel,
    /// Where each metric of `canary.analysis.metrics` comes from.
    pub metrics: Vec<MetricSource>,
    /// How each webhook of `canary.analysis.hooks` is called.
    pub hooks: Vec<HookCall>,
    /// Alerts of this canary; `None` means the controller's own notifier.
    pub alerts: Option<Vec<AlertTarget>>,
    /// Prometheus server of built-in and inline queries.
    pub metrics_server: String,
    /// Values of `{{ … }}` in queries, without interval and variables.
    pub query_names: QueryNames,
    /// What the user should know although nothing is refused.
    pub remarks: Vec<String>,
}

/// Names that queries can refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryNames {
    /// Name of the Canary.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of the target.
    pub target: String,
    /// Name of the apex Service.
    pub service: String,
    /// Name of the Ingress, or of the target.
    pub ingress: String,
    /// Name of the route, or of the target.
    pub route: String,
}

/// Where a metric comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSource {
    /// Window of the query, as text for the query.
    pub interval: String,
    /// What is queried.
    pub query: Query,
}

/// What is queried.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// `request-success-rate`
    SuccessRate,
    /// `request-duration`
    Duration,
    /// Text in the Canary itself.
    Inline(String),
    /// A MetricTemplate.
    Template {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Values of `{{ variables.KEY }}`.
        variables: BTreeMap<String, String>,
        /// The template, or what is wrong with it: a release that is under way is not stopped by a template that
        /// disappears, it fails its checks.
        spec: Result<Box<MetricTemplateSpec>, String>,
    },
}

/// How a webhook is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// When it is called.
    pub kind: HookKind,
    /// As specified.
    pub spec: Webhook,
    /// Time for one try.
    pub timeout: Duration,
    /// Further tries after a temporary failure.
    pub retries: u32,
}

/// Where an alert is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTarget {
    /// Least severity that is sent.
    pub severity: canary_engine::action::Severity,
    /// Namespace of the provider, and of its Secret.
    pub namespace: String,
    /// The provider.
    pub provider: AlertProviderSpec,
}

impl Release {
    /// Namespace of everything that is generated.
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

    /// The owner reference of everything that is generated.
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
