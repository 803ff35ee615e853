//! `status` of a Canary: Flagger's fields, and optional additions that explain every decision.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// State of a canary. The fields up to `conditions` are Flagger's, the rest are additions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// Phase of the canary.
    #[schemars(extend("enum" = [
        "", "Initializing", "Initialized", "Waiting", "Progressing", "WaitingPromotion", "Promoting",
        "Finalising", "Succeeded", "Failed", "Terminating", "Terminated"
    ]))]
    pub phase: String,
    /// Failed checks of the run in progress.
    pub failed_checks: i64,
    /// Weight of the canary in percent.
    pub canary_weight: i64,
    /// Checks done of a Blue/Green release or an A/B test.
    pub iterations: i64,
    /// Checksums of the tracked ConfigMaps and Secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,
    /// Digest of the revision of the run in progress, or of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_applied_spec: Option<String>,
    /// Digest of the revision that the primary runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_promoted_spec: Option<String>,
    /// When the status was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Cookie of the run in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity_cookie: Option<String>,
    /// Cookie of the previous run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_session_affinity_cookie: Option<String>,
    /// Cookie of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_session_affinity_cookie: Option<String>,
    /// One condition, `Promoted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// Addition: checksums of the tracked ConfigMaps and Secrets that the primary runs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_configs: Option<BTreeMap<String, String>>,
    /// Addition: when the last analysis check was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_check_time: Option<String>,
    /// Addition: when the current phase was entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub phase_since: Option<String>,
    /// Addition: when the run in progress, or the last one, began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub run_started: Option<String>,
    /// Addition: whether the pre-rollout webhooks of this run have passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_rollout_done: Option<bool>,
    /// Addition: what is left to do of a release that failed: `PostRollout` (webhooks, then scaling down) or `ScaleDown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<String>,
    /// Addition: why nothing moves at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingStatus>,
    /// Addition: the latest checks, newest last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<CheckStatus>>,
    /// Fields of others, kept.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A condition of a Canary.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type; `Promoted`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The phase.
    pub reason: String,
    /// The state in words.
    pub message: String,
    /// When status or reason last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: String,
    /// When the status last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// Why nothing moves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitingStatus {
    /// The cause in one word.
    pub reason: String,
    /// The cause in words.
    pub message: String,
    /// Whether an event said so.
    pub announced: bool,
}

/// One check of one metric or webhook.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckStatus {
    /// When it was made.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Name of the metric or webhook.
    pub name: String,
    /// Weight of the canary at that time, in percent.
    pub weight: i64,
    /// The measured value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The limit it was held against.
    pub threshold: String,
    /// `Pass`, `Fail`, `NoData` or `Error`.
    pub verdict: String,
    /// What was found, for anything but a pass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
