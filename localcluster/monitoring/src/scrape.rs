//! Renders `PodMonitor`s to scrape configurations, with the labels of the Prometheus Operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString};
use kube::ResourceExt;
use localcluster_shared::{
    duration,
    problem::{ObjectId, Problem, Reason, Report},
};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::{
    crd::{Endpoint, PodMonitor, PodMonitorSpec, Relabeling},
    envoy,
    targets::label_name,
};

/// The inputs that do not come from Kubernetes objects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Path of the file with all targets.
    pub targets: String,
    /// Glob pattern of the rule files.
    pub rules: String,
    /// Address of Envoy's admin interface.
    pub envoy_admin: SocketAddr,
    /// Default scrape interval.
    pub interval: Duration,
}

/// Renders Prometheus' configuration, and the problems found. Skips the monitors in `rejected` and reports the reason
/// given there.
pub fn render(
    monitors: &[Arc<PodMonitor>],
    rejected: &BTreeMap<ObjectId, String>,
    settings: &Settings,
) -> (Value, BTreeSet<Problem>) {
    let mut problems = BTreeSet::new();
    let mut jobs = vec![envoy::scrape_config(settings.envoy_admin)];
    let mut monitors: Vec<&Arc<PodMonitor>> = monitors.iter().collect();
    monitors.sort_by_key(|monitor| (monitor.namespace(), monitor.name_any()));
    for monitor in monitors {
        let id = ObjectId::of(&**monitor);
        let mut report = Report::new(id.clone());
        let rendered = monitor_jobs(monitor, settings, &mut report);
        match rejected.get(&id) {
            Some(reason) => {
                report.note(
                    Reason::Rejected,
                    "spec",
                    format!("Prometheus rejected the object: {reason}"),
                );
            }
            None => jobs.extend(rendered),
        }
        problems.extend(report.into_problems());
    }
    let interval = milliseconds(settings.interval);
    let configuration = json!({
        "global": {
            "scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval,
        },
        "rule_files": [settings.rules],
        "scrape_configs": jobs,
    });
    (configuration, problems)
}

/// Formats a duration for Prometheus.
fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis().max(1))
}

/// Renders the jobs of a monitor. Skips invalid endpoints.
fn monitor_jobs(monitor: &PodMonitor, settings: &Settings, report: &mut Report) -> Vec<Value> {
    let spec = &monitor.spec;
    for (name, given) in [
        ("attachMetadata", spec.attach_metadata.is_some()),
        ("scrapeClass", spec.scrape_class.is_some()),
        ("scrapeProtocols", !spec.scrape_protocols.is_empty()),
        (
            "fallbackScrapeProtocol",
            spec.fallback_scrape_protocol.is_some(),
        ),
        ("keepDroppedTargets", spec.keep_dropped_targets.is_some()),
    ] {
        if given {
            report.unsupported(format!("spec.{name}"), "the setting is ignored");
        }
    }
    let mut common = vec![];
    namespaces(monitor, &mut common);
    selector(&spec.selector, &mut common, report);
    spec.pod_metrics_endpoints
        .iter()
        .enumerate()
        .filter_map(|(index, endpoint)| {
            let field = format!("spec.podMetricsEndpoints[{index}]");
            let mut job = job(endpoint, &field, settings, report)?;
            let mut rules = common.clone();
            if endpoint.filter_running != Some(false) {
                rules.push(json!({
                    "action": "drop",
                    "source_labels": ["__meta_kubernetes_pod_phase"],
                    "regex": "(Failed|Succeeded)",
                }));
            }
            if let Some((label, port)) = port(endpoint) {
                rules.push(keep(label, &regex::escape(&port)));
            }
            labels(monitor, endpoint, &mut rules);
            rules.extend(relabelings(
                &endpoint.relabelings,
                &field,
                "relabelings",
                report,
            )?);
            let name = monitor.name_any();
            let namespace = monitor.namespace().unwrap_or_default();
            job.insert(
                "job_name".into(),
                json!(format!("podMonitor/{namespace}/{name}/{index}")),
            );
            job.insert("relabel_configs".into(), rules.into());
            limits(spec, &mut job);
            Some(job.into())
        })
        .collect()
}

fn namespaces(monitor: &PodMonitor, rules: &mut Vec<Value>) {
    let selector = &monitor.spec.namespace_selector;
    if selector.any {
        return;
    }
    let names = match &selector.match_names[..] {
        [] => vec![monitor.namespace().unwrap_or_default()],
        names => names.to_vec(),
    };
    let names: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
    rules.push(keep("__meta_kubernetes_namespace", &names.join("|")));
}

fn keep(label: &str, regex: &str) -> Value {
    json!({ "action": "keep", "source_labels": [label], "regex": regex })
}

