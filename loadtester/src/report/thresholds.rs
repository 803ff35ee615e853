//! Conditions on a result, such as `p99<50ms,errors<1%`. They decide the exit code, or the response to a webhook.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::command::parse_duration;
use crate::recorder::Totals;
use crate::report::text::human;

/// Conditions that must all hold; an empty list holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds(Vec<Condition>);

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    figure: Figure,
    comparison: Comparison,
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    /// A percentile of the latency, in seconds.
    Percentile(f64),
    Average,
    Slowest,
    /// Share of requests without a response, or with a status of 400 or above.
    Errors,
    /// Responses per second.
    Rate,
    /// Requests sent.
    Requests,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// The text is not a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a condition: write FIGURE<LIMIT with p50…p99.99, average, slowest (a duration), errors (a \
     percentage), rate or requests (a number), and one of < <= > >="
)]
pub struct BadCondition(String);

/// A condition that does not hold, with the value found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    condition: String,
    found: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.condition, self.found)
    }
}

impl Thresholds {
    /// True if there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The conditions that `totals`, collected in `elapsed`, do not meet. A figure without any measurement meets no
    /// condition.
    pub fn breaches(&self, totals: &Totals, elapsed: Duration) -> Vec<Breach> {
        self.0
            .iter()
            .filter_map(|condition| condition.breach(totals, elapsed))
            .collect()
    }

    /// The conditions that a running load does not meet. Conditions on rate and number of requests are checked at the end.
    pub fn breaches_so_far(&self, totals: &Totals) -> Vec<Breach> {
        let decided =
            |condition: &&Condition| !matches!(condition.figure, Figure::Rate | Figure::Requests);
        let breaches = self.0.iter().filter(decided);
        breaches
            .filter_map(|condition| condition.breach(totals, Duration::ZERO))
            .collect()
    }
}

impl Condition {
    fn breach(&self, totals: &Totals, elapsed: Duration) -> Option<Breach> {
        let found = self.figure.of(totals, elapsed);
        let holds = found.is_some_and(|found| match self.comparison {
            Comparison::Below => found < self.limit,
            Comparison::AtMost => found <= self.limit,
            Comparison::Above => found > self.limit,
            Comparison::AtLeast => found >= self.limit,
        });
        let found = found.map_or("nothing was measured".to_owned(), |v| {
            self.figure.written(v)
        });
        (!holds).then(|| Breach {
            condition: self.text.clone(),
            found,
        })
    }
}

impl Figure {
    fn of(self, totals: &Totals, elapsed: Duration) -> Option<f64> {
        let seconds = elapsed.as_secs_f64();
        let sent = totals.requests();
        match self {
            // With a schedule, the time that a user of the service would have waited counts.
            Self::Percentile(p) => totals
                .corrected()
                .unwrap_or(totals.latency())
                .percentile(p)
                .map(|d| d.as_secs_f64()),
            Self::Average => totals.latency().average().map(|d| d.as_secs_f64()),
            Self::Slowest => totals.latency().slowest().map(|d| d.as_secs_f64()),
            Self::Errors => (sent > 0).then(|| totals.failures() as f64 / sent as f64),
            Self::Rate => (seconds > 0.0).then(|| totals.responses() as f64 / seconds),
            Self::Requests => Some(sent as f64),
        }
    }

    fn written(self, value: f64) -> String {
        match self {
            Self::Percentile(p) => format!("p{p} is {}", human(Duration::from_secs_f64(value))),
            Self::Average => format!("the average is {}", human(Duration::from_secs_f64(value))),
            Self::Slowest => format!("the slowest is {}", human(Duration::from_secs_f64(value))),
            Self::Errors => format!("{:.2}% failed", value * 100.0),
            Self::Rate => format!("the rate is {value:.1}/s"),
            Self::Requests => format!("{value} requests were sent"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "average" | "avg" => Self::Average,
            "slowest" | "max" => Self::Slowest,
            "errors" => Self::Errors,
            "rate" => Self::Rate,
            "requests" => Self::Requests,
            _ => match name.strip_prefix('p')?.parse::<f64>() {
                Ok(p) if (0.0..=100.0).contains(&p) => Self::Percentile(p),
                _ => return None,
            },
        })
    }

