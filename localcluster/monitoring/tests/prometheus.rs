//! Tests with a real Prometheus, and a real Envoy for Istio's metrics. Require both on the `PATH` or in `PROMETHEUS` and
//! `ENVOY`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "prometheus/alerts.rs"]
mod alerts;
#[path = "../../mesh/tests/support/cluster.rs"]
mod cluster;
#[path = "../../mesh/tests/support/requests.rs"]
mod requests;
#[path = "prometheus/waypoint.rs"]
mod waypoint;

use std::{net::SocketAddr, path::Path, time::Duration};

use axum::{Router, routing::get};
use cluster::*;
use hyper::{Method, StatusCode};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, api::PostParams};
use localcluster_monitoring::{Config, crds, run};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

struct Monitoring {
    listen: SocketAddr,
    ready: watch::Receiver<bool>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), localcluster_monitoring::Error>>,
}

async fn define(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in crds() {
        definitions
            .create(&PostParams::default(), &definition)
            .await
            .unwrap();
    }
}

fn config(listen: SocketAddr, envoy_admin: SocketAddr, folder: &Path) -> Config {
    Config {
        prometheus: std::env::var_os("PROMETHEUS")
            .unwrap_or_else(|| "prometheus".into())
            .into(),
        state_dir: folder.join("prometheus"),
        shim: None,
        listen,
        envoy_admin,
        scrape_interval: Duration::from_millis(500),
        ready: None,
    }
}

