//! The validated specification of one canary, in units and with defaults applied.
//!
//! The shell converts the custom resource into this type and reports every problem on the way. The engine never sees an
//! interval that is text or a threshold of zero.

use std::time::Duration;

use crate::strategy::Strategy;

/// One canary release, as specified by the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// `metadata.name` of the Canary object.
    pub name: String,
    /// `metadata.namespace` of the Canary object.
    pub namespace: String,
    /// `spec.provider` or the controller's default (`istio`); used in events only, never interpreted here.
    pub provider: String,
    /// The workload being released.
    pub target: Target,
    /// `spec.suspend`: nothing changes while it is set.
    pub suspend: bool,
    /// `spec.skipAnalysis`, or no analysis at all: the canary is promoted as soon as it is ready.
    pub skip_analysis: bool,
    /// `spec.progressDeadlineSeconds` (Flagger: default 600 s).
    pub progress_deadline: Duration,
    /// The analysis of a new revision.
    pub analysis: Analysis,
}

/// The workload being released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its kind, as written in events and conditions.
    pub kind: TargetKind,
    /// `spec.targetRef.name`; the primary is named `<name>-primary`.
    pub name: String,
}

/// Kinds of workloads that a canary can release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// An `apps/v1` Deployment.
    Deployment,
}

impl TargetKind {
    /// The kind as written in manifests and conditions.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TargetKind::Deployment => "Deployment",
        }
    }
}

/// The analysis of a new revision (`spec.analysis`).
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Time between two checks, and between two weight steps.
    pub interval: Duration,
    /// Number of failed checks that rolls the release back (Flagger: cumulative, never reset by a pass). At least 1.
    pub threshold: u32,
    /// Percentage of updated replicas of the primary that must be available, 0 to 100.
    pub primary_ready_percent: u8,
    /// Percentage of updated replicas of the canary that must be available, 0 to 100.
    pub canary_ready_percent: u8,
    /// The way from the first check of a run to promotion.
    pub strategy: Strategy,
    /// Increment of the primary during promotion (`stepWeightPromotion`); 0 moves all traffic at once.
    pub promotion_step: u8,
    /// Metrics in list order.
    pub metrics: Vec<Metric>,
    /// Webhooks in list order.
    pub hooks: Vec<Hook>,
}

/// One metric check.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, used in events and in the status.
    pub name: String,
    /// What it measures. This decides the wording of a halt.
    pub kind: MetricKind,
    /// Accepted values, both bounds included.
    pub range: Range,
}

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Built-in `request-success-rate`, percent.
    SuccessRate,
    /// Built-in `request-duration`, milliseconds at the 99th percentile.
    Duration,
    /// Inline `query` of the Canary itself (deprecated by Flagger, still accepted).
    Inline,
    /// A MetricTemplate.
    Template,
}

/// Accepted values. Without a bound, every value on that side is accepted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest accepted value.
    pub min: Option<f64>,
    /// Largest accepted value.
    pub max: Option<f64>,
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name, used in events.
    pub name: String,
    /// The time at which it is called.
    pub kind: HookKind,
    /// `muteAlert`: no alert is sent while this gate is closed.
    pub mute_alert: bool,
}

/// The time at which a webhook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookKind {
    /// Before the new revision is scaled up. While it refuses, the release waits; this does not count as a failed
    /// check.
    ConfirmRollout,
    /// In the tick that starts the analysis. A failure counts as a failed check.
    PreRollout,
    /// In every check, before the metrics. A failure counts as a failed check.
    Rollout,
    /// Before the weight is raised. While it refuses, the release waits.
    ConfirmTrafficIncrease,
    /// Before promotion. While it refuses, the release waits.
    ConfirmPromotion,
    /// After the release has succeeded or failed.
    PostRollout,
    /// In every check of a run. Success asks for a rollback.
    Rollback,
    /// With every event. The engine never asks it.
    Event,
}
