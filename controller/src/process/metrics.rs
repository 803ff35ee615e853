//! The controller's own metrics: those of Flagger, with its names and labels, and two additions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use canary_engine::{
    action::Outcome, canary::MetricKind, phase::Phase, question::MetricAnswer, status::Status,
};
use jiff::SignedDuration;
use kube::ResourceExt;
use prometheus::{
    CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry, TextEncoder,
    core::Collector,
};

use crate::{cluster::Object, release::Release};

/// The controller's own metrics. The series of deleted canaries are removed.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    total: GaugeVec,
    status: GaugeVec,
    weight: GaugeVec,
    analysis: GaugeVec,
    duration: HistogramVec,
    successes: CounterVec,
    failures: CounterVec,
    measurements: CounterVec,
    leader: Gauge,
    /// Label values in use, by namespace and name of the Canary.
    series: Arc<Mutex<HashMap<(String, String), Series>>>,
}

/// Label values in use for one canary.
#[derive(Debug, Clone, Default)]
struct Series {
    target: String,
    metrics: BTreeSet<String>,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// If two metrics have the same name, which is a bug.
    pub fn new(mesh_provider: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge =
            |name: &str, help: &str, labels: &[&str]| -> Result<GaugeVec, prometheus::Error> {
                register(&registry, GaugeVec::new(Opts::new(name, help), labels)?)
            };
        let info = gauge(
            "flagger_info",
            "Version and default provider",
            &["version", "mesh_provider"],
        )?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), mesh_provider])
            .set(1.0);
        let outcome = [
            "name",
            "namespace",
            "deployment_strategy",
            "analysis_status",
        ];
        let counter = |name: &str, help: &str| -> Result<CounterVec, prometheus::Error> {
            register(&registry, CounterVec::new(Opts::new(name, help), &outcome)?)
        };
        Ok(Self {
            total: gauge(
                "flagger_canary_total",
                "Canaries by namespace",
                &["namespace"],
            )?,
            status: gauge(
                "flagger_canary_status",
                "Last known status: 0 = running, 1 = successful, 2 = failed",
                &["name", "namespace"],
            )?,
            weight: gauge(
                "flagger_canary_weight",
                "Weight of the workload in percent",
                &["workload", "namespace"],
            )?,
            analysis: gauge(
                "flagger_canary_metric_analysis",
                "Last value of the metric; durations in seconds",
                &["name", "namespace", "metric"],
            )?,
            duration: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("flagger_canary_duration_seconds", "Duration of a tick"),
                    &["name", "namespace"],
                )?,
            )?,
            successes: counter("flagger_canary_successes_total", "Promoted releases")?,
            failures: counter("flagger_canary_failures_total", "Failed releases")?,
            measurements: register(
                &registry,
                CounterVec::new(
                    Opts::new(
                        "canary_controller_measurements_total",
                        "Metric queries by result: value, no_data or error",
                    ),
                    &["name", "namespace", "metric", "result"],
                )?,
            )?,
            leader: register(
                &registry,
                Gauge::new(
                    "canary_controller_leader",
                    "1 if this process is the leader, 0 if it is on standby",
                )?,
            )?,
            series: Arc::default(),
            registry,
        })
    }

    /// Encodes the metrics as text. `leads` is the value of `canary_controller_leader`.
    ///
    /// # Errors
    /// If the metrics cannot be encoded, which is a bug.
    pub fn text(&self, leads: bool) -> Result<String, prometheus::Error> {
        self.leader.set(f64::from(u8::from(leads)));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Sets the status and weight of a canary.
    pub fn observed(&self, release: &Release, status: &Status) {
        let (target, namespace) = (release.target(), release.namespace());
        self.remember(release, None);
        // Unlike Flagger, which counts every phase but Progressing and Failed as successful: a run that waits or promotes
        // is still running.
        let code = match status.phase {
            Phase::Failed => 2.0,
            Phase::Initialized | Phase::Succeeded => 1.0,
            _ => 0.0,
        };
        self.status
            .with_label_values(&[target, namespace])
            .set(code);
        let weight = f64::from(status.canary_weight);
        self.weight
            .with_label_values(&[target, namespace])
            .set(weight);
        self.weight
            .with_label_values(&[&release.primary(), namespace])
            .set(100.0 - weight);
    }

    /// Counts a metric query and sets the metric's value: the largest of its series.
    pub fn measured(&self, release: &Release, index: usize, answer: &MetricAnswer) {
        let Some(metric) = release.canary.analysis.metrics.get(index) else {
            return;
        };
        let largest = match answer {
            MetricAnswer::Values(samples) => samples
                .iter()
                .map(|sample| sample.value)
                .max_by(f64::total_cmp)
                .ok_or("no_data"),
            MetricAnswer::NoData(_) => Err("no_data"),
            MetricAnswer::Error(_) => Err("error"),
        };
        self.remember(release, Some(&metric.name));
        let (target, namespace) = (release.target(), release.namespace());
        let result = largest.err().unwrap_or("value");
        self.measurements
            .with_label_values(&[target, namespace, &metric.name, result])
            .inc();
        let Ok(value) = largest else { return };
        let value = if metric.kind == MetricKind::Duration {
            value / 1000.0
        } else {
            value
        };
        let labels = [target, namespace, &metric.name];
        self.analysis.with_label_values(&labels).set(value);
    }

    /// Counts a finished release.
    pub fn released(&self, release: &Release, outcome: Outcome) {
        self.remember(release, None);
        let (counter, analysis) = match outcome {
            Outcome::Promoted => (&self.successes, "completed"),
            Outcome::PromotedSkipped => (&self.successes, "skipped"),
            Outcome::Failed => (&self.failures, "completed"),
        };
        counter
            .with_label_values(&[release.target(), release.namespace(), "canary", analysis])
            .inc();
    }

    /// Records the duration of a tick.
    pub fn ticked(&self, object: &Object, took: SignedDuration) {
        let target = object.data["spec"]["targetRef"]["name"]
            .as_str()
            .unwrap_or_default();
        let namespace = object.namespace().unwrap_or_default();
        let key = (namespace.clone(), object.name_any());
        if self
            .lock()
            .get(&key)
            .is_some_and(|series| series.target == target)
        {
            self.duration
                .with_label_values(&[target, &namespace])
                .observe(took.as_secs_f64());
        }
    }

    /// Sets the number of canaries in a namespace.
    pub fn count(&self, namespace: &str, number: usize) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer canaries than 2^53")]
        match number {
            0 => drop(self.total.remove_label_values(&[namespace])),
            number => self
                .total
                .with_label_values(&[namespace])
                .set(number as f64),
        }
    }

    /// Removes the series of a deleted canary.
    pub fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut series = self.lock();
        if let Some(used) = series.remove(&key) {
            self.remove(namespace, &used);
        }
    }

    /// Sets the number of canaries per namespace, and removes the series of all other canaries.
    pub fn known(&self, canaries: &[Arc<Object>]) {
        let mut count = BTreeMap::new();
        let mut alive = BTreeSet::new();
        for canary in canaries {
            let namespace = canary.namespace().unwrap_or_default();
            *count.entry(namespace.clone()).or_insert(0.0) += 1.0;
            alive.insert((namespace, canary.name_any()));
        }
        self.total.reset();
        for (namespace, number) in count {
            self.total.with_label_values(&[&namespace]).set(number);
        }
        let mut series = self.lock();
        series.retain(|key, used| {
            let keep = alive.contains(key);
            if !keep {
                self.remove(&key.0, used);
            }
            keep
        });
    }

    fn remove(&self, namespace: &str, series: &Series) {
        // Removal fails for a series that was never set, which is fine.
        let target = series.target.as_str();
        let _ = self.status.remove_label_values(&[target, namespace]);
        let _ = self.duration.remove_label_values(&[target, namespace]);
        for workload in [target, &format!("{target}-primary")] {
            let _ = self.weight.remove_label_values(&[workload, namespace]);
        }
        for metric in &series.metrics {
            let _ = self
                .analysis
                .remove_label_values(&[target, namespace, metric]);
            for result in ["value", "no_data", "error"] {
                let labels = [target, namespace, metric, result];
                let _ = self.measurements.remove_label_values(&labels);
            }
        }
        for status in ["completed", "skipped"] {
            let _ = self
                .successes
                .remove_label_values(&[target, namespace, "canary", status]);
            let _ = self
                .failures
                .remove_label_values(&[target, namespace, "canary", status]);
        }
    }

    fn remember(&self, release: &Release, metric: Option<&str>) {
        let key = (release.namespace().to_owned(), release.canary.name.clone());
        let mut series = self.lock();
        let used = series.entry(key).or_default();
        if used.target != release.target() {
            let former = std::mem::replace(
                used,
                Series {
                    target: release.target().to_owned(),
                    metrics: BTreeSet::new(),
                },
            );
            if !former.target.is_empty() {
                self.remove(release.namespace(), &former);
            }
        }
        used.metrics.extend(metric.map(str::to_owned));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
