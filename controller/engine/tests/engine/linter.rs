//! `rules` report every kind of bad plan. Each test takes a state of the simulation and a plan that would be wrong in
//! it.

use std::{collections::BTreeMap, time::Duration};

use canary_engine::{
    action::{Action, Event, Plan},
    canary::{HookKind, Metric, MetricKind, Range},
    observed::{Observed, Weights},
    phase::Phase,
    question::{Answer, Answers, MetricAnswer, Question, Sample},
    status::{Cleanup, Status},
};

use crate::{
    driver::Driver,
    rules::{Rule, check},
    script,
};

/// A canary in the middle of a run: weight 10, a check is due.
const RUNNING: &str = "
    canary interval=20s step=10 max=50
    metric template latency max=3
    target v1 1
    wait Initialized
    deploy v2
    advance 10s";

const IDLE: &str = "target v1 1\nwait Initialized";

struct Case {
    driver: Driver,
    observed: Observed,
    answers: Answers,
}

impl Case {
    fn new(script: &str) -> Case {
        let mut driver = script::run(script);
        let observed = driver.world.observe(&driver.canary);
        driver.world.log.clear();
        Case {
            driver,
            observed,
            answers: Answers::default(),
        }
    }

    /// A run whose check is due and has measured `value`.
    fn measured(value: f64) -> Case {
        let mut case = Case::new(RUNNING);
        case.observed.now += jiff::SignedDuration::from_secs(60);
        let sample = Sample {
            labels: String::new(),
            value,
        };
        let answer = Answer::Metric(MetricAnswer::Values(vec![sample]));
        case.answers
            .given
            .push((Question::Metric { index: 0 }, answer));
        case
    }

    fn broken(&self, actions: Vec<Action>) -> Vec<Rule> {
        let plan = Plan {
            actions,
            requeue: Some(Duration::from_secs(1)),
        };
        let found = check(&self.driver.canary, &self.observed, &self.answers, &plan);
        found.into_iter().map(|violation| violation.rule).collect()
    }

    fn status(&self, change: impl FnOnce(&mut Status)) -> Action {
        let mut status = self.observed.status.clone();
        change(&mut status);
        Action::WriteStatus(Box::new(status))
    }
}

fn weights(canary: u8) -> Action {
    Action::SetWeights(Weights::canary(canary))
}

fn copy(revision: &str) -> Action {
    Action::Promote {
        revision: revision.to_owned(),
        configs: BTreeMap::new(),
    }
}

#[test]
fn a_good_step_is_not_reported() {
    let case = Case::measured(3.0);
    let status = case.status(|status| status.canary_weight = 20);
    assert_eq!(case.broken(vec![weights(20), status]), []);
}

#[test]
fn weights_that_do_not_sum_to_a_hundred_are_reported() {
    let case = Case::measured(3.0);
    let lopsided = Action::SetWeights(Weights {
        primary: 90,
        canary: 20,
    });
    assert_eq!(case.broken(vec![lopsided]), [Rule::WeightsSum]);
    let unfaithful = case.status(|status| status.canary_weight = 0);
    assert_eq!(case.broken(vec![unfaithful]), [Rule::WeightsSum]);
}

#[test]
fn a_rise_without_a_passed_verdict_is_reported() {
    assert_eq!(
        Case::measured(3.1).broken(vec![weights(20)]),
        [Rule::RiseNeedsVerdict]
    );
    assert_eq!(
        Case::measured(f64::NAN).broken(vec![weights(20)]),
        [Rule::RiseNeedsVerdict]
    );
    let mut unasked = Case::measured(3.0);
    unasked.answers = Answers::default();
    assert_eq!(unasked.broken(vec![weights(20)]), [Rule::RiseNeedsVerdict]);
    assert_eq!(
        unasked.broken(vec![copy("sha256:v2")]),
        [Rule::RiseNeedsVerdict]
    );
}

