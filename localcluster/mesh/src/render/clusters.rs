//! Clusters and their endpoints, with the policies of `DestinationRule`s.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use localcluster_shared::duration;
use serde_json::{Map, Value, json};

use super::{Settings, age_key};

use crate::{
    compile::check_export_to,
    istio::{ConnectionPool, DestinationRule, LoadBalancer, OutlierDetection, TrafficPolicy},
    model::{Endpoint, MeshService, Port, ServiceName, Services, Snapshot},
    problem::{ObjectId, Problem, Reason, Report},
};

/// Istio practically disables the limits. Envoy's defaults (1024 requests, 3 concurrent retries) would turn a burst
/// into errors.
const NO_LIMIT: u32 = u32::MAX;

/// Name of the cluster for a port of a Service, in Istio's format.
pub(super) fn cluster_name(service: &ServiceName, port: u16, subset: Option<&str>) -> String {
    format!(
        "outbound|{port}|{}|{}",
        subset.unwrap_or_default(),
        service.fqdn()
    )
}

/// Validated `DestinationRule`s by Service.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies(BTreeMap<ServiceName, Rule>);

#[derive(Clone, Debug, Default)]
struct Rule {
    policy: Map<String, Value>,
    subsets: BTreeMap<String, Part>,
}

#[derive(Clone, Debug)]
struct Part {
    labels: BTreeMap<String, String>,
    policy: Map<String, Value>,
}

impl Policies {
    pub(super) fn has_subset(&self, service: &ServiceName, subset: &str) -> bool {
        self.0
            .get(service)
            .is_some_and(|rule| rule.subsets.contains_key(subset))
    }
}

/// Validates all rules. If several name the same Service, the oldest is used.
pub(super) fn policies(
    snapshot: &Snapshot,
    services: &Services,
    problems: &mut BTreeSet<Problem>,
) -> Policies {
    let mut rules: Vec<&Arc<DestinationRule>> = snapshot.destination_rules.iter().collect();
    rules.sort_by_key(|rule| age_key(&***rule));
    let mut policies = Policies::default();
    for rule in rules {
        let id = ObjectId::of(&**rule);
        let mut report = Report::new(id.clone());
        let host = &rule.spec.host;
        let compiled = compile_rule(rule, &mut report);
        match ServiceName::parse(host, &id.namespace) {
            Some(name) if services.contains_key(&name) => {
                let message = format!("an older DestinationRule for {name} stays in effect");
                match policies.0.entry(name) {
                    Entry::Vacant(entry) => {
                        entry.insert(compiled);
                    }
                    Entry::Occupied(_) => report.note(Reason::Conflict, "spec.host", message),
                }
            }
            _ => report.note(
                Reason::Unresolved,
                "spec.host",
                format!("Service {host} does not exist"),
            ),
        }
        problems.extend(report.into_problems());
    }
    policies
}

fn compile_rule(rule: &DestinationRule, report: &mut Report) -> Rule {
    let spec = &rule.spec;
    check_export_to(&spec.export_to, report);
    if spec.workload_selector.is_some() {
        let message = "one proxy serves all pods; the rule applies to all of them";
        report.unsupported("spec.workloadSelector", message);
    }
    let policy = spec
        .traffic_policy
        .as_ref()
        .map(|policy| compile_policy(policy, "spec.trafficPolicy", report));
    let policy = policy.unwrap_or_default();
    let mut subsets = BTreeMap::new();
    for (index, subset) in spec.subsets.iter().enumerate() {
        let field = format!("spec.subsets[{index}]");
        // The name becomes part of a file name.
        if subset.name.is_empty()
            || !subset
                .name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            let message = format!(
                "{:?} is not a valid name; use letters, digits, - and _",
                subset.name
            );
            report.invalid(format!("{field}.name"), message);
            continue;
        }
        let own = subset.traffic_policy.as_ref();
        let own = own.map(|own| compile_policy(own, &format!("{field}.trafficPolicy"), report));
        let mut policy = policy.clone();
        policy.extend(own.unwrap_or_default());
        let part = Part {
            labels: subset.labels.clone(),
            policy,
        };
        subsets.insert(subset.name.clone(), part);
    }
    Rule { policy, subsets }
}

