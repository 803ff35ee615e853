//! What the engine wants to know before it can plan, and the answers the shell brings.

use crate::{canary::HookKind, phase::Phase};

/// One thing to ask. The shell asks in the given order and stops as the question's group says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Call the webhook at `index` of `Analysis::hooks`, saying `phase` in the payload.
    Hook {
        /// Index into `Analysis::hooks`.
        index: usize,
        /// Its kind, for the reader's convenience.
        kind: HookKind,
        /// Phase named in the payload.
        phase: Phase,
    },
    /// Measure the metric at `index` of `Analysis::metrics`.
    Metric {
        /// Index into `Analysis::metrics`.
        index: usize,
    },
}

/// Questions in order; `stop_on` says which answer makes the rest of the group pointless.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Questions {
    /// Groups in order. A group that stopped the round means later groups are not asked at all.
    pub groups: Vec<Group>,
}

/// Questions that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The questions in order.
    pub questions: Vec<Question>,
    /// Which answer ends the whole round of questions.
    pub stop_on: StopOn,
}

/// Which answer ends the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOn {
    /// Gates and checks: the first hook that does not pass ends the round.
    Failure,
    /// Rollback hooks: the first hook that passes ends the round.
    Success,
    /// Metrics: all are measured, so that the status shows every one.
    Never,
}

/// The answers of one tick, in the order they were given; questions after a stop have none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// Question and answer.
    pub given: Vec<(Question, Answer)>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A webhook was called.
    Hook(HookAnswer),
    /// A metric was measured.
    Metric(MetricAnswer),
}

/// What a webhook said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// 2xx.
    Passed,
    /// Anything else, with the text for the event.
    Refused(String),
}

/// What a measurement found.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricAnswer {
    /// One value per series, never empty, no NaN.
    Values(Vec<Sample>),
    /// The query worked and found nothing, with the provider's words.
    NoData(String),
    /// The query could not be run (server away, refused, not PromQL): complete event text, e.g.
    /// `Metric query failed for NAME: …` or `Metric template NAME.NS error: …`.
    Error(String),
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels of the series as text (`{pod="a"}`), empty for a scalar or a single unlabelled series.
    pub labels: String,
    /// Its value, in the unit of the metric (percent, milliseconds, or what the query gives).
    pub value: f64,
}
