//! `spec.analysis`: intervals, thresholds and weights.

use std::time::Duration;

use canary_engine::{
    canary::Analysis,
    strategy::{Steps, Strategy},
};

use super::{
    Check,
    strategy::{self, percent},
};
use crate::{
    api::AnalysisSpec,
    release::spec::{AlertTarget, HookCall, MetricSource, QueryNames},
};

/// The parts of a validated analysis.
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
        let strategy = self.strategy(spec);
        let interval = self.interval(spec);
        let (metrics, metric_sources) =
            self.metrics(spec.metrics.as_deref().unwrap_or_default(), names);
        let (hooks, hook_calls) = self.hooks(spec.webhooks.as_deref().unwrap_or_default());
        let analysis = Analysis {
            interval,
            threshold: threshold(spec),
            primary_ready_percent: self
                .ready_percent("primaryReadyThreshold", spec.primary_ready_threshold),
            canary_ready_percent: self
                .ready_percent("canaryReadyThreshold", spec.canary_ready_threshold),
            strategy,
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

    fn interval(&mut self, spec: &AnalysisSpec) -> Duration {
        let field = "spec.analysis.interval";
        let interval = self.duration(field, spec.interval.as_deref(), Duration::from_secs(60));
        let min = self.settings.min_interval;
        if interval < min {
            self.problem(
                field,
                format!(
                    "{}s is shorter than the minimum of {}s",
                    interval.as_secs_f64(),
                    min.as_secs_f64()
                ),
                "increase it, or lower the controller's --min-interval",
            );
        }
        interval
    }

    fn promotion_step(&mut self, spec: &AnalysisSpec) -> u8 {
        match spec.step_weight_promotion {
            None | Some(0) => 0,
            Some(step) => self.percent("spec.analysis.stepWeightPromotion", step),
        }
    }

    fn percent(&mut self, field: &str, value: i64) -> u8 {
        percent(field, value, &mut self.problems)
    }

    fn strategy(&mut self, spec: &AnalysisSpec) -> Strategy {
        let (strategy, problems) = strategy::strategy(spec);
        self.problems.extend(problems);
        strategy
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
                    "use a number from 0 to 100",
                );
                100
            }
        }
    }
}

/// Number of failed checks after which a release is rolled back. Flagger: 1 when absent, zero or negative.
#[must_use]
pub fn threshold(spec: &AnalysisSpec) -> u32 {
    let given = spec.threshold.and_then(|n| u32::try_from(n).ok());
    given.filter(|n| *n > 0).unwrap_or(1)
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
