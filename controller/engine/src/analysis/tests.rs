use std::time::Duration;

use super::*;
use crate::{
    canary::{Analysis, Target, TargetKind},
    question::{Answer, Question},
    strategy::{Steps, Strategy},
};

fn metric(kind: MetricKind, name: &str, min: Option<f64>, max: Option<f64>) -> Metric {
    Metric {
        name: name.to_owned(),
        kind,
        range: Range { min, max },
    }
}

fn judged(metrics: Vec<Metric>, answers: Vec<MetricAnswer>) -> Judgement {
    let canary = Canary {
        name: "web".to_owned(),
        namespace: "prod".to_owned(),
        provider: "istio".to_owned(),
        target: Target {
            kind: TargetKind::Deployment,
            name: "web-app".to_owned(),
        },
        suspend: false,
        skip_analysis: false,
        progress_deadline: Duration::from_secs(600),
        analysis: Analysis {
            interval: Duration::from_secs(60),
            threshold: 1,
            primary_ready_percent: 100,
            canary_ready_percent: 100,
            strategy: Strategy::Weighted(Steps::Linear { step: 10, max: 50 }),
            promotion_step: 0,
            metrics,
            hooks: Vec::new(),
        },
    };
    let given = answers
        .into_iter()
        .enumerate()
        .map(|(index, answer)| (Question::Metric { index }, Answer::Metric(answer)))
        .collect();
    judge(&canary, &Answers { given }, Timestamp::UNIX_EPOCH, 30)
}

fn values(values: &[f64]) -> MetricAnswer {
    let sample = |(index, value): (usize, &f64)| Sample {
        labels: format!("{{i=\"{index}\"}}"),
        value: *value,
    };
    MetricAnswer::Values(values.iter().enumerate().map(sample).collect())
}

fn one(metric: Metric, answer: MetricAnswer) -> (Verdict, Meaning) {
    let judgement = judged(vec![metric], vec![answer]);
    (judgement.checks[0].verdict, judgement.meaning)
}

fn halt(text: &str) -> Meaning {
    Meaning::Halt(text.to_owned())
}

#[test]
fn both_ends_of_the_range_pass() {
    let range = |min, max| metric(MetricKind::Template, "m", min, max);
    for value in [1.0, 2.0, 3.0] {
        let (verdict, meaning) = one(range(Some(1.0), Some(3.0)), values(&[value]));
        assert_eq!(
            (verdict, meaning),
            (Verdict::Pass, Meaning::Pass),
            "{value}"
        );
    }
    assert_eq!(one(range(None, None), values(&[-1e9])).0, Verdict::Pass);
}

#[test]
fn each_kind_of_metric_halts_with_flaggers_message() {
    let cases = [
        (MetricKind::SuccessRate, 97.126, "success rate 97.13% < 99%"),
        (MetricKind::Duration, 98.9, "request duration 98ms < 99ms"),
        (MetricKind::Template, 0.5, "m 0.50 < 99"),
        (MetricKind::Inline, 0.5, "m 0.50 < 99"),
    ];
    for (kind, value, expected) in cases {
        let (_, meaning) = one(metric(kind, "m", Some(99.0), None), values(&[value]));
        assert_eq!(
            meaning,
            halt(&format!("Halt web.prod advancement {expected}"))
        );
    }
    let (_, meaning) = one(
        metric(MetricKind::Duration, "m", None, Some(500.0)),
        values(&[1515.0]),
    );
    assert_eq!(
        meaning,
        halt("Halt web.prod advancement request duration 1.515s > 500ms")
    );
}

#[test]
fn each_kind_of_metric_without_a_value_halts_with_flaggers_message() {
    let traffic = "Halt advancement no values found for istio metric m probably web-app.prod is not \
                   receiving traffic";
    let cases = [
        (
            MetricKind::SuccessRate,
            format!("{traffic}: no values found"),
        ),
        (MetricKind::Duration, traffic.to_owned()),
        (
            MetricKind::Inline,
            "Halt advancement no values found for metric: m".to_owned(),
        ),
        (
            MetricKind::Template,
            "Halt advancement no values found for custom metric: m: no values found".to_owned(),
        ),
    ];
    for (kind, expected) in cases {
        for answer in [
            MetricAnswer::NoData("no values found".to_owned()),
            values(&[]),
            values(&[f64::NAN]),
        ] {
            let found = one(metric(kind, "m", None, Some(3.0)), answer);
            assert_eq!(found, (Verdict::NoData, halt(&expected)));
        }
    }
}