#[test]
fn a_rise_or_an_end_under_a_pending_route_is_reported() {
    let mut case = Case::measured(3.0);
    case.observed.route_pending = Some("not accepted".to_owned());
    assert_eq!(case.broken(vec![weights(20)]), [Rule::RouteIsFollowed]);
    case.observed.status.phase = Phase::Finalising;
    let done = case.status(|status| status.phase = Phase::Succeeded);
    assert_eq!(case.broken(vec![done]), [Rule::RouteIsFollowed]);
}

#[test]
fn a_step_before_its_time_is_reported() {
    let mut early = Case::measured(3.0);
    early.observed.now -= jiff::SignedDuration::from_secs(3600);
    assert_eq!(early.broken(vec![weights(20)]), [Rule::ClockMustAdvance]);
}

#[test]
fn scaling_down_a_target_that_may_have_traffic_is_reported() {
    let down = || Action::ScaleDownTarget;
    let mut failed = Case::measured(9.0);
    failed.observed.status.phase = Phase::Failed;
    let route = Rule::RouteBeforeScaleDown;
    assert_eq!(failed.broken(vec![down(), weights(0)]), [route]);
    assert_eq!(failed.broken(vec![weights(0), down()]), [route]);
    failed.observed.route = Some(Weights::canary(0));
    assert_eq!(failed.broken(vec![down()]), []);
    failed.observed.route_pending = Some("not accepted".to_owned());
    assert_eq!(failed.broken(vec![down()]), [route]);
    failed.observed.target.workload.available = 0;
    assert_eq!(failed.broken(vec![down()]), []);
}

#[test]
fn an_end_that_a_crash_would_lose_is_reported() {
    let mut case = Case::measured(9.0);
    case.observed.route = Some(Weights::canary(0));
    let call = Action::CallHook {
        index: 0,
        kind: HookKind::PostRollout,
        phase: Phase::Failed,
    };
    let broken = case.broken(vec![Action::ScaleDownTarget, call.clone()]);
    assert_eq!(broken, [Rule::EndIsRecorded, Rule::EndIsRecorded]);
    case.observed.status.phase = Phase::Failed;
    assert_eq!(case.broken(vec![Action::ScaleDownTarget, call]), []);
}

#[test]
fn traffic_to_a_side_that_is_not_ready_is_reported() {
    let mut canary_down = Case::measured(3.0);
    canary_down.observed.target.workload.available = 0;
    assert_eq!(
        canary_down.broken(vec![weights(20)]),
        [Rule::TrafficGoesToReady]
    );
    let mut primary_down = Case::measured(9.0);
    primary_down
        .observed
        .primary
        .as_mut()
        .unwrap()
        .workload
        .available = 0;
    assert_eq!(
        primary_down.broken(vec![weights(0)]),
        [Rule::TrafficGoesToReady]
    );
    let moved = Action::EnsureRoute(Weights::canary(0));
    assert_eq!(
        Case::measured(3.0).broken(vec![moved]),
        [Rule::TrafficGoesToReady]
    );
    // During a promotion the primary takes over only when it is rolled out.
    let mut promoting = Case::measured(3.0);
    promoting.observed.status.phase = Phase::Promoting;
    assert_eq!(promoting.broken(vec![weights(0)]), []);
    promoting
        .observed
        .primary
        .as_mut()
        .unwrap()
        .workload
        .replicas += 1;
    assert_eq!(
        promoting.broken(vec![weights(0)]),
        [Rule::TrafficGoesToReady]
    );
    // If it fails, the canary takes over, but only with the analysed revision.
    assert_eq!(promoting.broken(vec![weights(100)]), []);
    promoting.observed.target.revision = "sha256:v3".to_owned();
    assert_eq!(
        promoting.broken(vec![weights(100)]),
        [Rule::RiseNeedsVerdict]
    );
}

#[test]
fn an_illegal_change_of_phase_is_reported() {
    let case = Case::measured(3.0);
    let status = case.status(|status| status.phase = Phase::Succeeded);
    assert_eq!(case.broken(vec![status]), [Rule::LegalTransition]);
}

