//! The state kept between ticks: the part of `status` that the engine reads and writes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::phase::Phase;

/// Prefix of every revision digest of this controller. A digest in `status.lastAppliedSpec` without it (Flagger's, or
/// one of a version with another scheme) is adopted as the current revision, so a change of controller never starts a
/// release.
pub const REVISION_PREFIX: &str = "sha256:";

/// The state of a canary between ticks. Fields of Flagger's status keep their names; the others are additions that
/// Flagger ignores.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// `phase`.
    pub phase: Phase,
    /// `failedChecks` (Flagger: cumulative over a run, never reset by a pass).
    pub failed_checks: u32,
    /// `canaryWeight`, percent.
    pub canary_weight: u8,
    /// `iterations`; 0 for weighted canaries.
    pub iterations: u32,
    /// `lastAppliedSpec`: revision of the run in progress, or of the last one.
    pub last_applied: Option<String>,
    /// `lastPromotedSpec`: revision that the primary runs.
    pub last_promoted: Option<String>,
    /// `trackedConfigs` of the run in progress, or of the last one.
    pub tracked_configs: BTreeMap<String, String>,
    /// Addition: `promotedConfigs`, the tracked configuration that the primary runs, in the form of `tracked_configs`;
    /// `None` if another controller promoted it.
    pub promoted_configs: Option<BTreeMap<String, String>>,
    /// Addition: the time of the last check of this run, so that a restart neither hurries nor repeats a step.
    pub last_check: Option<Timestamp>,
    /// Addition: the time at which the current phase began.
    pub phase_since: Option<Timestamp>,
    /// Addition: the time at which the run in progress, or the last one, began; distinguishes two runs of one revision.
    pub run_started: Option<Timestamp>,
    /// Addition: whether the pre-rollout webhooks of this run have passed. Until then the new revision counts as not
    /// analysed.
    pub pre_rollout_done: bool,
    /// Addition: the steps that remain after a failed release.
    pub cleanup: Option<Cleanup>,
    /// Addition: the reason why nothing moves; `None` when the release moves.
    pub waiting: Option<Waiting>,
    /// Addition: the latest checks, newest last; at most [`CHECKS_KEPT`].
    pub checks: Vec<Check>,
}

/// Number of checks kept in the status: several rounds of a handful of metrics, and far below the size limit of an
/// object.
pub const CHECKS_KEPT: usize = 24;

/// The steps that remain after a failed release. The failure itself is written to the status first, so that a crash
/// cannot lose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// The post-rollout webhooks have to be called; [`Cleanup::ScaleDown`] follows.
    PostRollout,
    /// The target has to be scaled down as soon as no request can reach it.
    ScaleDown,
}

impl Cleanup {
    /// Every value, in the order of the enum.
    pub const ALL: [Cleanup; 2] = [Cleanup::PostRollout, Cleanup::ScaleDown];

    /// The text written to the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cleanup::PostRollout => "PostRollout",
            Cleanup::ScaleDown => "ScaleDown",
        }
    }

    /// Parses the text of the status.
    #[must_use]
    pub fn parse(text: &str) -> Option<Cleanup> {
        Cleanup::ALL
            .into_iter()
            .find(|cleanup| cleanup.as_str() == text)
    }
}

/// The reason why nothing moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The machine-readable cause.
    pub reason: WaitingReason,
    /// The cause as text.
    pub message: String,
    /// Whether this message has been published as an event. Each message is published once, not every tick.
    pub announced: bool,
}

/// Causes of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingReason {
    /// `spec.suspend` is set.
    Suspended,
    /// The primary is not ready.
    PrimaryNotReady,
    /// The canary is not ready.
    CanaryNotReady,
    /// A gate is closed (a confirm webhook refuses).
    Approval,
    /// A check failed or found no data.
    CheckFailed,
    /// A metric could not be measured. This does not count as a failed check.
    MetricUnavailable,
    /// Traffic has just moved, and in-flight requests get time to finish.
    Draining,
    /// A gateway has not accepted the route yet.
    RouteNotReady,
}

impl WaitingReason {
    /// Every reason, in the order of the enum.
    pub const ALL: [WaitingReason; 8] = [
        WaitingReason::Suspended,
        WaitingReason::PrimaryNotReady,
        WaitingReason::CanaryNotReady,
        WaitingReason::Approval,
        WaitingReason::CheckFailed,
        WaitingReason::MetricUnavailable,
        WaitingReason::Draining,
        WaitingReason::RouteNotReady,
    ];

    /// The text written to the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            WaitingReason::Suspended => "Suspended",
            WaitingReason::PrimaryNotReady => "PrimaryNotReady",
            WaitingReason::CanaryNotReady => "CanaryNotReady",
            WaitingReason::Approval => "Approval",
            WaitingReason::CheckFailed => "CheckFailed",
            WaitingReason::MetricUnavailable => "MetricUnavailable",
            WaitingReason::Draining => "Draining",
            WaitingReason::RouteNotReady => "RouteNotReady",
        }
    }

    /// Parses the text of the status.
    #[must_use]
    pub fn parse(text: &str) -> Option<WaitingReason> {
        WaitingReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

/// One check of one metric or webhook, as kept in `status`.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Time of the check.
    pub time: Timestamp,
    /// Name of the metric or webhook.
    pub name: String,
    /// Canary weight at that time, percent.
    pub weight: u8,
    /// Measured value, if there was one.
    pub value: Option<f64>,
    /// The limit as text (`<= 3`, `>= 99`).
    pub threshold: String,
    /// The outcome.
    pub verdict: Verdict,
    /// The finding as text; empty for a pass.
    pub message: String,
}

/// Outcome of one check. An error in measuring is not a bad measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within limits.
    Pass,
    /// Out of limits.
    Fail,
    /// The query worked and found nothing.
    NoData,
    /// The query could not be run.
    Error,
}

impl Verdict {
    /// Every verdict, in the order of the enum.
    pub const ALL: [Verdict; 4] = [
        Verdict::Pass,
        Verdict::Fail,
        Verdict::NoData,
        Verdict::Error,
    ];

    /// The text written to the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "Pass",
            Verdict::Fail => "Fail",
            Verdict::NoData => "NoData",
            Verdict::Error => "Error",
        }
    }

    /// Parses the text of the status.
    #[must_use]
    pub fn parse(text: &str) -> Option<Verdict> {
        Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }
}
