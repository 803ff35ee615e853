//! What is remembered between ticks: the part of `status` that the engine reads and writes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::phase::Phase;

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
    /// Addition: when the last analysis check of this run was made, so that a restart neither hurries nor repeats a step.
    pub last_check: Option<Timestamp>,
    /// Addition: when the current phase was entered.
    pub phase_since: Option<Timestamp>,
    /// Addition: why nothing moves at present, in words; empty when it does.
    pub waiting: Option<String>,
    /// Addition: the latest checks, newest last, a short history.
    pub checks: Vec<Check>,
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