#[test]
fn infinity_violates_a_limit_on_its_side() {
    let under = || metric(MetricKind::Duration, "m", None, Some(500.0));
    assert_eq!(one(under(), values(&[f64::INFINITY])).0, Verdict::Fail);
    assert_eq!(one(under(), values(&[f64::NEG_INFINITY])).0, Verdict::Pass);
    let over = metric(MetricKind::SuccessRate, "m", Some(99.0), None);
    assert_eq!(one(over, values(&[f64::NEG_INFINITY])).0, Verdict::Fail);
}

#[test]
fn durations_are_compared_in_whole_milliseconds() {
    let limit = metric(MetricKind::Duration, "m", None, Some(500.0));
    assert_eq!(one(limit, values(&[500.9])).0, Verdict::Pass);
    let limit = metric(MetricKind::Template, "m", None, Some(500.0));
    assert_eq!(one(limit, values(&[500.9])).0, Verdict::Fail);
}

#[test]
fn the_worst_series_decides_and_is_named() {
    let within = || metric(MetricKind::Template, "m", Some(10.0), Some(20.0));
    let worst = |found: &[f64]| judged(vec![within()], vec![values(found)]);
    let judgement = worst(&[15.0, 22.0, 3.0, 21.0]);
    assert_eq!(judgement.checks[0].value, Some(3.0));
    let text = "Halt web.prod advancement m 3.00 < 10 in {i=\"2\"} (worst of 4 series)";
    assert_eq!(judgement.meaning, halt(text));
    // All are within limits: the one nearest to a limit decides.
    assert_eq!(worst(&[15.0, 19.0, 12.0]).checks[0].value, Some(19.0));
    // A value out of limits comes before NaN, and NaN before a value within limits.
    assert_eq!(
        worst(&[15.0, f64::NAN, 21.0]).checks[0].verdict,
        Verdict::Fail
    );
    assert_eq!(worst(&[15.0, f64::NAN]).checks[0].verdict, Verdict::NoData);
}

#[test]
fn every_metric_is_recorded_and_built_in_metrics_give_the_message_first() {
    let judgement = judged(
        vec![
            metric(MetricKind::Template, "template", None, Some(1.0)),
            metric(MetricKind::Duration, "builtin", None, Some(1.0)),
            metric(MetricKind::Inline, "inline", None, Some(9.0)),
        ],
        vec![values(&[5.0]), values(&[5.0]), values(&[5.0])],
    );
    let names: Vec<_> = judgement
        .checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(names, ["builtin", "inline", "template"]);
    let verdicts: Vec<_> = judgement.checks.iter().map(|check| check.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fail, Verdict::Pass, Verdict::Fail]);
    assert_eq!(
        judgement.meaning,
        halt("Halt web.prod advancement request duration 5ms > 1ms")
    );
}

#[test]
fn a_measuring_error_is_no_failed_check_and_hides_none() {
    let error = || MetricAnswer::Error("Metric query failed for a: refused".to_owned());
    let metrics = || {
        vec![
            metric(MetricKind::Template, "a", None, Some(1.0)),
            metric(MetricKind::Template, "b", None, Some(1.0)),
        ]
    };
    let unmeasured = judged(metrics(), vec![error(), values(&[1.0])]);
    assert_eq!(
        unmeasured.meaning,
        Meaning::Unmeasured("Metric query failed for a: refused".to_owned())
    );
    let failed = judged(metrics(), vec![error(), values(&[2.0])]);
    assert_eq!(failed.meaning, halt("Halt web.prod advancement b 2.00 > 1"));
    let unasked = judged(metrics(), vec![values(&[1.0])]);
    assert!(matches!(unasked.meaning, Meaning::Unmeasured(_)));
}

#[test]
fn a_check_has_time_value_limit_and_verdict() {
    let judgement = judged(
        vec![metric(
            MetricKind::Duration,
            "latency",
            Some(5.0),
            Some(1500.0),
        )],
        vec![values(&[2000.0])],
    );
    let expected = Check {
        time: Timestamp::UNIX_EPOCH,
        name: "latency".to_owned(),
        weight: 30,
        value: Some(2000.0),
        threshold: ">= 5ms and <= 1.5s".to_owned(),
        verdict: Verdict::Fail,
        message: "Halt web.prod advancement request duration 2s > 1.5s".to_owned(),
    };
    assert_eq!(judgement.checks, [expected]);
}