/// Fields of Envoy's `Cluster`.
fn compile_policy(policy: &TrafficPolicy, field: &str, report: &mut Report) -> Map<String, Value> {
    let mut envoy = Map::new();
    if policy
        .tls
        .as_ref()
        .is_some_and(|tls| tls.mode.as_deref() != Some("DISABLE"))
    {
        report.unsupported(
            format!("{field}.tls"),
            "requests to pods are plain HTTP here",
        );
    }
    for (name, given) in [
        ("portLevelSettings", !policy.port_level_settings.is_empty()),
        ("tunnel", policy.tunnel.is_some()),
        ("proxyProtocol", policy.proxy_protocol.is_some()),
        ("retryBudget", policy.retry_budget.is_some()),
    ] {
        if given {
            report.unsupported(format!("{field}.{name}"), "the setting is ignored");
        }
    }
    if let Some(balancer) = &policy.load_balancer {
        load_balancer(
            balancer,
            &format!("{field}.loadBalancer"),
            report,
            &mut envoy,
        );
    }
    if let Some(pool) = &policy.connection_pool {
        connection_pool(pool, &format!("{field}.connectionPool"), report, &mut envoy);
    }
    if let Some(outliers) = &policy.outlier_detection {
        let settings = outlier_detection(
            outliers,
            &format!("{field}.outlierDetection"),
            report,
            &mut envoy,
        );
        envoy.insert("outlier_detection".into(), settings);
    }
    envoy
}

fn load_balancer(
    balancer: &LoadBalancer,
    field: &str,
    report: &mut Report,
    envoy: &mut Map<String, Value>,
) {
    for (name, given) in [
        ("consistentHash", balancer.consistent_hash.is_some()),
        ("localityLbSetting", balancer.locality_lb_setting.is_some()),
        ("warmup", balancer.warmup.is_some()),
        (
            "warmupDurationSecs",
            balancer.warmup_duration_secs.is_some(),
        ),
    ] {
        if given {
            report.unsupported(format!("{field}.{name}"), "the setting is ignored");
        }
    }
    let policy = match balancer.simple.as_deref() {
        None | Some("UNSPECIFIED" | "LEAST_REQUEST" | "LEAST_CONN") => return,
        Some("ROUND_ROBIN") => "ROUND_ROBIN",
        Some("RANDOM") => "RANDOM",
        Some(other) => {
            let message = format!("{other} is not supported; LEAST_REQUEST is used");
            return report.unsupported(format!("{field}.simple"), message);
        }
    };
    envoy.insert("lb_policy".into(), json!(policy));
}

