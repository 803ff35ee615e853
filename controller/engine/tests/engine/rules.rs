//! Rules that every plan must keep, checked against snapshot and answers.
//!
//! They are written without the helpers of the planner, as a second opinion. Properties of whole runs (a release ends,
//! a crash changes nothing) are in `properties`.

use std::{collections::BTreeSet, fmt};

use canary_engine::{
    REVISION_PREFIX,
    action::{Action, Plan},
    canary::{Canary, HookKind, Metric, MetricKind},
    observed::{Observed, Presence, Weights, Workload},
    phase::Phase,
    question::{Answers, HookAnswer, MetricAnswer},
    status::Status,
};

/// A rule of a safe release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Weights are within bounds and sum to 100.
    WeightsSum,
    /// The weight of the canary rises, and a revision is promoted, only if all its checks have passed.
    RiseNeedsVerdict,
    /// The canary is scaled down only if it has no traffic and no request can still reach it.
    RouteBeforeScaleDown,
    /// The target is scaled down, and webhooks are called for a failure, only if the status has the end of the release:
    /// otherwise a crash would lose it.
    EndIsRecorded,
    /// Traffic does not move from available replicas to a side that is not ready.
    TrafficGoesToReady,
    /// No weight rises and nothing is promoted or finished while requests may not follow the current route.
    RouteIsFollowed,
    /// Phases change only as [`canary_engine::phase::TRANSITIONS`] allows.
    LegalTransition,
    /// A suspended canary changes nothing but its own status.
    SuspendedIsStill,
    /// A world in the desired state needs no action.
    SatisfiedIsNoOp,
    /// A canary that is not idle has a requeue time or a reason for its wait.
    NeverStuckInSilence,
    /// There is at most one status write, after all other actions, and no event twice.
    StatusLast,
    /// A clock that stands still or was set back advances nothing.
    ClockMustAdvance,
    /// The copy to the primary is exactly the revision that was analysed.
    CopyIsPinned,
}

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Every rule that `plan` breaks; empty for a good plan.
#[must_use]
pub(crate) fn check(
    canary: &Canary,
    observed: &Observed,
    answers: &Answers,
    plan: &Plan,
) -> Vec<Violation> {
    let mut checker = Checker {
        canary,
        observed,
        answers,
        found: Vec::new(),
    };
    checker.order(plan);
    checker.traffic(plan);
    checker.copies(plan);
    checker.phases(plan);
    checker.stillness(plan);
    checker.found
}

struct Checker<'a> {
    canary: &'a Canary,
    observed: &'a Observed,
    answers: &'a Answers,
    found: Vec<Violation>,
}