fn selector(selector: &LabelSelector, rules: &mut Vec<Value>, report: &mut Report) {
    let label = |name: &str| format!("__meta_kubernetes_pod_label_{}", label_name(name));
    let present = |name: &str| format!("__meta_kubernetes_pod_labelpresent_{}", label_name(name));
    for (name, value) in selector.match_labels.iter().flatten() {
        rules.push(json!({
            "action": "keep",
            "source_labels": [label(name), present(name)],
            "regex": format!("({});true", regex::escape(value)),
        }));
    }
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let name = &expression.key;
        let values: Vec<String> = expression
            .values
            .iter()
            .flatten()
            .map(|value| regex::escape(value))
            .collect();
        let listed = format!("({});true", values.join("|"));
        let both = json!([label(name), present(name)]);
        rules.push(match expression.operator.as_str() {
            "In" => json!({ "action": "keep", "source_labels": both, "regex": listed }),
            "NotIn" => json!({ "action": "drop", "source_labels": both, "regex": listed }),
            "Exists" => keep(&present(name), "true"),
            "DoesNotExist" => {
                json!({ "action": "drop", "source_labels": [present(name)], "regex": "true" })
            }
            other => {
                report.invalid(
                    format!("spec.selector.matchExpressions[{index}].operator"),
                    format!("{other:?} is not supported; use In, NotIn, Exists or DoesNotExist. Nothing is scraped"),
                );
                keep("__meta_kubernetes_pod_name", "")
            }
        });
    }
}

/// The port of the endpoint, and the target label to compare it with.
fn port(endpoint: &Endpoint) -> Option<(&'static str, String)> {
    const NAME: &str = "__meta_kubernetes_pod_container_port_name";
    const NUMBER: &str = "__meta_kubernetes_pod_container_port_number";
    match (&endpoint.port, endpoint.port_number, &endpoint.target_port) {
        (Some(name), _, _) | (None, None, Some(IntOrString::String(name))) => {
            Some((NAME, name.clone()))
        }
        (None, Some(number), _) => Some((NUMBER, number.to_string())),
        (None, None, Some(IntOrString::Int(number))) => Some((NUMBER, number.to_string())),
        (None, None, None) => None,
    }
}

fn labels(monitor: &PodMonitor, endpoint: &Endpoint, rules: &mut Vec<Value>) {
    let copy = |from: &str, to: &str| json!({ "source_labels": [from], "target_label": to });
    rules.extend([
        copy("__meta_kubernetes_namespace", "namespace"),
        copy("__meta_kubernetes_pod_container_name", "container"),
        copy("__meta_kubernetes_pod_name", "pod"),
    ]);
    let copy_if_set = |from: &str, to: &str| {
        json!({
            "source_labels": [format!("__meta_kubernetes_pod_label_{}", label_name(from))],
            "target_label": to,
            "regex": "(.+)",
        })
    };
    for label in &monitor.spec.pod_target_labels {
        rules.push(copy_if_set(label, &label_name(label)));
    }
    let name = format!(
        "{}/{}",
        monitor.namespace().unwrap_or_default(),
        monitor.name_any()
    );
    // Kubernetes names contain no dollar sign, so nothing needs to be escaped.
    rules.push(json!({ "target_label": "job", "replacement": name }));
    if let Some(label) = &monitor.spec.job_label {
        rules.push(copy_if_set(label, "job"));
    }
    if let Some((_, port)) = port(endpoint) {
        rules.push(json!({ "target_label": "endpoint", "replacement": port }));
    }
}

fn limits(spec: &PodMonitorSpec, job: &mut Map<String, Value>) {
    for (name, limit) in [
        ("sample_limit", spec.sample_limit),
        ("target_limit", spec.target_limit),
        ("label_limit", spec.label_limit),
        ("label_name_length_limit", spec.label_name_length_limit),
        ("label_value_length_limit", spec.label_value_length_limit),
    ] {
        if let Some(limit) = limit {
            job.insert(name.into(), json!(limit));
        }
    }
    if let Some(limit) = &spec.body_size_limit {
        job.insert("body_size_limit".into(), json!(limit));
    }
}

/// Renders a job without its name and relabeling rules. Returns `None` and reports a problem if the endpoint is invalid.
fn job(
    endpoint: &Endpoint,
    field: &str,
    settings: &Settings,
    report: &mut Report,
) -> Option<Map<String, Value>> {
    for (name, given) in [
        ("basicAuth", endpoint.basic_auth.is_some()),
        ("authorization", endpoint.authorization.is_some()),
        ("bearerTokenSecret", endpoint.bearer_token_secret.is_some()),
        ("oauth2", endpoint.oauth2.is_some()),
        ("tlsConfig", endpoint.tls_config.is_some()),
        ("proxyUrl", endpoint.proxy_url.is_some()),
        (
            "trackTimestampsStaleness",
            endpoint.track_timestamps_staleness.is_some(),
        ),
    ] {
        if given {
            report.unsupported(format!("{field}.{name}"), "the setting is ignored");
        }
    }
    let mut job = Map::new();
    job.insert(
        "file_sd_configs".into(),
        json!([{ "files": [settings.targets] }]),
    );
    if let Some(path) = &endpoint.path {
        job.insert("metrics_path".into(), json!(path));
    }
    match endpoint
        .scheme
        .as_deref()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None => {}
        Some(scheme @ ("http" | "https")) => drop(job.insert("scheme".into(), json!(scheme))),
        Some(other) => {
            report.invalid(
                format!("{field}.scheme"),
                format!("{other:?} is not supported; use http or https"),
            );
            return None;
        }
    }
    if !endpoint.params.is_empty() {
        job.insert("params".into(), json!(endpoint.params));
    }
    for (name, value) in [
        ("honor_labels", endpoint.honor_labels),
        ("honor_timestamps", endpoint.honor_timestamps),
        ("follow_redirects", endpoint.follow_redirects),
        ("enable_http2", endpoint.enable_http2),
    ] {
        if let Some(value) = value {
            job.insert(name.into(), json!(value));
        }
    }
    times(endpoint, field, settings, report, &mut job)?;
    let rules = relabelings(
        &endpoint.metric_relabelings,
        field,
        "metricRelabelings",
        report,
    )?;
    if !rules.is_empty() {
        job.insert("metric_relabel_configs".into(), rules.into());
    }
    Some(job)
}