fn connection_pool(
    pool: &ConnectionPool,
    field: &str,
    report: &mut Report,
    envoy: &mut Map<String, Value>,
) {
    let tcp = pool.tcp.clone().unwrap_or_default();
    let http = pool.http.clone().unwrap_or_default();
    for (name, given) in [
        ("tcp.tcpKeepalive", tcp.tcp_keepalive.is_some()),
        ("tcp.idleTimeout", tcp.idle_timeout.is_some()),
        (
            "tcp.maxConnectionDuration",
            tcp.max_connection_duration.is_some(),
        ),
        ("http.useClientProtocol", http.use_client_protocol.is_some()),
        (
            "http.maxConcurrentStreams",
            http.max_concurrent_streams.is_some(),
        ),
        (
            "http.h2UpgradePolicy",
            http.h2_upgrade_policy
                .as_deref()
                .is_some_and(|policy| policy != "DEFAULT"),
        ),
    ] {
        if given {
            report.unsupported(format!("{field}.{name}"), "the setting is ignored");
        }
    }
    // In Istio 0 means no limit, the same as an absent field.
    let limit = |given: Option<u32>| given.filter(|limit| *limit > 0).unwrap_or(NO_LIMIT);
    envoy.insert(
        "circuit_breakers".into(),
        circuit_breakers([
            limit(tcp.max_connections),
            limit(http.http1_max_pending_requests),
            limit(http.http2_max_requests),
            limit(http.max_retries),
        ]),
    );
    let mut duration = |text: &Option<String>, name: &str| {
        let text = text.as_ref()?;
        match duration::parse(text) {
            Ok(time) => Some(duration::protobuf(time)),
            Err(message) => {
                report.invalid(format!("{field}.{name}"), message);
                None
            }
        }
    };
    if let Some(timeout) = duration(&tcp.connect_timeout, "tcp.connectTimeout") {
        envoy.insert("connect_timeout".into(), json!(timeout));
    }
    let mut options = Map::new();
    if let Some(idle) = duration(&http.idle_timeout, "http.idleTimeout") {
        options.insert("idle_timeout".into(), json!(idle));
    }
    if let Some(requests) = http
        .max_requests_per_connection
        .filter(|requests| *requests > 0)
    {
        options.insert("max_requests_per_connection".into(), json!(requests));
    }
    if !options.is_empty() {
        envoy.insert("common_http_protocol_options".into(), options.into());
    }
}

fn circuit_breakers([connections, pending, requests, retries]: [u32; 4]) -> Value {
    json!({ "thresholds": [{
        "max_connections": connections,
        "max_pending_requests": pending,
        "max_requests": requests,
        "max_retries": retries,
    }] })
}

fn outlier_detection(
    outliers: &OutlierDetection,
    field: &str,
    report: &mut Report,
    envoy: &mut Map<String, Value>,
) -> Value {
    let mut settings = Map::new();
    let gateway = outliers.consecutive_gateway_errors;
    let five = outliers
        .consecutive_5xx_errors
        .or(outliers.consecutive_errors);
    for (name, value) in [
        ("consecutive_5xx", five),
        ("consecutive_gateway_failure", gateway),
        (
            "enforcing_consecutive_gateway_failure",
            gateway.filter(|n| *n > 0).map(|_| 100),
        ),
        (
            "enforcing_consecutive_5xx",
            five.map(|n| if n > 0 { 100 } else { 0 }),
        ),
        ("enforcing_success_rate", Some(0)),
        ("max_ejection_percent", outliers.max_ejection_percent),
        (
            "consecutive_local_origin_failure",
            outliers.consecutive_local_origin_failures,
        ),
    ] {
        if let Some(value) = value {
            settings.insert(name.into(), json!(value));
        }
    }
    if let Some(split) = outliers.split_external_local_origin_errors {
        settings.insert("split_external_local_origin_errors".into(), json!(split));
    }
    for (name, field_name, text) in [
        ("interval", "interval", &outliers.interval),
        (
            "base_ejection_time",
            "baseEjectionTime",
            &outliers.base_ejection_time,
        ),
    ] {
        let Some(text) = text else { continue };
        match duration::parse(text) {
            Ok(time) if !time.is_zero() => {
                settings.insert(name.into(), json!(duration::protobuf(time)));
            }
            Ok(_) => report.invalid(format!("{field}.{field_name}"), "must be longer than 0s"),
            Err(message) => report.invalid(format!("{field}.{field_name}"), message),
        }
    }
    if let Some(percent) = outliers.min_health_percent {
        let panic = json!({ "healthy_panic_threshold": { "value": percent } });
        envoy.insert("common_lb_config".into(), panic);
    }
    settings.into()
}

/// Clusters by name, or load assignments by file name.
type ByName = BTreeMap<String, Value>;

