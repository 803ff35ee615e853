//! The linter reports every kind of bad plan. Each test takes a state that the simulation has reached, and a plan
//! that would be wrong there.

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

    /// A run whose check is due and has found `value`.
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
fn weights_that_do_not_sum_to_a_hundred() {
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
fn a_rise_against_or_without_a_verdict() {
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
fn a_rise_or_an_end_while_requests_may_not_follow_the_route() {
    let mut case = Case::measured(3.0);
    case.observed.route_pending = Some("not taken up".to_owned());
    assert_eq!(case.broken(vec![weights(20)]), [Rule::RouteIsFollowed]);
    case.observed.status.phase = Phase::Finalising;
    let done = case.status(|status| status.phase = Phase::Succeeded);
    assert_eq!(case.broken(vec![done]), [Rule::RouteIsFollowed]);
}

#[test]
fn a_step_before_its_time() {
    let mut early = Case::measured(3.0);
    early.observed.now -= jiff::SignedDuration::from_secs(3600);
    assert_eq!(early.broken(vec![weights(20)]), [Rule::ClockMustAdvance]);
}

#[test]
fn scaling_down_what_has_traffic_or_may_still_have_some() {
    let down = || Action::ScaleDownTarget;
    let mut failed = Case::measured(9.0);
    failed.observed.status.phase = Phase::Failed;
    let route = Rule::RouteBeforeScaleDown;
    assert_eq!(failed.broken(vec![down(), weights(0)]), [route]);
    assert_eq!(failed.broken(vec![weights(0), down()]), [route]);
    failed.observed.route = Some(Weights::canary(0));
    assert_eq!(failed.broken(vec![down()]), []);
    failed.observed.route_pending = Some("not taken up".to_owned());
    assert_eq!(failed.broken(vec![down()]), [route]);
    failed.observed.target.workload.available = 0;
    assert_eq!(failed.broken(vec![down()]), []);
}

#[test]
fn an_end_that_a_crash_would_forget() {
    let mut case = Case::measured(9.0);
    case.observed.route = Some(Weights::canary(0));
    let tell = Action::CallHook {
        index: 0,
        kind: HookKind::PostRollout,
        phase: Phase::Failed,
    };
    let broken = case.broken(vec![Action::ScaleDownTarget, tell.clone()]);
    assert_eq!(broken, [Rule::EndIsNoted, Rule::EndIsNoted]);
    case.observed.status.phase = Phase::Failed;
    assert_eq!(case.broken(vec![Action::ScaleDownTarget, tell]), []);
}

#[test]
fn traffic_to_what_is_not_ready() {
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
    // In a promotion the primary takes over when it is complete, not before.
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
    // When it fails, the canary takes over, but only with what was analysed.
    assert_eq!(promoting.broken(vec![weights(100)]), []);
    promoting.observed.target.revision = "sha256:v3".to_owned();
    assert_eq!(
        promoting.broken(vec![weights(100)]),
        [Rule::RiseNeedsVerdict]
    );
}

#[test]
fn an_illegal_change_of_phase() {
    let case = Case::measured(3.0);
    let status = case.status(|status| status.phase = Phase::Succeeded);
    assert_eq!(case.broken(vec![status]), [Rule::LegalTransition]);
}

#[test]
fn a_suspended_canary_that_moves() {
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
fn an_action_where_none_is_needed() {
    let case = Case::new(IDLE);
    assert_eq!(
        case.broken(vec![Action::EnsureApexService]),
        [Rule::SatisfiedIsNoOp]
    );
    assert_eq!(case.broken(vec![]), []);
}

#[test]
fn a_run_that_waits_for_nothing() {
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
fn a_status_that_is_not_last_and_an_event_that_comes_twice() {
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
fn a_primary_made_again_with_configuration_that_was_not_promoted() {
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
fn a_copy_of_something_else_than_was_analysed() {
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

/// Two opinions on what is within limits: the planner's and the linter's.
#[test]
fn durations_are_whole_milliseconds_for_the_linter_too() {
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
