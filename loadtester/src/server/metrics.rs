//! The server's own metrics.

use prometheus::{Encoder as _, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::recorder::Totals;

/// Registered metrics; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Webhooks by answer.
    pub webhooks: IntCounterVec,
    /// Tasks running now.
    pub tasks_running: IntGauge,
    /// Tasks that ended, by how.
    pub tasks: IntCounterVec,
    /// Requests of loads that ended, by status code or `error`.
    pub requests: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// A name is registered twice.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let webhooks = counters(
            "loadtester_webhooks_total",
            "Webhooks by status code answered",
            "code",
        )?;
        let tasks = counters("loadtester_tasks_total", "Tasks that ended, by how", "end")?;
        let requests = counters(
            "loadtester_requests_total",
            "Requests of loads that ended, by result",
            "result",
        )?;
        let tasks_running = IntGauge::new("loadtester_tasks_running", "Tasks running now")?;
        registry.register(Box::new(tasks_running.clone()))?;
        Ok(Self {
            registry,
            webhooks,
            tasks_running,
            tasks,
            requests,
        })
    }

    /// Adds what a finished load saw.
    pub(super) fn count_requests(&self, totals: &Totals) {
        for (status, count) in totals.statuses() {
            self.requests
                .with_label_values(&[&status.to_string()])
                .inc_by(count);
        }
        let errors = totals.requests() - totals.responses();
        self.requests.with_label_values(&["error"]).inc_by(errors);
    }

    /// Everything, in Prometheus' text form.
    ///
    /// # Errors
    /// A metric cannot be encoded.
    pub(crate) fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
