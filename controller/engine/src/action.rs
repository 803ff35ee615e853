//! What a plan consists of. Actions are ordered, idempotent, and leave the executor nothing to decide.

use std::time::Duration;

use crate::{canary::HookKind, observed::Weights, phase::Phase, status::Status};

/// The outcome of one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Executed in order; the first failure ends the tick and nothing after it is done.
    pub actions: Vec<Action>,
    /// When to look again if no watch event comes first; `None` means only on a watch event.
    pub requeue: Option<Duration>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create or repair the Service `<service>-canary`.
    EnsureCanaryService,
    /// Create or repair the Service `<service>-primary`.
    EnsurePrimaryService,
    /// Create, repair or adopt the Service `<service>`, selecting the primary.
    EnsureApexService,
    /// Create or repair the route object, keeping or setting these weights in the same write.
    EnsureRoute(Weights),
    /// Create the primary workload and its copies of tracked configuration from the target as observed.
    CreatePrimary {
        /// The target revision to copy; if the live target differs, the executor fails the action.
        revision: String,
    },
    /// Copy the target's template and tracked configuration to the primary (promotion).
    Promote {
        /// The analysed target revision; if the live target differs, the executor fails the action, so that
        /// unanalysed code is never promoted.
        revision: String,
    },
    /// Scale the target from zero to the primary's replicas (or 1).
    ScaleUpTarget {
        /// Replicas wanted.
        replicas: u32,
    },
    /// Scale the target to zero.
    ScaleDownTarget,
    /// Set the live weights.
    SetWeights(Weights),
    /// Call the post-rollout webhook at `index`; its outcome becomes an event made by `render_post_rollout`.
    CallHook {
        /// Index into `Analysis::hooks`.
        index: usize,
        /// Its kind.
        kind: HookKind,
        /// Phase named in the payload.
        phase: Phase,
    },
    /// Publish an event on the Canary.
    Publish(Event),
    /// Send an alert.
    Alert(Alert),
    /// Count a finished release in the controller's own metrics.
    Count(Outcome),
    /// Write the status. Always the last action of a plan that has it.
    WriteStatus(Box<Status>),
}

/// An event on the Canary object (reason `Synced`, as Flagger's).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Warning rather than Normal.
    pub warning: bool,
    /// Flagger's message.
    pub message: String,
    /// Typed cause for machines, the event's `action` (`NewRevision`, `Advance`, `Halt`, …).
    pub action: &'static str,
    /// Equal keys are one event however often the plan is carried out (crash between event and status).
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
    /// Progress.
    Info,
    /// Someone should act.
    Warn,
    /// The release failed.
    Error,
}

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Promoted after analysis.
    Promoted,
    /// Promoted without analysis.
    PromotedSkipped,
    /// Rolled back, or its promotion failed.
    Failed,
}
