//! Settings of the controller.

use std::time::Duration;

use crate::{api::AlertProviderSpec, cluster::labels::LabelPrefixes};

/// Settings that apply to every canary.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Prometheus server for built-in and inline queries, unless the Canary names one.
    pub metrics_server: String,
    /// Traffic provider, unless the Canary names one.
    pub mesh_provider: String,
    /// Keys of labels that may select the pods of a target, in order of preference.
    pub selector_labels: Vec<String>,
    /// Labels that are copied to generated objects.
    pub label_prefixes: LabelPrefixes,
    /// URL that receives every event of a canary without a webhook of type `event`.
    pub event_webhook: Option<String>,
    /// Refuses references to metric templates and alert providers in other namespaces.
    pub no_cross_namespace_refs: bool,
    /// Tracks the ConfigMaps and Secrets of targets.
    pub config_tracking: bool,
    /// Minimum analysis interval.
    pub min_interval: Duration,
    /// Cluster name in alerts.
    pub cluster_name: Option<String>,
    /// Receiver of the alerts of canaries that configure none.
    pub notifier: Option<Notifier>,
}

/// Receiver of the alerts of canaries that configure none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    /// Chat service, address, channel and user.
    pub provider: AlertProviderSpec,
    /// Bearer token, if the receiver needs one.
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
