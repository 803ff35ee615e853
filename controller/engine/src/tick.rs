//! The plan of one tick while it is being made: what is known, what has been decided so far.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    action::{Action, Alert, Event, Plan, Severity},
    canary::{Canary, HookKind},
    observed::{Observed, Weights},
    phase::Phase,
    question::{Answers, HookAnswer, Question},
    readiness::{BRIEF, Readiness, brief_lag, elapsed, readiness, unavailable_since},
    status::{CHECKS_KEPT, Check, Status, Waiting, WaitingReason},
    strategy::Position,
};

/// What must be asked before planning can go on.
pub(crate) struct Ask(pub(crate) Vec<Question>);

/// Planning either goes on or stops to ask.
pub(crate) type Planned = Result<(), Ask>;

/// How a list of gates or hooks answered.
pub(crate) enum Hooks {
    /// All passed, or there are none.
    Passed,
    /// This one was refused, with its text.
    Refused { index: usize, why: String },
}

/// A plan in the making.
pub(crate) struct Tick<'a> {
    pub(crate) canary: &'a Canary,
    pub(crate) observed: &'a Observed,
    pub(crate) answers: &'a Answers,
    /// The status to be written, if it differs from the observed one.
    pub(crate) status: Status,
    /// Live weights as they will be after the actions so far.
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
            // It does not come back by waiting, because its template is lost.
            None => Readiness::Stuck(
                "it is gone; set the target and its configuration to what was promoted, or to a new revision, to have it made again"
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

    /// The plan: the actions so far, the status last and only if it changed. The status tells the live weight
    /// whatever the phase (Flagger writes 0 in some).
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

    // What is known.

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

    /// Whether the target holds something else than the run in progress, or the last one.
    pub(crate) fn target_changed(&self) -> bool {
        let target = &self.observed.target;
        self.status.last_applied.as_ref() != Some(&target.revision)
            || self.status.tracked_configs != target.configs
    }

    /// Whether the target holds what the primary runs. What was copied to the primary is the truth, because after
    /// a failed promotion it is not `last_promoted`; one that is gone, or was made by another controller, does not tell.
    pub(crate) fn target_is_promoted(&self) -> bool {
        let target = &self.observed.target;
        match self.observed.primary.as_ref().and_then(|primary| {
            primary
                .copied_revision
                .as_ref()
                .map(|r| (r, &primary.copied_configs))
        }) {
            Some((revision, configs)) => *revision == target.revision && *configs == target.configs,
            None => {
                let status = &self.status;
                let differs = match &status.promoted_configs {
                    Some(configs) => *configs != target.configs,
                    None => status.last_applied.as_ref() == Some(&target.revision),
                };
                status.last_promoted.as_ref() == Some(&target.revision) && !differs
            }
        }
    }

    /// Whether the revision of this run has been copied to the primary; `None` when the primary does not tell.
    pub(crate) fn run_is_copied(&self) -> Option<bool> {
        let primary = self.observed.primary.as_ref()?;
        let revision = primary.copied_revision.as_ref()?;
        Some(
            self.status.last_applied.as_ref() == Some(revision)
                && self.status.tracked_configs == primary.copied_configs,
        )
    }

    /// Whether the run, or the last one, is of what has been promoted already: the target was set back to it.
    pub(crate) fn run_is_promoted(&self) -> bool {
        let status = &self.status;
        status.last_applied == status.last_promoted
            && status
                .promoted_configs
                .as_ref()
                .is_none_or(|configs| *configs == status.tracked_configs)
    }

    /// The canary has no replica that answers.
    pub(crate) fn canary_is_down(&self) -> bool {
        self.observed.target.workload.available == 0
    }

    /// The primary has a replica that answers.
    pub(crate) fn primary_answers(&self) -> bool {
        let primary = self.observed.primary.as_ref();
        primary.is_some_and(|primary| primary.workload.available > 0)
    }

    /// Whether traffic may be sent back to the primary: it has replicas that answer and its rollout is not
    /// stuck, or there is nothing better left.
    pub(crate) fn primary_may_take_over(&self) -> bool {
        let stuck = matches!(self.primary, Readiness::Stuck(_));
        (self.primary_answers() && !stuck) || self.canary_is_down()
    }

    /// The point that the run has reached, by the live traffic.
    pub(crate) fn position(&self) -> Position {
        Position {
            traffic: self.live,
            iterations: self.status.iterations,
        }
    }

    /// The point that the run had reached when the status was written.
    pub(crate) fn noted_position(&self) -> Position {
        Position {
            traffic: Weights::canary(self.status.canary_weight),
            ..self.position()
        }
    }

    // Time.

    /// Look again after `pause` at the latest.
    pub(crate) fn wake_in(&mut self, pause: Duration) {
        self.wake = Some(self.wake.map_or(pause, |earlier| earlier.min(pause)));
    }

    /// Whether the next check or step is due: one interval after the last one, at once if there was none. Nothing is
    /// due when the last check lies in the future, because the clock went back.
    pub(crate) fn is_due(&self) -> bool {
        let interval = self.canary.analysis.interval;
        self.status
            .last_check
            .is_none_or(|last| elapsed(self.now(), last).is_some_and(|passed| passed >= interval))
    }

    /// Sleeps until the next check or step is due.
    ///
    /// A last check that lies further ahead than an interval is moved to now, so that a clock that once was wrong does
    /// not stop a run for years.
    pub(crate) fn sleep_until_due(&mut self) {
        let (now, interval) = (self.now(), self.canary.analysis.interval);
        let Some(last) = self.status.last_check else {
            return;
        };
        let passed = elapsed(now, last);
        if elapsed(last, now).is_some_and(|ahead| ahead > interval) {
            self.status.last_check = Some(now);
        }
        self.wake_in(interval.saturating_sub(passed.unwrap_or_default()));
    }

    /// This tick was a check or step; the next is due an interval later.
    pub(crate) fn checked(&mut self) {
        self.status.last_check = Some(self.now());
        self.wake_in(self.canary.analysis.interval);
    }

    // Asking.

    /// Asks the webhooks of `kind` in list order, saying `phase`, up to the first that is refused.
    pub(crate) fn ask_hooks(
        &self,
        kind: HookKind,
        phase: Phase,
        mut passed: impl FnMut(usize),
    ) -> Result<Hooks, Ask> {
        for index in self.hooks(kind) {
            match self.answers.hook(index) {
                None => return Err(Ask(vec![Question::Hook { index, kind, phase }])),
                Some(HookAnswer::Passed) => passed(index),
                Some(HookAnswer::Refused(why)) => {
                    return Ok(Hooks::Refused {
                        index,
                        why: why.clone(),
                    });
                }
            }
        }
        Ok(Hooks::Passed)
    }

    /// Indices of the webhooks of `kind`.
    pub(crate) fn hooks(&self, kind: HookKind) -> Vec<usize> {
        let hooks = &self.canary.analysis.hooks;
        (0..hooks.len())
            .filter(|index| hooks[*index].kind == kind)
            .collect()
    }

    pub(crate) fn hook_name(&self, index: usize) -> &'a str {
        &self.canary.analysis.hooks[index].name
    }

    // Deciding.

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Brings the run to `position`.
    pub(crate) fn move_to(&mut self, position: Position) {
        self.set_traffic(position.traffic);
        self.status.iterations = position.iterations;
    }

    /// Says that the run has come to `position` (Flagger's words).
    pub(crate) fn announce_advance(&mut self, position: Position) {
        let reached = self.canary.analysis.strategy.describe(position);
        let message = format!("Advance {} {reached}", self.canary_id());
        self.normal("Advance", message);
    }

    /// Gives the canary so many percent of the requests.
    pub(crate) fn set_canary_weight(&mut self, canary: u8) {
        self.set_traffic(Weights::canary(canary));
    }

    /// Sets the live weights, if they differ, and the status' weight with them.
    fn set_traffic(&mut self, weights: Weights) {
        if self.live != weights {
            self.act(Action::SetWeights(weights));
            self.live = weights;
        }
        self.status.canary_weight = weights.canary;
    }

    /// Scales the target up if it is at zero: to the replicas of the primary, at least one.
    pub(crate) fn scale_up_target(&mut self) {
        if self.observed.target.workload.replicas_wanted == 0 {
            let primary = self.observed.primary.as_ref();
            let replicas = primary.map_or(1, |primary| primary.workload.replicas_wanted.max(1));
            self.act(Action::ScaleUpTarget { replicas });
        }
    }

    /// Scales the target to zero if it is not.
    pub(crate) fn scale_down_target(&mut self) {
        if self.observed.target.workload.replicas_wanted > 0 {
            self.act(Action::ScaleDownTarget);
        }
    }

    /// Publishes a Normal event. `action` is its machine-readable cause.
    pub(crate) fn normal(&mut self, action: &'static str, message: String) {
        self.publish(false, action, message);
    }

    /// Publishes a Warning event. `action` is its machine-readable cause.
    pub(crate) fn warning(&mut self, action: &'static str, message: String) {
        self.publish(true, action, message);
    }

    /// The key is made of what the status said before this tick: planning the same tick again after a crash gives
    /// the same key, and the next check or run gives another.
    fn publish(&mut self, warning: bool, action: &'static str, message: String) {
        let Status {
            phase,
            run_started,
            last_check,
            ..
        } = &self.observed.status;
        let time = |at: &Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let key = format!(
            "{phase}/{}/{}/{}/{message}",
            time(run_started),
            time(last_check),
            self.observed.target.revision,
        );
        self.act(Action::Publish(Event {
            warning,
            message,
            action,
            key,
        }));
    }

    pub(crate) fn alert(&mut self, severity: Severity, with_metadata: bool, message: String) {
        self.act(Action::Alert(Alert {
            message,
            severity,
            with_metadata,
        }));
    }

    /// Nothing moves, for this reason, which has been said in an event (or is said elsewhere).
    pub(crate) fn hold(&mut self, reason: WaitingReason, message: String) {
        self.status.waiting = Some(Waiting {
            reason,
            message,
            announced: true,
        });
    }

    /// Nothing moves until a workload is ready. It becomes an event once, and only when it lasts longer than an
    /// interval: a rollout that takes its ordinary time is not worth a warning. What is over within seconds is not in
    /// the status either.
    pub(crate) fn wait_for_readiness(&mut self, reason: WaitingReason, message: String) {
        let workload = match reason {
            WaitingReason::PrimaryNotReady => self.observed.primary.as_ref().map(|p| &p.workload),
            WaitingReason::CanaryNotReady => Some(&self.observed.target.workload),
            _ => None,
        };
        if let Some(left) = workload.and_then(|workload| brief_lag(workload, self.now())) {
            self.wake_in(left);
            self.wake_at_deadline();
            return;
        }
        let announced = self.status.waiting.as_ref().is_some_and(|waiting| {
            waiting.announced && waiting.reason == reason && waiting.message == message
        });
        let interval = self.canary.analysis.interval;
        // A phase may be old when a route begins to be pending.
        let pending = self.observed.route_pending_since;
        let since = match pending.filter(|_| reason == WaitingReason::RouteNotReady) {
            Some(since) => Some(since),
            None if self.status.phase == self.observed.status.phase => self.status.phase_since,
            None => Some(self.now()),
        };
        let waited = since.map_or(Some(interval), |since| elapsed(self.now(), since));
        // Unknown after the clock went back, and then long enough.
        let announce = !announced && waited.is_none_or(|waited| waited >= interval);
        if announce {
            self.warning("NotReady", message.clone());
        } else if !announced {
            self.wake_in(interval.saturating_sub(waited.unwrap_or_default()));
        }
        self.wake_at_deadline();
        let brief = BRIEF.min(interval);
        if let Some(left) = brief
            .checked_sub(waited.unwrap_or(brief))
            .filter(|left| !left.is_zero())
        {
            self.wake_in(left);
            return;
        }
        self.status.waiting = Some(Waiting {
            reason,
            message,
            announced: announced || announce,
        });
    }

    /// Whether requests do not follow the route yet. Nothing then moves that relies on where they go.
    pub(crate) fn route_is_pending(&self) -> bool {
        self.observed.route_pending.is_some()
    }

    /// Nothing moves until requests follow the route. It becomes an event like any other wait for something to be
    /// ready.
    pub(crate) fn wait_for_route(&mut self) {
        if let Some(why) = self.observed.route_pending.clone() {
            self.wait_for_readiness(WaitingReason::RouteNotReady, why);
        }
    }

    /// Requests under way to the canary are given one interval.
    pub(crate) fn drain(&mut self) {
        let why = "requests under way to the canary are given one interval";
        self.hold(WaitingReason::Draining, why.to_owned());
    }

    /// Looks again when a workload that is unavailable becomes stuck, which no watch event tells.
    fn wake_at_deadline(&mut self) {
        let Observed {
            now,
            status,
            target,
            primary,
            ..
        } = self.observed;
        let primary = primary
            .as_ref()
            .and_then(|primary| unavailable_since(&primary.workload, promotion_began(status)));
        let target = unavailable_since(&target.workload, status.run_started);
        for since in primary.into_iter().chain(target) {
            let deadline = self.canary.progress_deadline;
            let passed = elapsed(*now, since).unwrap_or_default();
            if passed <= deadline {
                self.wake_in((deadline - passed).saturating_add(Duration::from_secs(1)));
            }
        }
    }

    /// Forgets why nothing moved, because it moves.
    pub(crate) fn moving(&mut self) {
        self.status.waiting = None;
    }

    /// Forgets a wait that is over, but keeps what the last check said until the next one.
    pub(crate) fn ready(&mut self) {
        let over = |waiting: &Waiting| {
            use WaitingReason::{
                CanaryNotReady, Draining, PrimaryNotReady, RouteNotReady, Suspended,
            };
            match waiting.reason {
                Suspended | PrimaryNotReady | CanaryNotReady | Draining => true,
                RouteNotReady => self.observed.route_pending.is_none(),
                _ => false,
            }
        };
        if self.status.waiting.as_ref().is_some_and(over) {
            self.moving();
        }
    }

    /// Remembers checks, newest last, the oldest falling out.
    pub(crate) fn record(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.status.checks.extend(checks);
        let surplus = self.status.checks.len().saturating_sub(CHECKS_KEPT);
        self.status.checks.drain(..surplus);
    }

    /// What the target holds now is what this run is about.
    pub(crate) fn take_up_target(&mut self) {
        let target = &self.observed.target;
        self.status.last_applied = Some(target.revision.clone());
        self.status.tracked_configs = target.configs.clone();
    }

    /// What the primary holds now is what has been promoted: that of this run, unless someone deleted the primary at the
    /// last moment and it was made again from what was promoted before.
    pub(crate) fn note_promoted(&mut self) {
        let copied = self.observed.primary.as_ref().and_then(|primary| {
            let revision = primary.copied_revision.clone()?;
            Some((revision, primary.copied_configs.clone()))
        });
        let (revision, configs) = copied.unwrap_or_else(|| self.run());
        self.status.last_promoted = Some(revision);
        self.status.promoted_configs = Some(configs);
    }

    /// Revision and configuration of the run, for pinning a copy to exactly them.
    pub(crate) fn run(&self) -> (String, BTreeMap<String, String>) {
        let revision = self.status.last_applied.clone().unwrap_or_default();
        (revision, self.status.tracked_configs.clone())
    }
}

/// When the primary was given what it rolls out, while it does.
fn promotion_began(status: &Status) -> Option<Timestamp> {
    let promoting = matches!(status.phase, Phase::Promoting | Phase::Finalising);
    status.phase_since.filter(|_| promoting)
}

/// Puts the name of the workload before the reason, as Flagger's events do.
fn explain(readiness: Readiness, who: &str) -> Readiness {
    match readiness {
        Readiness::Ready => Readiness::Ready,
        Readiness::Waiting(why) => Readiness::Waiting(format!("{who}: {why}")),
        Readiness::Stuck(why) => Readiness::Stuck(format!("{who}: {why}")),
    }
}