    fn parse_limit(self, text: &str) -> Option<f64> {
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|v: &f64| v.is_finite() && *v >= 0.0)
        };
        match self {
            Self::Percentile(_) | Self::Average | Self::Slowest => parse_duration(text)
                .ok()
                .map(|duration| duration.as_secs_f64()),
            Self::Errors => match text.strip_suffix('%') {
                Some(percent) => number(percent).map(|percent| percent / 100.0),
                None => number(text),
            },
            Self::Rate | Self::Requests => number(text),
        }
    }
}

impl FromStr for Thresholds {
    type Err = BadCondition;

    fn from_str(text: &str) -> Result<Self, BadCondition> {
        let conditions = text
            .split(',')
            .map(str::trim)
            .filter(|condition| !condition.is_empty());
        conditions
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Condition {
    type Err = BadCondition;

    fn from_str(text: &str) -> Result<Self, BadCondition> {
        let bad = || BadCondition(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(bad)?;
        let (name, rest) = text.split_at(at);
        let (comparison, limit) = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Below),
            (">", Comparison::Above),
        ]
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?)))
        .ok_or_else(bad)?;
        let figure = Figure::parse(name.trim()).ok_or_else(bad)?;
        let limit = figure.parse_limit(limit.trim()).ok_or_else(bad)?;
        Ok(Self {
            text: text.to_owned(),
            figure,
            comparison,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use loadtester_http1::Timing;

    use super::*;
    use crate::recorder::Response;

    fn totals(latencies_ms: &[u64], status: u16) -> Totals {
        let mut totals = Totals::new(false);
        for ms in latencies_ms {
            let timing = Timing::default();
            let response = Response {
                status,
                bytes: 1,
                timing,
            };
            totals.record(&response, Duration::from_millis(*ms), None);
        }
        totals
    }

    fn breaches(conditions: &str, totals: &Totals) -> Vec<String> {
        let thresholds: Thresholds = conditions.parse().unwrap();
        let breaches = thresholds.breaches(totals, Duration::from_secs(2));
        breaches.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_conditions_that_do_not_hold_are_reported_with_the_value_found() {
        let totals = totals(&[10, 20, 30, 40], 200);
        assert_eq!(
            breaches("p99<50ms,errors<1%,rate>=2,requests>3,avg<=25ms", &totals),
            [""; 0]
        );
        assert_eq!(breaches("", &totals), [""; 0]);
        assert_eq!(
            breaches("p99<5ms, rate>1000", &totals),
            [
                "p99<5ms does not hold: p99 is 40.000 ms",
                "rate>1000 does not hold: the rate is 2.0/s"
            ]
        );
    }

    #[test]
    fn a_run_with_only_status_500_breaks_the_condition_on_errors() {
        let totals = totals(&[1, 1], 500);
        assert_eq!(
            breaches("errors<1%", &totals),
            ["errors<1% does not hold: 100.00% failed"]
        );
    }

    #[test]
    fn a_run_without_a_response_meets_no_condition_on_latency() {
        let nothing = totals(&[], 200);
        assert_eq!(
            breaches("p99<1h", &nothing),
            ["p99<1h does not hold: nothing was measured"]
        );
        assert_eq!(breaches("errors<100%", &nothing).len(), 1);
    }

    #[test]
    fn malformed_conditions_are_refused() {
        for text in [
            "p99",
            "p99<50",
            "p101<1s",
            "latency<1s",
            "errors<-1%",
            "rate>fast",
            "p99=1s",
            "<",
        ] {
            assert!(text.parse::<Thresholds>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_handled(text in "\\PC{0,30}") {
            let _ = text.parse::<Thresholds>();
        }
    }
}