impl Monitoring {
    async fn start(client: &Client, envoy_admin: SocketAddr, folder: &Path) -> Self {
        let (sender, ready) = watch::channel(false);
        let listen = free_address().await;
        let mut config = config(listen, envoy_admin, folder);
        config.ready = Some(sender);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(config, client.clone(), shutdown.clone()));
        let mut monitoring = Self {
            listen,
            ready,
            shutdown,
            task,
        };
        monitoring.wait_until_ready(true).await;
        monitoring
    }

    async fn wait_until_ready(&mut self, ready: bool) {
        let waiting = async {
            tokio::select! {
                Ok(_) = self.ready.wait_for(|now| *now == ready) => {}
                end = &mut self.task => panic!("monitoring ended: {}", end.unwrap().unwrap_err()),
            }
        };
        timeout(DEADLINE, waiting)
            .await
            .expect("timed out waiting for the readiness of Prometheus to change");
    }

    /// The samples of an instant query.
    async fn query(&self, query: &str) -> Vec<Value> {
        let answer = requests::get_with(
            self.listen,
            &format!("/api/v1/query?query={}", encode(query)),
            &[("host", "prometheus")],
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
        answer.json()["data"]["result"].as_array().unwrap().clone()
    }

    async fn wait_for(&self, query: &str, what: &str, accept: impl Fn(&Value) -> bool) {
        eventually(&format!("{what} from {query}"), || async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.query(query).await.iter().any(&accept)
        })
        .await;
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        timeout(DEADLINE, &mut self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

fn encode(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn value(sample: &Value) -> f64 {
    sample["value"][1].as_str().unwrap().parse().unwrap()
}

/// A pod that serves one metric on port `prometheus`.
async fn pod_with_metrics(value: &'static str) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = format!("# TYPE work_total counter\nwork_total {value}\n");
    let app = Router::new().route("/metrics", get(|| async { body }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "worker-1", "namespace": "default", "labels": { "app": "worker", "team": "blue" } },
        "spec": { "containers": [{ "name": "worker", "image": "worker:1",
            "ports": [{ "name": "prometheus", "containerPort": port }, { "name": "other", "containerPort": 1 }] }] },
        "status": { "phase": "Running", "podIP": "127.0.0.1" },
    })
}

async fn api_server() -> (Client, TempDir) {
    let client = localcluster_apiserver::ApiServer::open(Default::default())
        .await
        .unwrap()
        .client();
    define(&client).await;
    (client, tempfile::tempdir().unwrap())
}

async fn create_pod(client: &Client, pod: &Value) {
    create(client, pod).await;
    // The status is a subresource, which the kubelet writes.
    let api: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(client.clone());
    let name = pod["metadata"]["name"].as_str().unwrap();
    let patch = kube::api::Patch::Merge(json!({ "status": pod["status"] }));
    api.patch_status(name, &Default::default(), &patch)
        .await
        .unwrap();
}

fn monitor(spec: Value) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor",
        "metadata": { "name": "workers", "namespace": "default" },
        "spec": spec,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_monitor_is_scraped_with_the_labels_of_the_operator() {
    let (client, folder) = api_server().await;
    create_pod(&client, &pod_with_metrics("42").await).await;
    let started = std::time::Instant::now();
    let monitoring = Monitoring::start(&client, free_address().await, folder.path()).await;
    eprintln!("Prometheus is ready after {:?}", started.elapsed());
    create(&client, &monitor(json!({
        "selector": { "matchLabels": { "app": "worker" } },
        "podTargetLabels": ["team"],
        "podMetricsEndpoints": [{ "port": "prometheus", "interval": "1s",
            "relabelings": [{ "sourceLabels": ["__meta_kubernetes_pod_phase"], "targetLabel": "phase" }] }],
    })))
    .await;
    monitoring
        .wait_for("work_total", "a sample", |sample| value(sample) == 42.0)
        .await;
    let mut labels = monitoring.query("work_total").await[0]["metric"].clone();
    let instance = labels.as_object_mut().unwrap().remove("instance").unwrap();
    assert!(instance.as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(
        labels,
        json!({
            "__name__": "work_total", "job": "default/workers", "namespace": "default", "pod": "worker-1",
            "container": "worker", "endpoint": "prometheus", "team": "blue", "phase": "Running",
        })
    );
    // The series of a deleted pod ends at once.
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(client.clone());
    pods.delete(
        "worker-1",
        &kube::api::DeleteParams::default().grace_period(0),
    )
    .await
    .unwrap();
    eventually("the end of the series", || async {
        monitoring.query("work_total").await.is_empty()
    })
    .await;
    monitoring.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_prometheus_rejects_is_reported_and_does_not_affect_others() {
    let (client, folder) = api_server().await;
    create_pod(&client, &pod_with_metrics("7").await).await;
    let monitoring = Monitoring::start(&client, free_address().await, folder.path()).await;
    let mut odd = monitor(json!({
        "selector": {}, "bodySizeLimit": "10 potatoes",
        "podMetricsEndpoints": [{ "port": "prometheus" }],
    }));
    odd["metadata"]["name"] = json!("odd");
    create(&client, &odd).await;
    create(
        &client,
        &monitor(json!({
            "selector": {}, "podMetricsEndpoints": [{ "port": "prometheus" }],
        })),
    )
    .await;
    wait_for_event(&client, "odd", "Rejected", "potatoes").await;
    monitoring
        .wait_for(r#"work_total{job="default/workers"}"#, "a sample", |_| true)
        .await;
    create(
        &client,
        &json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
            "metadata": { "name": "services", "namespace": "default" }, "spec": { "selector": {} },
        }),
    )
    .await;
    wait_for_event(&client, "services", "Unsupported", "PodMonitor").await;
    monitoring.stop().await;
}

fn rule(name: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "groups": [{ "name": "group", "partial_response_strategy": "warn", "rules": rules }] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_prometheus_rejects_are_reported_and_do_not_affect_others() {
    let (client, folder) = api_server().await;
    create_pod(&client, &pod_with_metrics("9").await).await;
    let monitoring = Monitoring::start(&client, free_address().await, folder.path()).await;
    create(
        &client,
        &monitor(json!({ "selector": {}, "podMetricsEndpoints": [{ "port": "prometheus" }] })),
    )
    .await;
    let no_query =
        json!([{ "alert": "A", "expr": "vector(1)" }, { "alert": "B", "expr": "sum(nope" }]);
    create(&client, &rule("no-query", no_query)).await;
    let no_template =
        json!([{ "alert": "C", "expr": "vector(1)", "annotations": { "a": "{{ nope }}" } }]);
    create(&client, &rule("no-template", no_template)).await;
    let good = json!([
        { "record": "work:doubled", "expr": "work_total * 2" },
        { "alert": "Busy", "expr": "work_total > 8", "labels": { "severity": "warning" } },
        { "alert": "Always", "expr": 1 },
    ]);
    create(&client, &rule("good", good)).await;
    monitoring
        .wait_for("work:doubled", "a recorded series", |sample| {
            value(sample) == 18.0
        })
        .await;
    monitoring
        .wait_for(r#"ALERTS{alertname="Busy"}"#, "an alert", |sample| {
            let labels = &sample["metric"];
            labels["alertstate"] == "firing" && labels["severity"] == "warning"
        })
        .await;
    wait_for_event(
        &client,
        "no-query",
        "Rejected",
        "spec.groups[0].rules[1].expr: 1:9: parse error",
    )
    .await;
    wait_for_event(&client, "no-template", "Rejected", "prometheus.log").await;
    let rules: Api<localcluster_monitoring::crd::PrometheusRule> =
        Api::default_namespaced(client.clone());
    rules.delete("good", &Default::default()).await.unwrap();
    eventually("the end of the alert", || async {
        let alerts = monitoring.query(r#"ALERTS{alertname="Busy"}"#).await;
        alerts.is_empty()
    })
    .await;
    monitoring.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_survive_a_kill_and_a_restart() {
    let (client, folder) = api_server().await;
    create_pod(&client, &pod_with_metrics("5").await).await;
    create(
        &client,
        &monitor(json!({
            "selector": {}, "podMetricsEndpoints": [{ "port": "prometheus" }],
        })),
    )
    .await;
    let mut monitoring = Monitoring::start(&client, free_address().await, folder.path()).await;
    monitoring
        .wait_for("count_over_time(work_total[1h])", "samples", |s| {
            value(s) >= 3.0
        })
        .await;
    let pid = prometheus_of(folder.path()).expect("Prometheus must run");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    monitoring.wait_until_ready(false).await;
    monitoring.wait_until_ready(true).await;
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(client.clone());
    monitoring
        .wait_for("count_over_time(work_total[1h])", "samples", |s| {
            value(s) >= 3.0
        })
        .await;
    monitoring.stop().await;
    assert_eq!(
        prometheus_of(folder.path()),
        None,
        "Prometheus still runs after the stop"
    );
    pods.delete(
        "worker-1",
        &kube::api::DeleteParams::default().grace_period(0),
    )
    .await
    .unwrap();
    let monitoring = Monitoring::start(&client, free_address().await, folder.path()).await;
    monitoring
        .wait_for("count_over_time(work_total[1h])", "samples", |s| {
            value(s) >= 3.0
        })
        .await;
    monitoring.stop().await;
}

fn prometheus_of(folder: &Path) -> Option<rustix::process::Pid> {
    let marker = format!(
        "{}/prometheus/prometheus.yml",
        folder.canonicalize().unwrap().display()
    );
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            line.contains(&marker)
                .then(|| rustix::process::Pid::from_raw(pid))
                .flatten()
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn flaggers_built_in_queries_work_with_the_statistics_of_envoy() {
    let (primary, canary) = (
        Backend::start("primary").await,
        Backend::start("canary").await,
    );
    let mut objects = canary_objects(&primary, &canary);
    objects.push(virtual_service(json!([{ "route": destinations(50, 50) }])));
    let cluster = Cluster::start(&objects).await;
    define(&cluster.client).await;
    let monitoring = Monitoring::start(&cluster.client, cluster.admin, cluster.folder.path()).await;
    // One in four of these requests to the canary fails.
    let good = requests::Load::start(cluster.proxy, "http://app/", Method::GET, 2);
    let stop = CancellationToken::new();
    let (stopped, proxy) = (stop.clone(), cluster.proxy);
    let bad = tokio::spawn(async move {
        let mut connection = requests::Connection::open(proxy).await.unwrap();
        while !stopped.is_cancelled() {
            for path in ["status/500", "", "", ""] {
                let url = format!("http://app-canary/{path}");
                connection.send(&Method::GET, &url, &[]).await.unwrap();
            }
        }
    });
    let labels = r#"reporter="destination",destination_workload_namespace="default",destination_workload=~"app""#;
    let success = format!(
        r#"sum(rate(istio_requests_total{{{labels},response_code!~"5.*"}}[1m])) / sum(rate(istio_requests_total{{{labels}}}[1m])) * 100"#
    );
    let duration = format!(
        "histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{{{labels}}}[1m])) by (le))"
    );
    monitoring
        .wait_for(&success, "a rate between 70 and 100", |sample| {
            let rate = value(sample);
            rate > 70.0 && rate < 99.9
        })
        .await;
    monitoring
        .wait_for(&duration, "a duration", |sample| {
            value(sample) > 0.0 && value(sample) < 10_000.0
        })
        .await;
    stop.cancel();
    bad.await.unwrap();
    good.stop().await;
    // The counts match those of the pods exactly.
    for (workload, backend) in [("app", &canary), ("app-primary", &primary)] {
        let count = backend.count() as f64;
        let query = format!(r#"sum(istio_requests_total{{destination_workload="{workload}"}})"#);
        monitoring
            .wait_for(&query, "every request", |sample| value(sample) == count)
            .await;
        let query = format!(
            r#"sum(istio_request_duration_milliseconds_count{{destination_workload="{workload}"}})"#
        );
        monitoring
            .wait_for(&query, "every duration", |sample| value(sample) == count)
            .await;
    }
    let samples = monitoring
        .query(r#"istio_requests_total{response_code="500"}"#)
        .await;
    let mut metric = samples[0]["metric"].clone();
    metric.as_object_mut().unwrap().remove("instance");
    assert_eq!(
        metric,
        json!({
            "__name__": "istio_requests_total", "job": "envoy", "reporter": "destination", "response_code": "500",
            "destination_service_name": "app-canary", "destination_service_namespace": "default",
            "destination_workload": "app", "destination_workload_namespace": "default",
            "destination_port": "80", "source_workload": "unknown", "source_workload_namespace": "unknown",
        })
    );
    // Pods reach Prometheus through the mesh under its usual name.
    eventually("Prometheus through the mesh", || async {
        let url = "http://prometheus-prometheus.monitoring.svc.cluster.local:9090/-/ready";
        requests::get(cluster.proxy, url).await.status == StatusCode::OK
    })
    .await;
    monitoring.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_an_address_in_use_and_a_missing_program() {
    let (client, folder) = api_server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap();
    let run = |config| run(config, client.clone(), CancellationToken::new());
    let error = run(config(taken, taken, folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("{taken}, the address of Prometheus, is in use")),
        "{error}"
    );
    let mut missing = config(free_address().await, taken, folder.path());
    missing.prometheus = "/no/such/prometheus".into();
    let error = run(missing).await.unwrap_err().to_string();
    assert!(
        error.contains("/no/such/prometheus") && error.contains("./run.sh tools"),
        "{error}"
    );
}