/// Renders all clusters by name, and all load assignments by file name.
pub(super) fn render(
    services: &Services,
    policies: &Policies,
    waypoints: &BTreeSet<ServiceName>,
    settings: &Settings,
) -> (ByName, ByName) {
    let (mut clusters, mut endpoints) = (ByName::new(), ByName::new());
    for (name, service) in services {
        let rule = policies.0.get(name).cloned().unwrap_or_default();
        let reporter = match waypoints.contains(name) {
            true => "waypoint",
            false => "destination",
        };
        for port in &service.ports {
            let whole = (None, &BTreeMap::new(), &rule.policy);
            let parts = rule.subsets.iter();
            let parts = parts.map(|(name, part)| (Some(name.as_str()), &part.labels, &part.policy));
            for (subset, labels, policy) in std::iter::once(whole).chain(parts) {
                let cluster = cluster_name(name, port.number, subset);
                let subset = subset
                    .map(|subset| format!(".{subset}"))
                    .unwrap_or_default();
                let file = format!("{name}.{}{subset}.json", port.number);
                let path = settings.folder.join("endpoints").join(&file);
                let source = json!({
                    "resource_api_version": "V3",
                    "path_config_source": { "path": path },
                });
                endpoints.insert(file, load_assignment(&cluster, port, labels));
                let stats = statistics_name(name, service, port, reporter);
                let envoy = envoy_cluster(&cluster, &stats, source, port, policy);
                clusters.insert(cluster, envoy);
            }
        }
    }
    (clusters, endpoints)
}

/// Idle timeout of a connection to a pod.
const IDLE_TIMEOUT: &str = "4s";

/// The prefix of a cluster's statistics, `SERVICE|NAMESPACE|PORT|WORKLOAD|REPORTER`, which monitoring splits into
/// labels. A dot ends the name in Envoy, so a dot in a Deployment's name becomes `_`.
fn statistics_name(
    name: &ServiceName,
    service: &MeshService,
    port: &Port,
    reporter: &str,
) -> String {
    let workload = service.workload.replace('.', "_");
    format!(
        "{}|{}|{}|{workload}|{reporter}",
        name.name, name.namespace, port.number
    )
}

fn envoy_cluster(
    name: &str,
    statistics: &str,
    endpoints: Value,
    port: &Port,
    policy: &Map<String, Value>,
) -> Value {
    let mut policy = policy.clone();
    let mut protocol = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": if port.http2 {
            json!({ "http2_protocol_options": {} })
        } else {
            json!({ "http_protocol_options": {} })
        },
    });
    // Close idle connections before servers do, commonly after 5 s, so that no request is sent on a connection that
    // the server is closing. A DestinationRule can override this.
    let mut common = json!({ "idle_timeout": IDLE_TIMEOUT });
    if let (Some(common), Some(Value::Object(given))) = (
        common.as_object_mut(),
        policy.remove("common_http_protocol_options"),
    ) {
        common.extend(given);
    }
    protocol["common_http_protocol_options"] = common;
    let mut cluster = json!({
        "name": name,
        "alt_stat_name": statistics,
        "type": "EDS",
        "eds_cluster_config": { "eds_config": endpoints },
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        // All endpoints are ready. Never fall back to others.
        "common_lb_config": { "healthy_panic_threshold": { "value": 0 } },
        "ignore_health_on_host_removal": true,
        "circuit_breakers": circuit_breakers([NO_LIMIT; 4]),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol,
        },
    });
    if let Some(fields) = cluster.as_object_mut() {
        fields.extend(policy);
    }
    cluster
}

fn load_assignment(cluster: &str, port: &Port, labels: &BTreeMap<String, String>) -> Value {
    let selected = |endpoint: &&Endpoint| {
        labels
            .iter()
            .all(|(name, value)| endpoint.labels.get(name) == Some(value))
    };
    let endpoints: Vec<Value> = port
        .endpoints
        .iter()
        .filter(selected)
        .map(|endpoint| {
            json!({ "endpoint": { "address": { "socket_address": {
                "address": endpoint.address,
                "port_value": endpoint.port,
            } } } })
        })
        .collect();
    json!({ "cluster_name": cluster, "endpoints": [{ "lb_endpoints": endpoints }] })
}
