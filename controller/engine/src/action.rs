//! The parts of a plan. Actions are ordered and idempotent, and leave the executor nothing to decide.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    canary::{Canary, HookKind},
    observed::Weights,
    phase::Phase,
    question::HookAnswer,
    status::Status,
};

/// The outcome of one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Actions in order. The first that fails ends the tick; the ones after it are not executed.
    pub actions: Vec<Action>,
    /// Time until the next tick if no watch event comes first; `None` means only on a watch event.
    pub requeue: Option<Duration>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create or repair the Service `<service>-canary`.
    EnsureCanaryService,
    /// Create or repair the Service `<service>-primary`.
    EnsurePrimaryService,
    /// Create, repair or adopt the Service `<service>`, which selects the primary.
    EnsureApexService,
    /// Create or repair the route object, with these weights in the same write.
    EnsureRoute(Weights),
    /// Create the primary workload and its copies of tracked configuration from the target as observed.
    CreatePrimary {
        /// The target revision to copy. The action fails if the live target differs.
        revision: String,
        /// The tracked configuration to copy, by checksum. The action fails if it differs.
        configs: BTreeMap<String, String>,
    },
    /// Copy the target's template and tracked configuration to the primary (promotion).
    Promote {
        /// The analysed target revision. The action fails if the live target differs, so that code that was not
        /// analysed is never promoted.
        revision: String,
        /// The analysed tracked configuration, by checksum. The action fails if it differs.
        configs: BTreeMap<String, String>,
    },
    /// Scale the target from zero to the primary's replicas (or 1).
    ScaleUpTarget {
        /// Desired number of replicas.
        replicas: u32,
    },
    /// Scale the target to zero.
    ScaleDownTarget,
    /// Set the live weights.
    SetWeights(Weights),
    /// Call the post-rollout webhook at `index` and publish its [`post_rollout_event`]. If it refuses, the plan goes
    /// on, but the `CallHook` actions that follow are skipped (Flagger).
    CallHook {
        /// Index into `Analysis::hooks`.
        index: usize,
        /// Its kind.
        kind: HookKind,
        /// Phase in the payload.
        phase: Phase,
    },
    /// Publish an event on the Canary.
    Publish(Event),
    /// Send an alert. An error in sending is logged and does not fail the plan. A process sends each alert once; after
    /// a crash before the status write the next process sends it again, as it calls post-rollout webhooks again.
    Alert(Alert),
    /// Count a finished release in the controller's own metrics, once per process.
    Count(Outcome),
    /// Write the status. It is always the last action of a plan.
    WriteStatus(Box<Status>),
}

impl Action {
    /// Whether the action repairs a generated object. A repair that is skipped is planned again by the next tick.
    #[must_use]
    pub fn is_repair(&self) -> bool {
        matches!(
            self,
            Self::EnsureCanaryService
                | Self::EnsurePrimaryService
                | Self::EnsureApexService
                | Self::EnsureRoute(_)
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::EnsureCanaryService => f.write_str("ensure Service of the canary"),
            Action::EnsurePrimaryService => f.write_str("ensure Service of the primary"),
            Action::EnsureApexService => f.write_str("ensure apex Service"),
            Action::EnsureRoute(weights) => write!(f, "ensure route {weights}"),
            Action::CreatePrimary { revision, .. } => write!(f, "create primary from {revision}"),
            Action::Promote { revision, .. } => write!(f, "copy {revision} to primary"),
            Action::ScaleUpTarget { replicas } => write!(f, "scale target to {replicas}"),
            Action::ScaleDownTarget => f.write_str("scale target to 0"),
            Action::SetWeights(weights) => write!(f, "set weights {weights}"),
            Action::CallHook { index, kind, phase } => {
                write!(f, "call {kind:?} webhook {index} in {phase}")
            }
            Action::Publish(event) => {
                let kind = if event.warning { "Warning" } else { "Normal" };
                write!(f, "{kind} event {}: {}", event.action, event.message)
            }
            Action::Alert(alert) => write!(f, "{:?} alert: {}", alert.severity, alert.message),
            Action::Count(outcome) => write!(f, "count {outcome:?}"),
            Action::WriteStatus(status) => {
                write!(f, "status {} weight {}", status.phase, status.canary_weight)?;
                write!(f, " failed checks {}", status.failed_checks)?;
                if let Some(cleanup) = status.cleanup {
                    write!(f, ", left to do: {}", cleanup.as_str())?;
                }
                match &status.waiting {
                    Some(waiting) => {
                        write!(f, ", {}: {}", waiting.reason.as_str(), waiting.message)
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// An event on the Canary object (reason `Synced`, as in Flagger).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whether its type is Warning; otherwise it is Normal.
    pub warning: bool,
    /// Flagger's message.
    pub message: String,
    /// The machine-readable cause, the event's `action`: `Suspended`, `NotReady`, `Initialized`, `NewRevision`,
    /// `GateClosed`, `GatePassed`, `HookPassed`, `HookFailed`, `RollbackWebhook`, `Start`, `Halt`,
    /// `MetricUnavailable`, `Advance`, `Promote`, `RouteToPrimary`, `PromotionFailed`, `Promoted`, `Rollback`
    /// or `Failed`.
    pub action: &'static str,
    /// Identity of the event within its Canary object. Events with equal keys are one event, so that a repeated plan
    /// (crash between event and status) publishes it once. Combine it with the UID of the Canary.
    pub key: String,
}

/// An alert to the configured providers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Flagger's message.
    pub message: String,
    /// Its severity.
    pub severity: Severity,
    /// Whether Flagger adds the canary's settings as fields.
    pub with_metadata: bool,
}

/// Severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The release makes progress.
    Info,
    /// Someone should act.
    Warn,
    /// The release failed.
    Error,
}

/// The end of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Promoted after analysis.
    Promoted,
    /// Promoted without analysis.
    PromotedSkipped,
    /// Rolled back, or its promotion failed.
    Failed,
}

/// The event about the answer of a post-rollout webhook (Flagger's messages). `status` is the one observed in the tick
/// whose plan contained the [`Action::CallHook`].
#[must_use]
pub fn post_rollout_event(
    canary: &Canary,
    status: &Status,
    index: usize,
    answer: &HookAnswer,
) -> Event {
    let name = canary
        .analysis
        .hooks
        .get(index)
        .map_or("unknown", |hook| hook.name.as_str());
    let run = status
        .run_started
        .map(|at| at.to_string())
        .unwrap_or_default();
    let (warning, message, action) = match answer {
        HookAnswer::Passed => (
            false,
            format!("Post-rollout check {name} passed"),
            "HookPassed",
        ),
        HookAnswer::Refused(why) => (
            true,
            format!("Post-rollout hook {name} failed {why}"),
            "HookFailed",
        ),
    };
    Event {
        warning,
        message,
        action,
        key: format!("post-rollout/{run}/{index}"),
    }
}
