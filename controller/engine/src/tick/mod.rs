//! The plan of one tick in the making: the facts and the decisions so far.
//!
//! - `facts`: state of the run and of both sides
//! - `schedule`: time of the next check
//! - `hooks`: answers of webhooks
//! - `changes`: changes of workloads and traffic
//! - `record`: revisions and checks in the status
//! - `messages`: events and alerts
//! - `waiting`: the reason why nothing moves

mod changes;
mod facts;
pub(crate) mod hooks;
mod messages;
mod record;
mod schedule;
mod waiting;

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    action::{Action, Plan},
    canary::Canary,
    observed::{Observed, Weights},
    phase::Phase,
    question::Answers,
    readiness::{Readiness, readiness},
    status::Status,
};

/// A plan in the making.
pub(crate) struct Tick<'a> {
    pub(crate) canary: &'a Canary,
    pub(crate) observed: &'a Observed,
    pub(crate) answers: &'a Answers,
    /// The new status. It is written if it differs from the observed one.
    pub(crate) status: Status,
    /// Live weights after the actions so far.
    pub(crate) live: Weights,
    pub(crate) primary: Readiness,
    pub(crate) target: Readiness,
    actions: Vec<Action>,
    wake: Option<Duration>,
}

impl<'a> Tick<'a> {
    pub(crate) fn new(
        canary: &'a Canary,
        observed: &'a Observed,
        answers: &'a Answers,
    ) -> Tick<'a> {
        let judge = |workload, name: &str, percent, began| {
            readiness(
                workload,
                name,
                percent,
                canary.progress_deadline,
                began,
                observed.now,
            )
        };
        let (analysis, name, namespace) =
            (&canary.analysis, &canary.target.name, &canary.namespace);
        let primary = match &observed.primary {
            Some(primary) => judge(
                &primary.workload,
                &format!("{name}-primary"),
                analysis.primary_ready_percent,
                promotion_began(&observed.status),
            ),
            // Its template is lost, so waiting does not help.
            None => Readiness::Stuck(
                "it was deleted; to recreate it, set the target and its configuration to the promoted revision or to a new one"
                    .to_owned(),
            ),
        };
        let target = judge(
            &observed.target.workload,
            name,
            analysis.canary_ready_percent,
            observed.status.run_started,
        );
        Tick {
            canary,
            observed,
            answers,
            status: observed.status.clone(),
            live: observed
                .route
                .unwrap_or(Weights::canary(observed.status.canary_weight)),
            primary: explain(primary, &format!("{name}-primary.{namespace} not ready")),
            target: explain(
                target,
                &format!("canary deployment {name}.{namespace} not ready"),
            ),
            actions: Vec::new(),
            wake: None,
        }
    }

    /// Completes the plan: the actions so far, then the status if it changed. The status has the live weight in every
    /// phase (Flagger writes 0 in some).
    pub(crate) fn finish(mut self) -> Plan {
        if !self.canary.suspend {
            self.status.canary_weight = self.live.canary;
        }
        if self.status.phase != self.observed.status.phase {
            self.status.phase_since = Some(self.now());
        }
        if self.status != self.observed.status {
            self.actions
                .push(Action::WriteStatus(Box::new(self.status)));
        }
        Plan {
            actions: self.actions,
            requeue: self.wake,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.observed.now
    }

    /// `NAME.NAMESPACE` of the Canary object.
    pub(crate) fn canary_id(&self) -> String {
        format!("{}.{}", self.canary.name, self.canary.namespace)
    }

    /// `NAME.NAMESPACE` of the target.
    pub(crate) fn target_id(&self) -> String {
        format!("{}.{}", self.canary.target.name, self.canary.namespace)
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}

/// The start of the primary's rollout, during a promotion.
fn promotion_began(status: &Status) -> Option<Timestamp> {
    let promoting = matches!(status.phase, Phase::Promoting | Phase::Finalising);
    status.phase_since.filter(|_| promoting)
}

/// Puts the name of the workload before the reason, as in Flagger's events.
fn explain(readiness: Readiness, who: &str) -> Readiness {
    match readiness {
        Readiness::Ready => Readiness::Ready,
        Readiness::Waiting(why) => Readiness::Waiting(format!("{who}: {why}")),
        Readiness::Stuck(why) => Readiness::Stuck(format!("{who}: {why}")),
    }
}
