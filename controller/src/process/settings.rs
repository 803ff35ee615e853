//! What the controller was told when it was started, resolved.

use std::time::Duration;

use crate::{api::AlertProviderSpec, cluster::labels::LabelPrefixes};

/// Settings that apply to every canary.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Prometheus server of built-in and inline queries, unless the Canary names one.
    pub metrics_server: String,
    /// Traffic provider, unless the Canary names one.
    pub mesh_provider: String,
    /// Keys of labels by which a target may select its pods, in order of preference.
    pub selector_labels: Vec<String>,
    /// Labels that are copied to generated objects.
    pub label_prefixes: LabelPrefixes,
    /// Called with every event of a canary that has no webhook of type `event`.
    pub event_webhook: Option<String>,
    /// Refuses references to templates and alert providers in other namespaces.
    pub no_cross_namespace_refs: bool,
    /// Follows ConfigMaps and Secrets of the target.
    pub config_tracking: bool,
    /// Shortest analysis interval that is accepted.
    pub min_interval: Duration,
    /// Sent with alerts.
    pub cluster_name: Option<String>,
    /// Where alerts of canaries without a list of their own are sent.
    pub notifier: Option<Notifier>,
}

/// Where alerts of canaries without a list of their own are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    /// Chat service, address, channel and user.
    pub provider: AlertProviderSpec,
    /// Bearer token, if the address needs one.
    pub token: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            metrics_server: "http://prometheus:9090".to_owned(),
            mesh_provider: "istio".to_owned(),
            selector_labels: ["app", "name", "app.kubernetes.io/name"]
                .map(String::from)
                .to_vec(),
            label_prefixes: LabelPrefixes::default(),
            event_webhook: None,
            no_cross_namespace_refs: false,
            config_tracking: true,
            min_interval: Duration::from_secs(10),
            cluster_name: None,
            notifier: None,
        }
    }
}
