//! The reason why nothing moves.

use std::time::Duration;

use jiff::Timestamp;

use super::{Tick, promotion_began};
use crate::{
    observed::Observed,
    readiness::{BRIEF, Readiness, brief_lag, elapsed, unavailable_since},
    status::{Waiting, WaitingReason},
};

impl Tick<'_> {
    /// Waits for `reason`, which another event has announced.
    pub(crate) fn hold(&mut self, reason: WaitingReason, message: String) {
        self.status.waiting = Some(Waiting {
            reason,
            message,
            announced: true,
        });
    }

    /// Waits until a workload or the route is ready. A wait is announced once, and only if it lasts longer than an
    /// interval: a rollout that takes its ordinary time needs no warning. A wait of a few seconds is not written to the
    /// status either.
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
        // `None` if the clock was set back, which counts as long enough.
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

    /// The start of the wait for `reason`, if known. The phase may have begun long before a route or a workload became
    /// unready. A workload may also have been unready long before the phase that needs it: between two releases the
    /// target has no replicas.
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

    /// Waits until requests follow the route.
    pub(crate) fn wait_for_route(&mut self) {
        if let Some(why) = self.observed.route_pending.clone() {
            self.wait_for_readiness(WaitingReason::RouteNotReady, why);
        }
    }

    /// Waits for in-flight requests to `side`.
    pub(crate) fn drain(&mut self, side: &str) {
        let why = format!("waiting one interval for in-flight requests to the {side}");
        self.hold(WaitingReason::Draining, why);
    }

    /// Requests a tick for when an unavailable workload becomes stuck, because no watch event reports that.
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

    /// Clears the reason for the wait, because the release moves.
    pub(crate) fn moving(&mut self) {
        self.status.waiting = None;
    }

    /// Clears a wait that is over. The result of the last check stays until the next one.
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
