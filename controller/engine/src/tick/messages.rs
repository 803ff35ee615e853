//! Events and alerts.

use jiff::Timestamp;

use super::Tick;
use crate::{
    action::{Action, Alert, Event, Severity},
    status::Status,
    strategy::Position,
};

impl Tick<'_> {
    /// Announces that the run has reached `position` (Flagger's message).
    pub(crate) fn announce_advance(&mut self, position: Position) {
        let reached = self.canary.analysis.strategy.describe(position);
        let message = format!("Advance {} {reached}", self.canary_id());
        self.normal("Advance", message);
    }

    /// Publishes a Normal event. `action` is its machine-readable cause.
    pub(crate) fn normal(&mut self, action: &'static str, message: String) {
        self.publish(false, action, message);
    }

    /// Publishes a Warning event. `action` is its machine-readable cause.
    pub(crate) fn warning(&mut self, action: &'static str, message: String) {
        self.publish(true, action, message);
    }

    /// Publishes an event. Its key depends on the status before this tick: the same tick, planned again after a crash,
    /// gives the same key; the next check or run gives another.
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
}
