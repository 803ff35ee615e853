//! A summary without quantiles, as in the Python client: a count, a sum and the time of creation.
//!
//! The `prometheus` crate can encode summaries but has no metric of that type.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, MetricFamily, MetricType};

use super::text::{family, gauge};

/// Count and sum of observed durations, in seconds; both only grow.
///
/// An observation is two atomic additions. The sum is in nanoseconds, which overflow after 584 years.
#[derive(Clone)]
pub struct Summary {
    name: String,
    help: String,
    descs: Arc<[Desc; 2]>,
    created: f64,
    totals: Arc<Totals>,
}

#[derive(Default)]
struct Totals {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Summary {
    /// A summary without observations.
    ///
    /// # Errors
    /// `name` is not a metric name or `help` is empty.
    pub fn new(name: &str, help: &str) -> prometheus::Result<Self> {
        let desc = |name: String| {
            Desc::new(
                name,
                help.into(),
                Vec::new(),
                std::collections::HashMap::new(),
            )
        };
        Ok(Self {
            name: name.into(),
            help: help.into(),
            descs: Arc::new([desc(name.into())?, desc(format!("{name}_created"))?]),
            // A clock before 1970 counts as 1970.
            created: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
            totals: Arc::default(),
        })
    }

    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.totals
            .nanoseconds
            .fetch_add(nanoseconds, Ordering::Relaxed);
        self.totals.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Collector for Summary {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut summary = proto::Summary::default();
        summary.set_sample_count(self.totals.count.load(Ordering::Relaxed));
        summary.set_sample_sum(
            Duration::from_nanos(self.totals.nanoseconds.load(Ordering::Relaxed)).as_secs_f64(),
        );
        let mut metric = proto::Metric::default();
        metric.set_summary(summary);
        vec![
            family(&self.name, &self.help, MetricType::SUMMARY, metric),
            gauge(&format!("{}_created", self.name), &self.help, self.created),
        ]
    }
}
