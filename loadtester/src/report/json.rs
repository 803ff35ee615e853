//! The result as JSON; `report.schema.json` beside this crate's manifest describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::text::PERCENTILES;
use super::thresholds::{Breach, Thresholds};
use crate::recorder::{Latency, Span, Totals};

/// The report of a finished run, or of a running one so far. Durations are in seconds.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of this format; it changes when a field is removed or changes its meaning.
    version: u32,
    /// Time from the end of the warm-up to the last response.
    elapsed: f64,
    /// Requests that ended, with or without a response.
    requests: u64,
    /// Requests with a response.
    responses: u64,
    /// Responses per second.
    rate: f64,
    /// Bytes of all bodies.
    bytes: u64,
    /// Responses by status code.
    statuses: BTreeMap<String, u64>,
    /// Requests without a response, by reason.
    errors: BTreeMap<String, u64>,
    /// Latency from sending; null without a response.
    latency: Option<Latencies>,
    /// Latency from the moment each request was due; null without a schedule.
    latency_from_due: Option<Latencies>,
    /// Phases of the requests with a response.
    phases: Option<BTreeMap<String, Phase>>,
    /// Requests in flight when the run ended.
    cut_off: u64,
    /// Requests that were due while every worker waited for a response.
    not_sent: u64,
    /// Conditions that do not hold, with the values found.
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
    /// The report of a finished run.
    pub fn new(totals: &Totals, elapsed: Duration, thresholds: &Thresholds) -> Self {
        Self::so_far(totals, elapsed, &thresholds.breaches(totals, elapsed))
    }

    /// The report of a running load, with the conditions that it already breaks.
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
    use loadtester_http1::Timing;

    use super::*;
    use crate::recorder::Response;

    #[test]
    fn the_committed_schema_matches_the_report() {
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
            let response = Response {
                status: if ms == 7 { 503 } else { 200 },
                bytes: 14,
                timing,
            };
            let latency = Duration::from_millis(ms);
            totals.record(&response, latency, Some(latency + Duration::from_millis(1)));
        }
        totals.record_failure(&"cannot connect to a:80: Connection refused");
        totals.add_unsent(3);
        let thresholds = "p99<50ms,errors<10%".parse().unwrap();
        insta::assert_json_snapshot!(Report::new(&totals, Duration::from_secs(2), &thresholds));
    }
}