#[test]
fn a_suspended_canary_that_moves_is_reported() {
    let mut case = Case::measured(3.0);
    case.driver.canary.suspend = true;
    assert_eq!(
        case.broken(vec![Action::EnsureApexService]),
        [Rule::SuspendedIsStill]
    );
    let status = case.status(|status| status.failed_checks += 1);
    assert_eq!(case.broken(vec![status]), [Rule::SuspendedIsStill]);
    let waiting = case.status(|status| status.waiting = None);
    assert_eq!(case.broken(vec![waiting]), []);
}

#[test]
fn an_action_in_the_desired_state_is_reported() {
    let case = Case::new(IDLE);
    assert_eq!(
        case.broken(vec![Action::EnsureApexService]),
        [Rule::SatisfiedIsNoOp]
    );
    assert_eq!(case.broken(vec![]), []);
}

#[test]
fn a_run_that_waits_for_nothing_is_reported() {
    let case = Case::new(RUNNING);
    let silent = Plan {
        actions: Vec::new(),
        requeue: None,
    };
    let found = check(&case.driver.canary, &case.observed, &case.answers, &silent);
    assert_eq!(
        found.iter().map(|found| found.rule).collect::<Vec<_>>(),
        [Rule::NeverStuckInSilence]
    );
    let mut case = Case::new(RUNNING);
    case.observed.status.phase = Phase::Failed;
    for (cleanup, rules) in [
        (None, vec![]),
        (Some(Cleanup::ScaleDown), vec![Rule::NeverStuckInSilence]),
    ] {
        case.observed.status.cleanup = cleanup;
        let found = check(&case.driver.canary, &case.observed, &case.answers, &silent);
        assert_eq!(
            found.iter().map(|found| found.rule).collect::<Vec<_>>(),
            rules
        );
    }
}

#[test]
fn an_early_status_write_and_a_repeated_event_are_reported() {
    let case = Case::measured(3.0);
    let status = case.status(|_| {});
    let broken = case.broken(vec![status, Action::EnsureApexService]);
    assert_eq!(broken, [Rule::StatusLast]);
    let event = Action::Publish(Event {
        warning: false,
        message: "Advance".to_owned(),
        action: "Advance",
        key: "one".to_owned(),
    });
    assert_eq!(case.broken(vec![event.clone(), event]), [Rule::StatusLast]);
}

#[test]
fn a_primary_recreated_with_unpromoted_configuration_is_reported() {
    let mut case = Case::new(IDLE);
    let configs =
        |content: &str| BTreeMap::from([("configmap/app".to_owned(), content.to_owned())]);
    let create = Action::CreatePrimary {
        revision: "sha256:v1".to_owned(),
        configs: configs("2"),
    };
    case.observed.primary = None;
    case.observed.target.configs = configs("2");
    case.observed.status.promoted_configs = Some(configs("1"));
    assert_eq!(case.broken(vec![create.clone()]), [Rule::CopyIsPinned]);
    case.observed.status.promoted_configs = Some(configs("2"));
    assert_eq!(case.broken(vec![create]), []);
}

#[test]
fn a_copy_of_a_revision_that_was_not_analysed_is_reported() {
    let case = Case::measured(3.0);
    assert_eq!(case.broken(vec![copy("sha256:v2")]), []);
    assert_eq!(case.broken(vec![copy("sha256:v3")]), [Rule::CopyIsPinned]);
    let mut changed = Case::measured(3.0);
    changed.observed.target.revision = "sha256:v3".to_owned();
    assert!(
        changed
            .broken(vec![copy("sha256:v3")])
            .contains(&Rule::CopyIsPinned)
    );
}

/// The planner and the rules have separate comparisons with limits.
#[test]
fn the_rules_compare_durations_in_whole_milliseconds() {
    let mut case = Case::measured(3.9);
    case.driver.canary.analysis.metrics = vec![Metric {
        name: "latency".to_owned(),
        kind: MetricKind::Duration,
        range: Range {
            min: None,
            max: Some(3.0),
        },
    }];
    assert_eq!(case.broken(vec![weights(20)]), []);
}
