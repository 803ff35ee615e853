//! `spec.analysis`: intervals, thresholds and weights.

use std::time::Duration;

use canary_engine::{
    canary::Analysis,
    strategy::{Steps, Strategy},
};

use super::Check;
use crate::{
    api::AnalysisSpec,
    release::spec::{AlertTarget, HookCall, MetricSource, QueryNames},
};

/// An analysis, taken apart.
pub(super) struct Parts {
    pub(super) analysis: Analysis,
    pub(super) metrics: Vec<MetricSource>,
    pub(super) hooks: Vec<HookCall>,
    pub(super) alerts: Option<Vec<AlertTarget>>,
}

impl Check<'_> {
    pub(super) fn analysis(&mut self, spec: Option<&AnalysisSpec>, names: &QueryNames) -> Parts {
        let Some(spec) = spec else {
            return Parts {
                analysis: without_analysis(),
                metrics: Vec::new(),
                hooks: Vec::new(),
                alerts: None,
            };
        };
        self.refuse_other_strategies(spec);
        let interval = self.interval(spec);
        let (metrics, metric_sources) =
            self.metrics(spec.metrics.as_deref().unwrap_or_default(), names);
        let (hooks, hook_calls) = self.hooks(spec.webhooks.as_deref().unwrap_or_default());
        let analysis = Analysis {
            interval,
            // Flagger: 1 when absent, zero or negative.
            threshold: spec
                .threshold
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
                .unwrap_or(1),
            primary_ready_percent: self
                .ready_percent("primaryReadyThreshold", spec.primary_ready_threshold),
            canary_ready_percent: self
                .ready_percent("canaryReadyThreshold", spec.canary_ready_threshold),
            strategy: Strategy::Weighted(self.steps(spec)),
            promotion_step: self.promotion_step(spec),
            metrics,
            hooks,
        };
        let alerts = self.alerts(spec.alerts.as_deref());
        Parts {
            analysis,
            metrics: metric_sources,
            hooks: hook_calls,
            alerts,
        }
    }

    fn refuse_other_strategies(&mut self, spec: &AnalysisSpec) {
        let given = [
            (
                "iterations",
                spec.iterations.is_some_and(|n| n != 0),
                "Blue/Green and A/B releases",
            ),
            (
                "match",
                spec.match_.as_ref().is_some_and(|m| !m.is_empty()),
                "A/B releases",
            ),
            ("mirror", spec.mirror == Some(true), "mirrored traffic"),
            (
                "mirrorWeight",
                spec.mirror_weight.is_some_and(|n| n != 0),
                "mirrored traffic",
            ),
            (
                "sessionAffinity",
                spec.session_affinity.is_some(),
                "session affinity",
            ),
        ];
        for (field, is_given, what) in given {
            if is_given {
                self.problem(
                    format!("spec.analysis.{field}"),
                    format!("{what} are not supported yet")
                        .replace("traffic are", "traffic is")
                        .replace("affinity are", "affinity is"),
                    "remove the field and release by stepWeight or stepWeights",
                );
            }
        }
    }

    fn interval(&mut self, spec: &AnalysisSpec) -> Duration {
        let field = "spec.analysis.interval";
        let interval = self.duration(field, spec.interval.as_deref(), Duration::from_secs(60));
        let min = self.settings.min_interval;
        if interval < min {
            self.problem(
                field,
                format!(
                    "{}s is shorter than {}s",
                    interval.as_secs_f64(),
                    min.as_secs_f64()
                ),
                "lengthen it, or allow it by the controller's --min-interval",
            );
        }
        interval
    }

    fn steps(&mut self, spec: &AnalysisSpec) -> Steps {
        let max = self.percent("spec.analysis.maxWeight", spec.max_weight.unwrap_or(100));
        match (spec.step_weight, spec.step_weights.as_deref()) {
            // Flagger: a step beats the list.
            (Some(step), list) if step != 0 || list.is_none() => Steps::Linear {
                step: self.percent("spec.analysis.stepWeight", step),
                max,
            },
            (_, Some(list)) => {
                let field = "spec.analysis.stepWeights";
                let weights: Vec<u8> = list
                    .iter()
                    .map(|weight| self.percent(field, *weight))
                    .collect();
                if weights.is_empty() || !weights.is_sorted_by(|one, next| one < next) {
                    self.problem(
                        field,
                        format!("{list:?} does not ascend"),
                        "list weights from 1 to 100, each larger than the one before",
                    );
                }
                Steps::List(weights)
            }
            _ => {
                if spec.iterations.is_none_or(|n| n == 0) {
                    self.problem(
                        "spec.analysis.stepWeight",
                        "neither stepWeight nor stepWeights is given",
                        "add stepWeight, such as 10, and maxWeight, such as 50",
                    );
                }
                Steps::Linear {
                    step: 100,
                    max: 100,
                }
            }
        }
    }

    fn promotion_step(&mut self, spec: &AnalysisSpec) -> u8 {
        match spec.step_weight_promotion {
            None | Some(0) => 0,
            Some(step) => self.percent("spec.analysis.stepWeightPromotion", step),
        }
    }

    fn percent(&mut self, field: &str, value: i64) -> u8 {
        match u8::try_from(value) {
            Ok(percent) if (1..=100).contains(&percent) => percent,
            _ => {
                self.problem(
                    field,
                    format!("{value} is not a weight"),
                    "write a percentage from 1 to 100",
                );
                100
            }
        }
    }

    fn ready_percent(&mut self, field: &str, value: Option<i64>) -> u8 {
        let value = value.unwrap_or(100);
        match u8::try_from(value) {
            Ok(percent) if percent <= 100 => percent,
            _ => {
                let field = format!("spec.analysis.{field}");
                self.problem(
                    field,
                    format!("{value} is not a percentage"),
                    "write a number from 0 to 100",
                );
                100
            }
        }
    }
}

fn without_analysis() -> Analysis {
    Analysis {
        interval: Duration::from_secs(60),
        threshold: 1,
        primary_ready_percent: 100,
        canary_ready_percent: 100,
        strategy: Strategy::Weighted(Steps::Linear {
            step: 100,
            max: 100,
        }),
        promotion_step: 0,
        metrics: Vec::new(),
        hooks: Vec::new(),
    }
}