impl Checker<'_> {
    fn report(&mut self, rule: Rule, what: impl Into<String>) {
        self.found.push(Violation {
            rule,
            what: what.into(),
        });
    }

    fn require(&mut self, kept: bool, rule: Rule, what: impl FnOnce() -> String) {
        if !kept {
            self.report(rule, what());
        }
    }

    fn order(&mut self, plan: &Plan) {
        let status = |action: &Action| matches!(action, Action::WriteStatus(_));
        let early = plan.actions.iter().rev().skip(1).any(status);
        self.require(!early, Rule::StatusLast, || {
            "something follows the status write".to_owned()
        });
        let mut keys = BTreeSet::new();
        for action in &plan.actions {
            if let Action::Publish(event) = action {
                let new = keys.insert(event.key.clone());
                self.require(new, Rule::StatusLast, || {
                    format!("event twice: {}", event.message)
                });
            }
        }
    }

    /// Checks the weights after each action.
    fn traffic(&mut self, plan: &Plan) {
        let noted = Weights::canary(self.observed.status.canary_weight);
        let mut live = self.observed.route.unwrap_or(noted);
        let mut copied = false;
        for action in &plan.actions {
            match action {
                Action::SetWeights(weights) => {
                    self.weights(*weights);
                    self.shift(live, *weights, copied);
                    live = *weights;
                }
                Action::EnsureRoute(weights) => {
                    self.weights(*weights);
                    if self.observed.route.is_some()
                        && self.observed.status.phase != Phase::Initializing
                    {
                        let kept = *weights == live;
                        let what =
                            || format!("repairing the route moves weights {live} to {weights}");
                        self.require(kept, Rule::TrafficGoesToReady, what);
                    }
                    live = *weights;
                }
                Action::ScaleDownTarget => self.scale_down(live),
                Action::CallHook { index, phase, .. } => {
                    let noted = self.observed.status.phase == Phase::Failed;
                    let what = || format!("webhook {index} is called for {phase}");
                    self.require(*phase != Phase::Failed || noted, Rule::EndIsRecorded, what);
                }
                Action::Promote { .. } => copied = true,
                _ => {}
            }
        }
        if let Some(status) = written(plan) {
            let what = || {
                format!(
                    "the status has weight {}, the route {live}",
                    status.canary_weight
                )
            };
            // A suspended canary keeps its status.
            let faithful = status.canary_weight == live.canary || self.canary.suspend;
            self.require(faithful, Rule::WeightsSum, what);
        }
    }

    fn scale_down(&mut self, live: Weights) {
        let phase = self.observed.status.phase;
        let running = matches!(
            phase,
            Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting
        );
        self.require(!running, Rule::EndIsRecorded, || {
            format!("scaled down in {phase}")
        });
        let rule = Rule::RouteBeforeScaleDown;
        self.require(live.canary == 0, rule, || {
            format!("scaled down with {} percent of traffic", live.canary)
        });
        // Before the first route no request could reach it.
        let initializing = matches!(phase, Phase::None | Phase::Initializing);
        let down = self.observed.target.workload.available == 0;
        let followed = self.observed.route == Some(live) && self.observed.route_pending.is_none();
        self.require(followed || initializing || down, rule, || {
            "scaled down while requests may still go there".to_owned()
        });
    }

    fn weights(&mut self, weights: Weights) {
        let sum = u16::from(weights.primary) + u16::from(weights.canary);
        self.require(sum == 100, Rule::WeightsSum, || {
            format!("{weights} sums to {sum}")
        });
    }

    fn shift(&mut self, from: Weights, to: Weights, copied: bool) {
        let target = &self.observed.target.workload;
        let primary = self
            .observed
            .primary
            .as_ref()
            .map(|primary| &primary.workload);
        let primary_answers = primary.is_some_and(|primary| primary.available > 0);
        let phase = self.observed.status.phase;
        if to.canary > from.canary {
            let up = target.replicas_wanted > 0 && target.available > 0 && rolled_out(target);
            self.require(up, Rule::TrafficGoesToReady, || {
                format!("{from} to {to}: canary not ready")
            });
            let failed_promotion =
                matches!(phase, Phase::Promoting | Phase::Finalising) && to.canary == 100;
            if failed_promotion {
                let what = || format!("{from} to {to} with another revision than was analysed");
                self.require(self.run_is_current(), Rule::RiseNeedsVerdict, what);
            } else {
                self.verdict(&format!("{from} to {to}"));
            }
        }
        if to.canary < from.canary && target.available > 0 {
            let what = || format!("{from} to {to}: primary not available");
            self.require(primary_answers, Rule::TrafficGoesToReady, what);
            // The canary has been analysed and is available: only a primary that is rolled out replaces it.
            let fit = self.run_is_current() && phase == Phase::Promoting;
            if fit {
                let ready = primary.is_some_and(rolled_out) && !copied;
                let what = || format!("{from} to {to}: primary is still rolling out");
                self.require(ready, Rule::TrafficGoesToReady, what);
            }
        }
    }

    /// Returns whether the target still has the revision of the run in the status.
    fn run_is_current(&self) -> bool {
        let (status, target) = (&self.observed.status, &self.observed.target);
        status.last_applied.as_ref() == Some(&target.revision)
            && status.tracked_configs == target.configs
    }

    /// Requires everything that has to pass before the canary gets more traffic.
    fn verdict(&mut self, what: &str) {
        let status = &self.observed.status;
        let running = matches!(status.phase, Phase::Progressing | Phase::WaitingPromotion);
        self.require(
            running && self.run_is_current(),
            Rule::RiseNeedsVerdict,
            || format!("{what} in {} with an unknown revision", status.phase),
        );
        let earlier = status.last_check.is_some_and(|last| {
            let interval = self.canary.analysis.interval.as_secs_f64();
            self.observed.now.duration_since(last).as_secs_f64() < interval
        });
        self.require(!earlier, Rule::ClockMustAdvance, || {
            format!("{what} before it is due")
        });
        self.route_is_followed(what);
        let live = self.observed.route.map_or(0, |weights| weights.canary);
        let starting = live == 0 || !status.pre_rollout_done;
        let needed = if starting {
            HookKind::PreRollout
        } else {
            HookKind::Rollout
        };
        for (index, hook) in self.canary.analysis.hooks.iter().enumerate() {
            let passed = self.answers.hook(index) == Some(&HookAnswer::Passed);
            let refused = self.answers.hook(index).is_some() && !passed;
            let ok = match hook.kind {
                kind if kind == needed => passed,
                HookKind::ConfirmTrafficIncrease => !refused,
                HookKind::Rollback => refused,
                _ => true,
            };
            self.require(ok, Rule::RiseNeedsVerdict, || {
                format!("{what} against {}", hook.name)
            });
        }
        if starting {
            return;
        }
        for (index, metric) in self.canary.analysis.metrics.iter().enumerate() {
            let passed = match self.answers.metric(index) {
                Some(MetricAnswer::Values(samples)) => {
                    !samples.is_empty() && samples.iter().all(|sample| within(metric, sample.value))
                }
                _ => false,
            };
            self.require(passed, Rule::RiseNeedsVerdict, || {
                format!("{what} against {}", metric.name)
            });
        }
    }

    fn route_is_followed(&mut self, what: &str) {
        let pending = self.observed.route_pending.clone();
        self.require(pending.is_none(), Rule::RouteIsFollowed, || {
            format!("{what} although {}", pending.unwrap_or_default())
        });
    }

    fn copies(&mut self, plan: &Plan) {
        let target = &self.observed.target;
        let phase = self.observed.status.phase;
        for action in &plan.actions {
            let (Action::Promote { revision, configs }
            | Action::CreatePrimary { revision, configs }) = action
            else {
                continue;
            };
            let same = *revision == target.revision && *configs == target.configs;
            self.require(same, Rule::CopyIsPinned, || format!("copies {revision}"));
            let initializing = matches!(phase, Phase::None | Phase::Initializing);
            let status = &self.observed.status;
            let promoted = status.last_promoted.as_ref() == Some(revision)
                && status
                    .promoted_configs
                    .as_ref()
                    .is_none_or(|promoted| promoted == configs);
            if initializing || promoted && matches!(action, Action::CreatePrimary { .. }) {
                continue;
            }
            self.require(self.run_is_current(), Rule::CopyIsPinned, || {
                format!("copies {revision}, which is not the revision of this run")
            });
            let running = matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
            if running && !self.canary.skip_analysis {
                self.verdict("promotion");
            }
        }
    }

    fn phases(&mut self, plan: &Plan) {
        let (from, to) = (self.observed.status.phase, next(self.observed, plan).phase);
        self.require(from.may_become(to), Rule::LegalTransition, || {
            format!("{from} to {to}")
        });
        // A revision withdrawn before its run ends in the same phases, and moves nothing.
        let finished = match to {
            Phase::Initialized => matches!(from, Phase::None | Phase::Initializing),
            Phase::Succeeded => from == Phase::Finalising,
            _ => false,
        };
        if finished {
            self.route_is_followed(&format!("{from} to {to}"));
        }
        let after = next(self.observed, plan);
        let idle = matches!(
            to,
            Phase::None
                | Phase::Initialized
                | Phase::Succeeded
                | Phase::Failed
                | Phase::Terminating
        );
        let active = !idle || after.cleanup.is_some();
        let explained = after.waiting.is_some();
        if active && !self.canary.suspend {
            let woken = plan.requeue.is_some() || explained || !plan.actions.is_empty();
            self.require(woken, Rule::NeverStuckInSilence, || {
                format!("{to} without a requeue time")
            });
        }
    }

    fn stillness(&mut self, plan: &Plan) {
        if self.canary.suspend {
            for action in &plan.actions {
                let harmless = match action {
                    Action::Publish(_) => true,
                    Action::WriteStatus(status) => {
                        let before = Status {
                            waiting: None,
                            ..self.observed.status.clone()
                        };
                        before
                            == Status {
                                waiting: None,
                                ..(**status).clone()
                            }
                    }
                    _ => false,
                };
                self.require(harmless, Rule::SuspendedIsStill, || action.to_string());
            }
        } else if self.satisfied() {
            self.require(plan.actions.is_empty(), Rule::SatisfiedIsNoOp, || {
                let actions: Vec<String> = plan.actions.iter().map(ToString::to_string).collect();
                actions.join("; ")
            });
        }
    }

    /// Returns whether the canary is idle and complete, and the primary has all the traffic.
    fn satisfied(&self) -> bool {
        let Observed {
            status,
            objects,
            route,
            primary,
            ..
        } = self.observed;
        let services = [
            objects.canary_service,
            objects.primary_service,
            objects.apex_service,
        ];
        let complete = services
            .iter()
            .chain([&objects.route])
            .all(|presence| *presence == Presence::Current);
        matches!(status.phase, Phase::Initialized | Phase::Succeeded)
            && status.waiting.is_none()
            && status.cleanup.is_none()
            && status.canary_weight == 0
            && status
                .last_applied
                .as_ref()
                .is_some_and(|text| text.starts_with(REVISION_PREFIX))
            && self.run_is_current()
            && complete
            && !self.observed.target.gone
            && *route == Some(Weights::canary(0))
            && primary.is_some()
    }
}

/// The status after the plan.
fn next<'a>(observed: &'a Observed, plan: &'a Plan) -> &'a Status {
    written(plan).unwrap_or(&observed.status)
}

fn written(plan: &Plan) -> Option<&Status> {
    match plan.actions.last() {
        Some(Action::WriteStatus(status)) => Some(status),
        _ => None,
    }
}

/// Returns whether no old replica is left and no new one is missing.
fn rolled_out(workload: &Workload) -> bool {
    workload.generation_observed
        && workload.updated >= workload.replicas_wanted
        && workload.replicas <= workload.updated
}

/// Durations are compared in whole milliseconds, so a limit and a value that differ by a fraction are equal.
fn within(metric: &Metric, value: f64) -> bool {
    let whole = |number: f64| {
        if metric.kind == MetricKind::Duration {
            number.trunc()
        } else {
            number
        }
    };
    let above = metric
        .range
        .min
        .is_none_or(|min| whole(value) >= whole(min));
    let below = metric
        .range
        .max
        .is_none_or(|max| whole(value) <= whole(max));
    !value.is_nan() && above && below
}
