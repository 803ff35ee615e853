//! The reason for which nothing moves.

use std::time::Duration;

use jiff::Timestamp;

use super::{Tick, promotion_began};
use crate::{
    observed::Observed,
    readiness::{BRIEF, Readiness, brief_lag, elapsed, unavailable_since},
    status::{Waiting, WaitingReason},
};

impl Tick<'_> {
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
        let since = self.not_ready_since(reason);
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

    /// When the wait for `reason` began, if that is known. A phase may be old when a route or a workload ceases to be
    /// ready. A workload may have been unready for long when the phase begins in which it has to be ready: the target
    /// between two releases has no replicas.
    fn not_ready_since(&self, reason: WaitingReason) -> Option<Timestamp> {
        let phase = if self.status.phase == self.observed.status.phase {
            self.status.phase_since
        } else {
            Some(self.now())
        };
        let is_created_now = matches!(self.primary, Readiness::Waiting(_));
        match (reason, &self.observed.primary) {
            (WaitingReason::RouteNotReady, _) => self.observed.route_pending_since.or(phase),
            (WaitingReason::CanaryNotReady, _) => {
                phase.max(self.observed.target.workload.unready_since)
            }
            (WaitingReason::PrimaryNotReady, Some(primary)) => {
                phase.max(primary.workload.unready_since)
            }
            (WaitingReason::PrimaryNotReady, None) if is_created_now => Some(self.now()),
            _ => phase,
        }
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
}
