//! Compares measurements with limits: one verdict per metric, and the meaning of the whole check for the release.

use jiff::Timestamp;

use crate::{
    canary::{Canary, Metric, MetricKind, Range},
    question::{Answers, MetricAnswer, Sample},
    status::{Check, Verdict},
    text,
};

/// The verdicts of one check.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judgement {
    /// One entry per metric, in the order of evaluation.
    pub(crate) checks: Vec<Check>,
    /// Their meaning together.
    pub(crate) meaning: Meaning,
}

/// The meaning of the metrics of one check together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// All passed.
    Pass,
    /// Message of the first metric that failed or found no data. It counts as a failed check.
    Halt(String),
    /// Message of the first metric that could not be measured, if none failed. It does not count as a failed check.
    Unmeasured(String),
}

/// The order of evaluation: built-in and inline metrics before templates, each in list order (Flagger).
pub(crate) fn order(metrics: &[Metric]) -> impl Iterator<Item = usize> {
    let is_template = |index: &usize| metrics[*index].kind == MetricKind::Template;
    (0..metrics.len())
        .filter(move |index| !is_template(index))
        .chain((0..metrics.len()).filter(is_template))
}

/// Judges every metric. The message is that of the first metric that did not pass, in the order of evaluation. A
/// measured violation outweighs a metric that could not be measured, whatever their order.
pub(crate) fn judge(canary: &Canary, answers: &Answers, now: Timestamp, weight: u8) -> Judgement {
    let metrics = &canary.analysis.metrics;
    let mut checks = Vec::with_capacity(metrics.len());
    let (mut halt, mut unmeasured) = (None, None);
    for index in order(metrics) {
        let metric = &metrics[index];
        let found = verdict(canary, metric, answers.metric(index));
        let slot = match found.verdict {
            Verdict::Pass => None,
            Verdict::Fail | Verdict::NoData => Some(&mut halt),
            Verdict::Error => Some(&mut unmeasured),
        };
        if let Some(slot) = slot {
            slot.get_or_insert_with(|| found.message.clone());
        }
        checks.push(Check {
            time: now,
            name: metric.name.clone(),
            weight,
            value: found.value,
            threshold: limits(metric),
            verdict: found.verdict,
            message: found.message,
        });
    }
    let meaning = match (halt, unmeasured) {
        (Some(text), _) => Meaning::Halt(text),
        (None, Some(text)) => Meaning::Unmeasured(text),
        (None, None) => Meaning::Pass,
    };
    Judgement { checks, meaning }
}

struct Found {
    verdict: Verdict,
    value: Option<f64>,
    message: String,
}

fn verdict(canary: &Canary, metric: &Metric, answer: Option<&MetricAnswer>) -> Found {
    let no_data = |why: &str| Found {
        verdict: Verdict::NoData,
        value: None,
        message: no_values(canary, metric, why),
    };
    match answer {
        Some(MetricAnswer::Values(samples)) => match worst(metric, samples) {
            // Flagger's providers turn NaN into "no values found".
            None => no_data("no values found"),
            Some(sample) if sample.value.is_nan() => no_data("no values found"),
            Some(sample) => {
                let violation = violation(canary, metric, sample.value).map(|text| {
                    if samples.len() > 1 {
                        format!(
                            "{text} in {} (worst of {} series)",
                            sample.labels,
                            samples.len()
                        )
                    } else {
                        text
                    }
                });
                Found {
                    verdict: if violation.is_some() {
                        Verdict::Fail
                    } else {
                        Verdict::Pass
                    },
                    value: Some(sample.value),
                    message: violation.unwrap_or_default(),
                }
            }
        },
        Some(MetricAnswer::NoData(why)) => no_data(why),
        Some(MetricAnswer::Error(text)) => Found {
            verdict: Verdict::Error,
            value: None,
            message: text.clone(),
        },
        None => Found {
            verdict: Verdict::Error,
            value: None,
            message: format!("Metric query failed for {}: it was not run", metric.name),
        },
    }
}

