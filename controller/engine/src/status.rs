//! What is remembered between ticks: the part of `status` that the engine reads and writes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::phase::Phase;

/// Every revision digest of this controller starts with this. A digest in `status.lastAppliedSpec` that does
/// not (Flagger's, or that of a version with another scheme) is adopted as the current revision: changing the
/// controller never starts a release.
pub const REVISION_PREFIX: &str = "sha256:";

/// The remembered state of a canary. Fields of Flagger's status keep its names; the rest are additions
/// that Flagger ignores.
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
    /// Addition: when the last analysis check of this run was made, so that a restart neither hurries nor repeats a step.
    pub last_check: Option<Timestamp>,
    /// Addition: when the current phase was entered.
    pub phase_since: Option<Timestamp>,
    /// Addition: when the run in progress, or the last one, began; tells two runs of one revision apart.
    pub run_started: Option<Timestamp>,
    /// Addition: whether the pre-rollout webhooks of this run have passed; before that the new revision is not analysed at all.
    pub pre_rollout_done: bool,
    /// Addition: what is left to do of a release that failed.
    pub cleanup: Option<Cleanup>,
    /// Addition: why nothing moves at present; empty when it does.
    pub waiting: Option<Waiting>,
    /// Addition: the latest checks, newest last, a short history.
    pub checks: Vec<Check>,
}

/// Checks kept in the status: several rounds of a handful of metrics, and far from the size limit of an object.
pub const CHECKS_KEPT: usize = 24;

/// What is left to do of a release that failed. The failure is in the status first, so that no crash forgets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// The post-rollout webhooks have to be called, then as below.
    PostRollout,
    /// The target has to be scaled down, as soon as no request can go there.
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

    /// The value that `text` names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Cleanup> {
        Cleanup::ALL
            .into_iter()
            .find(|cleanup| cleanup.as_str() == text)
    }
}

/// Why nothing moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The cause, for machines.
    pub reason: WaitingReason,
    /// The cause, in words.
    pub message: String,
    /// Whether this message has been published as an event (each message is published once, not every tick).
    pub announced: bool,
}

/// Causes of standing still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingReason {
    /// `spec.suspend` is set.
    Suspended,
    /// The primary is not ready.
    PrimaryNotReady,
    /// The canary is not ready.
    CanaryNotReady,
    /// A gate is closed.
    Approval,
    /// A check failed or found no data.
    CheckFailed,
    /// A metric could not be measured; this is not counted against the release.
    MetricUnavailable,
    /// Traffic was just moved and in-flight requests are given time.
    Draining,
    /// A gateway has not taken up the route.
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

    /// The reason that `text` names.
    #[must_use]
    pub fn parse(text: &str) -> Option<WaitingReason> {
        WaitingReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

/// One check of one metric or webhook, as remembered in `status`.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// When it was made.
    pub time: Timestamp,
    /// Name of the metric or webhook.
    pub name: String,
    /// Canary weight at that time, percent.
    pub weight: u8,
    /// Measured value, if there was one.
    pub value: Option<f64>,
    /// The limit it was held against, in words (`<= 3`, `>= 99`).
    pub threshold: String,
    /// The outcome.
    pub verdict: Verdict,
    /// What was found, in words, for anything but a pass.
    pub message: String,
}

/// Outcome of one check. Trouble with measuring is not a bad measurement.
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

    /// The verdict that `text` names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Verdict> {
        Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }
}
