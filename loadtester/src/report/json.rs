//! The result as JSON; `report.schema.json` beside this crate's manifest describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::text::PERCENTILES;
use super::thresholds::{Breach, Thresholds};
use crate::recorder::{Latency, Span, Totals};

/// A finished run, or a look at a running one. Durations are in seconds.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of this form; it changes when a field changes its meaning or goes.
    version: u32,
    /// From the end of the warm-up to the last answer.
    elapsed: f64,
    /// Requests that ended, with or without an answer.
    requests: u64,
    /// Requests with an answer.
    responses: u64,
    /// Answers per second.
    rate: f64,
    /// Bytes of all bodies.
    bytes: u64,
    /// Answers by status code.
    statuses: BTreeMap<String, u64>,
    /// Requests without an answer, by reason.
    errors: BTreeMap<String, u64>,
    /// Latency from sending; none without an answer.
    latency: Option<Latencies>,
    /// Latency from the moment each request was due; none without a schedule.
    latency_from_due: Option<Latencies>,
    /// Phases of the requests that got an answer.
    phases: Option<BTreeMap<String, Phase>>,
    /// Requests still running when the run was ended.
    cut_off: u64,
    /// Requests that were due while every worker waited for an answer.
    not_sent: u64,
    /// Conditions that do not hold, as sentences.
    failed_conditions: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Latencies {
    fastest: f64,
    average: f64,
    slowest: f64,
    percentiles: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Phase {
    average: f64,
    fastest: f64,
    slowest: f64,
}

impl Report {
    /// The report of what was seen in `elapsed`.
    pub fn new(totals: &Totals, elapsed: Duration, thresholds: &Thresholds) -> Self {
        Self::so_far(totals, elapsed, &thresholds.breaches(totals, elapsed))
    }

    /// The same of a run that goes on, with the conditions that it is known to break.
    pub fn so_far(totals: &Totals, elapsed: Duration, breaches: &[Breach]) -> Self {
        let seconds = elapsed.as_secs_f64();
        let names = ["connect", "lookup", "write", "wait", "read"];
        let phases: Option<BTreeMap<_, _>> = names
            .into_iter()
            .zip(totals.phases())
            .map(|(name, span)| Some((name.to_owned(), phase(span)?)))
            .collect();
        Self {
            version: 1,
            elapsed: seconds,
            requests: totals.requests(),
            responses: totals.responses(),
            rate: if seconds > 0.0 {
                totals.responses() as f64 / seconds
            } else {
                0.0
            },
            bytes: totals.bytes(),
            statuses: totals
                .statuses()
                .into_iter()
                .map(|(k, v)| (k.to_string(), v))
                .collect(),
            errors: totals.errors().clone(),
            latency: latencies(totals.latency()),
            latency_from_due: totals.corrected().and_then(latencies),
            phases,
            cut_off: totals.cut_off_count(),
            not_sent: totals.unsent(),
            failed_conditions: breaches.iter().map(ToString::to_string).collect(),
        }
    }
}

fn phase(span: &Span) -> Option<Phase> {
    Some(Phase {
        average: span.average()?.as_secs_f64(),
        fastest: span.fastest()?.as_secs_f64(),
        slowest: span.slowest()?.as_secs_f64(),
    })
}

fn latencies(latency: &Latency) -> Option<Latencies> {
    Some(Latencies {
        fastest: latency.fastest()?.as_secs_f64(),
        average: latency.average()?.as_secs_f64(),
        slowest: latency.slowest()?.as_secs_f64(),
        percentiles: PERCENTILES
            .iter()
            .filter_map(|p| Some((p.to_string(), latency.percentile(*p)?.as_secs_f64())))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Answer, Timing};

    #[test]
    fn the_committed_schema_is_that_of_the_report() {
        let generated =
            serde_json::to_string_pretty(&schemars::schema_for!(Report)).unwrap() + "\n";
        let committed = include_str!("../../report.schema.json");
        assert!(
            generated == committed,
            "report.schema.json should be:\n{generated}"
        );
    }

    #[test]
    fn the_report_has_the_figures_of_the_run() {
        let mut totals = Totals::new(true);
        for ms in 1..=100 {
            let timing = Timing {
                wait: Duration::from_millis(ms),
                ..Timing::default()
            };
            let answer = Answer {
                status: if ms == 7 { 503 } else { 200 },
                bytes: 14,
                timing,
            };
            let latency = Duration::from_millis(ms);
            totals.answered(&answer, latency, Some(latency + Duration::from_millis(1)));
        }
        totals.failed(&"cannot connect to a:80: Connection refused");
        totals.add_unsent(3);
        let thresholds = "p99<50ms,errors<10%".parse().unwrap();
        insta::assert_json_snapshot!(Report::new(&totals, Duration::from_secs(2), &thresholds));
    }
}
