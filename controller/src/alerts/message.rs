//! The message of an alert, independent of the chat service.

use canary_engine::action::{Alert, Severity};

use crate::{process::settings::Settings, release::Release};

/// The data that receivers can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `CANARY.NAMESPACE`
    pub title: String,
    /// Message of the alert.
    pub text: String,
    /// Additional fields, in order.
    pub fields: Vec<(String, String)>,
    /// Severity `error`.
    pub is_error: bool,
    /// Channel.
    pub channel: String,
    /// Display name of the sender.
    pub username: String,
}

/// Builds the message of an alert.
#[must_use]
pub fn of_alert(release: &Release, alert: &Alert, settings: &Settings) -> Message {
    let mut fields = Vec::new();
    if let Some(cluster) = &settings.cluster_name {
        fields.push(("Cluster".to_owned(), cluster.clone()));
    }
    if alert.with_metadata {
        let canary = &release.canary;
        let target = format!(
            "{}/{}.{}",
            canary.target.kind.as_str(),
            canary.target.name,
            canary.namespace
        );
        fields.push(("Target".to_owned(), target));
        fields.push((
            "Failed checks threshold".to_owned(),
            canary.analysis.threshold.to_string(),
        ));
        fields.push((
            "Progress deadline".to_owned(),
            format!("{}s", canary.progress_deadline.as_secs()),
        ));
        fields.push((
            "Traffic routing".to_owned(),
            canary.analysis.strategy.summary(),
        ));
    }
    Message {
        title: format!("{}.{}", release.canary.name, release.canary.namespace),
        text: alert.message.clone(),
        fields,
        is_error: alert.severity == Severity::Error,
        channel: "general".to_owned(),
        username: "flagger".to_owned(),
    }
}
