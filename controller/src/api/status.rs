//! `status` of a Canary: Flagger's fields and optional additions that explain each decision.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Status of a Canary. The fields up to `conditions` are Flagger's, the rest are additions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// Phase of the canary.
    #[schemars(extend("enum" = [
        "", "Initializing", "Initialized", "Waiting", "Progressing", "WaitingPromotion", "Promoting",
        "Finalising", "Succeeded", "Failed", "Terminating", "Terminated"
    ]))]
    pub phase: String,
    /// Number of failed checks of the current run.
    pub failed_checks: i64,
    /// Canary weight in percent.
    pub canary_weight: i64,
    /// Number of completed checks of a Blue/Green release or an A/B test.
    pub iterations: i64,
    /// Checksums of the tracked ConfigMaps and Secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,
    /// Digest of the revision of the current or last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_applied_spec: Option<String>,
    /// Digest of the revision that the primary runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_promoted_spec: Option<String>,
    /// Time of the last status update.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Cookie of the current run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity_cookie: Option<String>,
    /// Cookie of the previous run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_session_affinity_cookie: Option<String>,
    /// Cookie of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_session_affinity_cookie: Option<String>,
    /// Conditions; the only type is `Promoted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// Addition: checksums of the tracked ConfigMaps and Secrets that the primary runs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_configs: Option<BTreeMap<String, String>>,
    /// Addition: time of the last analysis check.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_check_time: Option<String>,
    /// Addition: start of the current phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub phase_since: Option<String>,
    /// Addition: start of the current or last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub run_started: Option<String>,
    /// Addition: whether the pre-rollout webhooks of the current run have passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_rollout_done: Option<bool>,
    /// Addition: remaining cleanup of a failed release: `PostRollout` (webhooks, then scaling down) or `ScaleDown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<String>,
    /// Addition: why the canary is waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingStatus>,
    /// Addition: the most recent checks, newest last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<CheckStatus>>,
    /// Fields of other writers, preserved.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A condition of a Canary.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type of the condition: `Promoted`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Phase of the canary.
    pub reason: String,
    /// Human-readable description.
    pub message: String,
    /// Time of the last change of status or reason.
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: String,
    /// Time of the last change of the status.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// Why a canary is waiting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitingStatus {
    /// Reason in one word.
    pub reason: String,
    /// Human-readable description.
    pub message: String,
    /// Whether an event has been published for it.
    pub announced: bool,
}

/// Result of one check of a metric or webhook.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckStatus {
    /// Time of the check.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Name of the metric or webhook.
    pub name: String,
    /// Canary weight in percent at the time of the check.
    pub weight: i64,
    /// Measured value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Limit for the value.
    pub threshold: String,
    /// `Pass`, `Fail`, `NoData` or `Error`.
    pub verdict: String,
    /// Details of a check that did not pass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
