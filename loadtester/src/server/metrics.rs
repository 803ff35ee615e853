//! The server's own metrics.

use prometheus::{Encoder as _, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::recorder::Totals;

/// Registered metrics; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Webhooks by status code of the response.
    pub webhooks: IntCounterVec,
    /// Running tasks.
    pub tasks_running: IntGauge,
    /// Ended tasks by result.
    pub tasks: IntCounterVec,
    /// Requests of ended load tests, by status code or `error`.
    pub requests: IntCounterVec,
}

impl Metrics {
    /// Metrics with all counters at zero.
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
            "Webhooks by status code of the response",
            "code",
        )?;
        let tasks = counters("loadtester_tasks_total", "Ended tasks by result", "end")?;
        let requests = counters(
            "loadtester_requests_total",
            "Requests of ended load tests, by status code or error",
            "result",
        )?;
        let tasks_running = IntGauge::new("loadtester_tasks_running", "Running tasks")?;
        registry.register(Box::new(tasks_running.clone()))?;
        Ok(Self {
            registry,
            webhooks,
            tasks_running,
            tasks,
            requests,
        })
    }

    /// Adds the requests of an ended load test.
    pub(super) fn count_requests(&self, totals: &Totals) {
        for (status, count) in totals.statuses() {
            self.requests
                .with_label_values(&[&status.to_string()])
                .inc_by(count);
        }
        let errors = totals.requests() - totals.responses();
        self.requests.with_label_values(&["error"]).inc_by(errors);
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// A metric cannot be encoded.
    pub(crate) fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
