//! Questions of the engine before it can plan, and the answers that the shell gets.
//!
//! A question may depend on earlier answers (a gate is not asked while a metric fails). So the shell calls the engine
//! again with the answers so far, until there are no more questions:
//!
//! ```text
//! let mut answers = Answers::default();
//! loop {
//!     let batch = questions(&canary, &observed, &answers);
//!     if batch.is_empty() { break }
//!     for question in batch { let answer = ask(&question).await; answers.given.push((question, answer)); }
//! }
//! let plan = plan(&canary, &observed, &answers);
//! ```

use crate::{canary::HookKind, phase::Phase};

/// One question. The questions of a batch do not depend on each other and may be asked concurrently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Call the webhook at `index` of `Analysis::hooks` with `phase` in the payload.
    Hook {
        /// Index into `Analysis::hooks`.
        index: usize,
        /// Its kind, for convenience.
        kind: HookKind,
        /// Phase in the payload.
        phase: Phase,
    },
    /// Measure the metric at `index` of `Analysis::metrics`.
    Metric {
        /// Index into `Analysis::metrics`.
        index: usize,
    },
}

/// The answers of one tick.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// Questions with their answers.
    pub given: Vec<(Question, Answer)>,
}

impl Answers {
    /// The answer to the webhook at `index`, if it was asked.
    #[must_use]
    pub fn hook(&self, index: usize) -> Option<&HookAnswer> {
        self.given.iter().find_map(|given| match given {
            (Question::Hook { index: asked, .. }, Answer::Hook(answer)) if *asked == index => {
                Some(answer)
            }
            _ => None,
        })
    }

    /// The answer to the metric at `index`, if it was asked.
    #[must_use]
    pub fn metric(&self, index: usize) -> Option<&MetricAnswer> {
        self.given.iter().find_map(|given| match given {
            (Question::Metric { index: asked }, Answer::Metric(answer)) if *asked == index => {
                Some(answer)
            }
            _ => None,
        })
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A webhook was called.
    Hook(HookAnswer),
    /// A metric was measured.
    Metric(MetricAnswer),
}

/// The answer of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// 2xx.
    Passed,
    /// Any other response, with the text for the event.
    Refused(String),
}

/// The result of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricAnswer {
    /// One value per series. An empty list counts as no data; NaN never passes.
    Values(Vec<Sample>),
    /// The query succeeded and found nothing; with the provider's text (`no values found`).
    NoData(String),
    /// The query could not be run (server unavailable, refused, not PromQL): the complete event text, e.g.
    /// `Metric query failed for NAME: …` or `Metric template NAME.NS error: …`.
    Error(String),
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels of the series as text (`{pod="a"}`); empty for a scalar or a single series without labels.
    pub labels: String,
    /// Its value in the unit of the metric (percent, milliseconds, or that of the query).
    pub value: f64,
}
