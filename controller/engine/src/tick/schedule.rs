//! Time of the next check.

use std::time::Duration;

use super::Tick;
use crate::readiness::elapsed;

impl Tick<'_> {
    /// Requests the next tick after `pause` at the latest.
    pub(crate) fn wake_in(&mut self, pause: Duration) {
        self.wake = Some(self.wake.map_or(pause, |earlier| earlier.min(pause)));
    }

    /// Whether the next check or step is due: one interval after the last one, or at once if there was none. Nothing is
    /// due while the last check is in the future because the clock was set back.
    pub(crate) fn is_due(&self) -> bool {
        let interval = self.canary.analysis.interval;
        self.status
            .last_check
            .is_none_or(|last| elapsed(self.now(), last).is_some_and(|passed| passed >= interval))
    }

    /// Requests the next tick for when the next check or step is due.
    ///
    /// A last check that is more than an interval in the future is moved to now, so that a clock that was wrong once
    /// does not stop a run for years.
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

    /// Records that this tick made a check or step. The next is due an interval later.
    pub(crate) fn checked(&mut self) {
        self.status.last_check = Some(self.now());
        self.wake_in(self.canary.analysis.interval);
    }
}