/// Sets interval and timeout. Prometheus rejects a timeout that is longer than the interval.
fn times(
    endpoint: &Endpoint,
    field: &str,
    settings: &Settings,
    report: &mut Report,
    job: &mut Map<String, Value>,
) -> Option<()> {
    let mut read = |text: &Option<String>, name: &str| match text {
        None => Some(None),
        Some(text) => match duration::parse_prometheus(text) {
            Some(time) => Some(Some(time)),
            None => {
                let message =
                    format!("{text:?} is not a duration; write a number and a unit, as in 30s");
                report.invalid(format!("{field}.{name}"), message);
                None
            }
        },
    };
    let interval = read(&endpoint.interval, "interval")?;
    let timeout = read(&endpoint.scrape_timeout, "scrapeTimeout")?;
    let effective = interval.unwrap_or(settings.interval);
    if let Some(interval) = interval {
        job.insert("scrape_interval".into(), json!(milliseconds(interval)));
    }
    let timeout = timeout.unwrap_or(settings.interval);
    if endpoint.scrape_timeout.is_some() && timeout > effective {
        report.invalid(
            format!("{field}.scrapeTimeout"),
            format!("the timeout must not be longer than the scrape interval, {effective:?}"),
        );
        return None;
    }
    job.insert(
        "scrape_timeout".into(),
        json!(milliseconds(timeout.min(effective))),
    );
    Some(())
}

fn relabelings(
    rules: &[Relabeling],
    field: &str,
    name: &str,
    report: &mut Report,
) -> Option<Vec<Value>> {
    rules
        .iter()
        .enumerate()
        .map(|(index, rule)| match relabeling(rule) {
            Ok(rule) => Some(rule),
            Err((part, message)) => {
                report.invalid(format!("{field}.{name}[{index}].{part}"), message);
                None
            }
        })
        .collect()
}

/// Makes the same checks as Prometheus: an invalid rule would keep the whole configuration from loading.
fn relabeling(rule: &Relabeling) -> Result<Value, (&'static str, String)> {
    let action = rule
        .action
        .as_deref()
        .unwrap_or("replace")
        .to_ascii_lowercase();
    let needs_target = [
        "replace",
        "hashmod",
        "lowercase",
        "uppercase",
        "keepequal",
        "dropequal",
    ];
    let known = ["keep", "drop", "labelmap", "labeldrop", "labelkeep"];
    if !needs_target.contains(&action.as_str()) && !known.contains(&action.as_str()) {
        return Err(("action", format!("Prometheus has no action {action:?}")));
    }
    let target = rule.target_label.as_deref().unwrap_or_default();
    if needs_target.contains(&action.as_str()) && target.is_empty() {
        return Err(("targetLabel", format!("action {action} requires it")));
    }
    if action == "hashmod" && rule.modulus.unwrap_or(0) == 0 {
        return Err((
            "modulus",
            "action hashmod requires a modulus above 0".into(),
        ));
    }
    if let Some(regex) = &rule.regex
        && let Err(error) = Regex::new(regex)
    {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().to_owned();
        return Err((
            "regex",
            format!("{regex:?} is not a valid regular expression: {reason}"),
        ));
    }
    if let Some(label) = rule
        .source_labels
        .iter()
        .find(|label| !is_label_name(label))
    {
        return Err((
            "sourceLabels",
            format!("{label:?} is not a valid label name"),
        ));
    }
    let mut prometheus = Map::from_iter([("action".to_owned(), json!(action))]);
    for (name, value) in [
        ("separator", &rule.separator),
        ("target_label", &rule.target_label),
        ("regex", &rule.regex),
        ("replacement", &rule.replacement),
    ] {
        if let Some(value) = value {
            prometheus.insert(name.into(), json!(value));
        }
    }
    if let Some(modulus) = rule.modulus {
        prometheus.insert("modulus".into(), json!(modulus));
    }
    if !rule.source_labels.is_empty() {
        prometheus.insert("source_labels".into(), json!(rule.source_labels));
    }
    Ok(prometheus.into())
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
