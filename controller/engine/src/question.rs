//! What the engine wants to know before it can plan, and the answers the shell brings.
//!
//! Whether a question is asked depends on earlier answers (a gate is not asked while a metric fails), so the
//! engine is called again with the answers so far until it has no more questions:
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

/// One thing to ask. Questions of one batch do not depend on each other and may be asked at the same time.
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

/// The answers of one tick.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// Question and answer.
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
    /// One value per series. An empty list is judged as no data; a NaN never passes.
    Values(Vec<Sample>),
    /// The query worked and found nothing, with the provider's words (`no values found`).
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