/// The series that decides. One out of limits comes before NaN, and NaN before one within limits; among equals, the one
/// furthest beyond a limit (or nearest to it) comes first, then the first in the list.
fn worst<'a>(metric: &Metric, samples: &'a [Sample]) -> Option<&'a Sample> {
    let badness = |sample: &Sample| {
        let value = comparable(metric, sample.value);
        let class = match (value.is_nan(), outside(metric, value).is_some()) {
            (true, _) => 1,
            (false, outside) => 2 * u8::from(outside),
        };
        let range = limits_of(metric);
        let excess = |bound: Option<f64>, sign: f64| bound.map(|bound| sign * (value - bound));
        let distance = [excess(range.min, -1.0), excess(range.max, 1.0)]
            .into_iter()
            .flatten()
            .filter(|distance| !distance.is_nan())
            .fold(f64::NEG_INFINITY, f64::max);
        (class, distance)
    };
    let mut samples = samples.iter();
    let first = samples.next()?;
    Some(samples.fold(first, |worst, next| {
        let (worst_class, worst_distance) = badness(worst);
        let (class, distance) = badness(next);
        let order = class
            .cmp(&worst_class)
            .then(distance.total_cmp(&worst_distance));
        if order.is_gt() { next } else { worst }
    }))
}

/// Durations are compared in whole milliseconds; value and limit are both truncated (Flagger).
fn comparable(metric: &Metric, value: f64) -> f64 {
    if metric.kind == MetricKind::Duration {
        value.trunc()
    } else {
        value
    }
}

fn limits_of(metric: &Metric) -> Range {
    Range {
        min: metric.range.min.map(|min| comparable(metric, min)),
        max: metric.range.max.map(|max| comparable(metric, max)),
    }
}

/// The limit that a comparable `value` violates, and the sign between them. Equality passes; the minimum is compared
/// first (Flagger).
fn outside(metric: &Metric, value: f64) -> Option<(char, f64)> {
    let Range { min, max } = limits_of(metric);
    let below = min.filter(|min| value < *min).map(|min| ('<', min));
    below.or(max.filter(|max| value > *max).map(|max| ('>', max)))
}

fn violation(canary: &Canary, metric: &Metric, value: f64) -> Option<String> {
    let (sign, limit) = outside(metric, comparable(metric, value))?;
    let who = format!("{}.{}", canary.name, canary.namespace);
    let finding = match metric.kind {
        MetricKind::SuccessRate => {
            format!(
                "success rate {}% {sign} {}%",
                text::float2(value),
                text::float(limit)
            )
        }
        MetricKind::Duration => {
            let (value, limit) = (text::milliseconds(value), text::milliseconds(limit));
            format!("request duration {value} {sign} {limit}")
        }
        MetricKind::Inline | MetricKind::Template => {
            format!(
                "{} {} {sign} {}",
                metric.name,
                text::float2(value),
                text::float(limit)
            )
        }
    };
    Some(format!("Halt {who} advancement {finding}"))
}

fn no_values(canary: &Canary, metric: &Metric, why: &str) -> String {
    let name = &metric.name;
    let no_traffic = || {
        let Canary {
            provider,
            target,
            namespace,
            ..
        } = canary;
        format!(
            "Halt advancement no values found for {provider} metric {name} probably {}.{namespace} is not \
             receiving traffic",
            target.name
        )
    };
    match metric.kind {
        MetricKind::SuccessRate => format!("{}: {why}", no_traffic()),
        MetricKind::Duration => no_traffic(),
        MetricKind::Inline => format!("Halt advancement no values found for metric: {name}"),
        MetricKind::Template => {
            format!("Halt advancement no values found for custom metric: {name}: {why}")
        }
    }
}

/// The limits as text: `>= 99`, `<= 500ms`, `>= 1 and <= 3`.
fn limits(metric: &Metric) -> String {
    let number = |value: f64| match metric.kind {
        MetricKind::Duration => text::milliseconds(value),
        _ => text::float(value),
    };
    let Range { min, max } = metric.range;
    let bounds: Vec<String> = min
        .map(|min| format!(">= {}", number(min)))
        .into_iter()
        .chain(max.map(|max| format!("<= {}", number(max))))
        .collect();
    if bounds.is_empty() {
        "any".to_owned()
    } else {
        bounds.join(" and ")
    }
}

#[cfg(test)]
mod tests;
