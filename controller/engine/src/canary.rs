//! The validated specification of one canary: what the user asked for, in units, with defaults applied.
//!
//! The shell turns the custom resource into this type and reports every problem it finds on the way; the
//! engine never sees an interval that is text or a threshold that is zero.

use std::time::Duration;

use crate::strategy::Strategy;

/// One canary release as specified by the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// `metadata.name` of the Canary object.
    pub name: String,
    /// `metadata.namespace` of the Canary object.
    pub namespace: String,
    /// `spec.provider` or the controller's default (`istio`); named in events only, never interpreted here.
    pub provider: String,
    /// The workload being released.
    pub target: Target,
    /// `spec.suspend`: nothing is changed while it is set.
    pub suspend: bool,
    /// `spec.skipAnalysis`, or no analysis given: promote as soon as the canary is ready.
    pub skip_analysis: bool,
    /// `spec.progressDeadlineSeconds` (Flagger: default 600 s).
    pub progress_deadline: Duration,
    /// How the new revision is judged.
    pub analysis: Analysis,
}

/// The workload being released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `Deployment`, `DaemonSet` or `Service`, as written in events and conditions.
    pub kind: TargetKind,
    /// `spec.targetRef.name`; the primary is named `<name>-primary`.
    pub name: String,
}

/// Kinds a canary can release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// An `apps/v1` Deployment.
    Deployment,
}

impl TargetKind {
    /// The kind as manifests and conditions write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TargetKind::Deployment => "Deployment",
        }
    }
}

/// How the new revision is judged (`spec.analysis`).
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Time between two checks; weight steps keep it.
    pub interval: Duration,
    /// Failed checks before the release is rolled back (Flagger: cumulative, never reset by a pass). At least 1.
    pub threshold: u32,
    /// Percentage of updated replicas of the primary that must be available, 0 to 100.
    pub primary_ready_percent: u8,
    /// Percentage of updated replicas of the canary that must be available, 0 to 100.
    pub canary_ready_percent: u8,
    /// How the run gets from its first check to promotion.
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
    /// Name as given; events and status use it.
    pub name: String,
    /// What is measured, which decides the wording of a halt.
    pub kind: MetricKind,
    /// Accepted values, both ends included.
    pub range: Range,
}

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Built-in `request-success-rate`, percent.
    SuccessRate,
    /// Built-in `request-duration`, milliseconds at the 99th percentile.
    Duration,
    /// Inline `query` of the canary itself (deprecated by Flagger, still accepted).
    Inline,
    /// A MetricTemplate.
    Template,
}

/// Accepted values; a bound that is absent accepts everything on its side.
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
    /// Name as given; events use it.
    pub name: String,
    /// When it is called.
    pub kind: HookKind,
    /// `muteAlert`: no alert is sent when this gate is waited for.
    pub mute_alert: bool,
}

/// When a webhook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookKind {
    /// Before the new revision is scaled up; refusal waits, it does not count as a failed check.
    ConfirmRollout,
    /// In the tick that starts the analysis; failure counts as a failed check.
    PreRollout,
    /// In every analysis tick before the metrics; failure counts as a failed check.
    Rollout,
    /// Before the weight is raised; refusal waits.
    ConfirmTrafficIncrease,
    /// Before promotion; refusal waits.
    ConfirmPromotion,
    /// After the release has succeeded or failed.
    PostRollout,
    /// In every tick of a run; success means: roll back.
    Rollback,
    /// Called with every event; never asked by the engine.
    Event,
}
